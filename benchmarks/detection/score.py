"""Score every method on a log: a record a method."""

import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from benchmarks.detection.logs import Log
from benchmarks.detection.ours import detect
from benchmarks.detection.rivals import RIVALS
from benchmarks.detection.rivals.space import Space, text_space
from benchmarks.detection.summary import CONFIDENT, Record
from campaigns.evaluate import MEMBER, evaluate
from campaigns.explain import DECIDING
from campaigns.simulation.assemble import Simulated
from campaigns.simulation.simulate import play
from flows.source import REQUIRED

logger = logging.getLogger(__name__)
OURS = "hydrascope"
ABLATED = {f"{OURS} without {signal}": str(signal) for signal in DECIDING}
TEXT_ONLY = f"{OURS}, text only"  # the columns that every log has: no address, token, model, organisation
SAMPLED = {f"{OURS}, a third sampled": 3, f"{OURS}, a sixth sampled": 6}
DRESSED = f"{OURS}, behind system prompts"
SYSTEM_PROMPTS = (  # of three products, each with a third of all accounts
    "You are Sonde, an assistant that people talk to. Answer honestly, and in few words.\n\nUser: ",
    "You are a writing coach. Keep the tone of the author, invent nothing and explain each change.\n\n",
    "You write programs. Prefer small functions, write the tests first, and say what you changed.\n\n",
)

Found = tuple[pl.DataFrame, pl.DataFrame]  # campaigns and campaign_accounts


def frames(groups: Sequence[Sequence[str]]) -> Found:
    """Turn groups of accounts into the two tables that `evaluate` reads, every account sure."""
    rows = [(f"g{i}", account, 1.0) for i, group in enumerate(groups) for account in group]
    schema = {"campaign_id": pl.String, "account_id": pl.String, "confidence": pl.Float64}
    ids = [f"g{i}" for i in range(len(groups))]
    campaigns = pl.DataFrame(
        {"campaign_id": ids, "reported": [True] * len(ids)},
        schema={"campaign_id": pl.String, "reported": pl.Boolean},
    )
    return campaigns, pl.DataFrame(rows, schema=schema, orient="row")


def run_log(log: Log, prompts: Path | None, methods: Sequence[str]) -> list[Record]:
    """Make a log and score the methods on it; of one that failed the record has `failed`, no score.

    Ours runs in one folder and fits its encoder once: only the first one's seconds are those of a whole run.
    """
    made = _played(log, prompts)
    marked = made.traffic.with_columns(clean=made.labels["kind"].cast(pl.String) == "organic")
    space = text_space(marked, log.settings.seed) if any(m in RIVALS for m in methods) else None
    with tempfile.TemporaryDirectory() as folder:

        def find(method: str) -> Found:
            if method in RIVALS:
                return _rival(method, marked, space, log.settings.seed)
            return _ours(made, Path(folder), method)

        scored = [_scored(log, made, method, find) for method in methods]
    return [record for record in scored if record is not None]


def _scored(log: Log, made: Simulated, method: str, find: Callable[[str], Found]) -> Record | None:
    """Return the record of a method, None where what it needs is not installed."""
    began = perf_counter()
    try:
        found = find(method)
    except ImportError as missing:
        logger.warning("%s left out: %s", method, missing)
        return None
    except Exception as fault:  # the other methods and logs are still worth having
        return {"log": log.name, "method": method, "failed": f"{type(fault).__name__}: {fault}"}
    return _record(log, method, found, made, perf_counter() - began)


def _played(log: Log, prompts: Path | None) -> Simulated:
    pack = pl.read_parquet(prompts) if prompts else None
    return play(pack, log.settings, log.campaigns, log.decoys)


def _ours(made: Simulated, folder: Path, method: str = OURS) -> Found:
    traffic = made.traffic.select(REQUIRED) if method == TEXT_ONLY else made.traffic
    sample = traffic.height // SAMPLED[method] if method in SAMPLED else None
    if method == DRESSED:
        products = pl.Series(SYSTEM_PROMPTS)
        product = products.gather(traffic["account_id"].rank("dense") % len(products))
        traffic = traffic.with_columns(prompt=product + pl.col("prompt"))
    place = folder / method if sample or method == DRESSED else folder  # with an encoder of their own
    return detect(traffic, place, [ABLATED[method]] if method in ABLATED else [], sample)


def account_confidence(
    campaigns: pl.DataFrame, accounts: pl.DataFrame, truth: pl.DataFrame
) -> list[list[float]]:
    """Return accounts, sum of confidences and accounts of the report's operator in each bin of CONFIDENT."""
    reported = campaigns.filter("reported").select("campaign_id")
    said = accounts.join(reported, on="campaign_id").join(truth.select("account_id", "kind"), on="account_id")
    main = pl.col("kind").filter(pl.col("confidence") >= MEMBER).mode().sort().first().over("campaign_id")
    right = (pl.col("kind") == main) & main.str.starts_with("campaign:")
    said = said.with_columns(right=right.fill_null(value=False))
    place = np.digitize(said["confidence"].to_numpy(), CONFIDENT[1:-1])
    weights = (None, said["confidence"].to_numpy(), said["right"].to_numpy())
    return [np.bincount(place, w, len(CONFIDENT) - 1).astype(float).tolist() for w in weights]


def _rival(method: str, marked: pl.DataFrame, space: Space | None, seed: int) -> Found:
    assert space is not None
    return frames(RIVALS[method](marked, space, seed))


def _record(log: Log, method: str, found: Found, made: Simulated, seconds: float) -> Record:
    rows = dict(made.labels["kind"].cast(pl.String).value_counts().iter_rows())
    sizes = {
        c.name: {"accounts": c.accounts, "per_day": c.per_day, "shape": str(c.shape),
                 "rows": rows.get(f"campaign:{c.name}", 0)}
        for c in log.campaigns
    }  # fmt: skip
    record = {
        "log": log.name, "kind": log.kind, "strength": log.strength, "method": method, "sizes": sizes,
        "rows": made.traffic.height, "seconds": round(seconds, 1),
        "score": evaluate(*found, made.truth).as_dict(),
    }  # fmt: skip
    says = {"confidence": account_confidence(*found, made.truth)} if method == OURS else {}
    return record | says


def first_seen(log: Log, prompts: Path | None) -> list[Record]:
    """Detect after one day, two and so on: a record a campaign of the first day on which it was found.

    A campaign's accounts are those that have come by then. day and rows (its rows by then) are null where the
    whole window was not enough.
    """
    made = _played(log, prompts)
    kind, time = made.labels["kind"].cast(pl.String), pl.col("timestamp")
    seen: dict[str, Record] = {}
    for day in range(1, log.settings.days + 1):
        so_far = made.traffic.select(time < time.min() + pl.duration(days=day)).to_series()
        part = made._replace(traffic=made.traffic.filter(so_far))
        truth = made.truth.join(part.traffic, on="account_id", how="semi")
        with tempfile.TemporaryDirectory() as folder:
            found = _ours(part, Path(folder))
        for campaign in evaluate(*found, truth).campaigns:
            rows = int((so_far & (kind == f"campaign:{campaign.name}")).sum())
            if campaign.found:
                seen.setdefault(campaign.name, {"campaign": campaign.name, "day": day, "rows": rows})
        if len(seen) == len(log.campaigns):
            break
    return [seen.get(c.name, {"campaign": c.name, "day": None, "rows": None}) for c in log.campaigns]


def save(records: Sequence[Record], place: Path) -> None:
    """Write the records as JSON lines."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("".join(json.dumps(r, sort_keys=True) + "\n" for r in records))
