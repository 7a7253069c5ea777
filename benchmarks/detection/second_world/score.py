"""Make a log of the second world and score hydrascope on it."""

import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from benchmarks.detection.ours import detect
from benchmarks.detection.second_world.lookalikes import CROWDS
from benchmarks.detection.second_world.operators import CAMPAIGNS, operate
from benchmarks.detection.second_world.world import World
from benchmarks.detection.summary import Record
from campaigns.evaluate import evaluate
from campaigns.simulation.generator import generate_pack

PEOPLE, CAMPAIGNS_A_LOG, LOOKALIKES = 2_500, 3, 5
LEAST = 60  # texts of a family that is used
EVERY, FEW = "all columns, lists gone through", "no optional column, lists drawn from"


def scored(seed: int, prompts: Path | None) -> list[Record]:
    """Make a log, detect on it as users do, and return the score of what was reported, one record."""
    traffic, truth = played(seed, pl.read_parquet(prompts) if prompts else generate_pack(150_000, seed))
    began = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = detect(traffic, Path(folder))
    record = {
        "log": str(seed), "kind": "campaigns", "method": FEW if seed % 2 else EVERY,
        "seconds": perf_counter() - began, "score": evaluate(*found, truth).as_dict(),
    }  # fmt: skip
    return [record]


def played(seed: int, pack: pl.DataFrame, people: int = PEOPLE) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the traffic and truth of a log; pack has prompt, family and role; people: ordinary accounts."""
    families = pack.group_by("role", "family", maintain_order=True).agg("prompt")
    families = families.filter(pl.col("prompt").list.len() >= LEAST)
    harvest = pl.col("role").is_in(["distillation", "probe"])
    world = World(
        people=families.filter(pl.col("role") == "organic")["prompt"].to_list(),
        harvests=families.filter(harvest)["prompt"].to_list(),
        rng=np.random.default_rng([seed, 12]),  # 11 writes the texts
    )
    for _ in range(people):
        world.live(world.account("organic"), 3.0)
    logs = len(CAMPAIGNS) // CAMPAIGNS_A_LOG  # in which all have their turn
    turns = np.random.default_rng(seed // logs).permutation(list(CAMPAIGNS)).tolist()
    for name in turns[seed % logs :: logs]:
        operate(world, name, CAMPAIGNS[name], drawn=bool(seed % 2))
    for name in world.rng.permutation(list(CROWDS))[:LOOKALIKES]:
        CROWDS[name](world)
    return world.log(text_only=bool(seed % 2))
