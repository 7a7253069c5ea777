"""Whether each signal keeps its promise on people: python -m benchmarks.detection.calibration.

Logs of ordinary accounts alone, each with accounts of its own, are clustered, linked and weighed; every group
counts that is judged, by its own rows or by all that its accounts sent, reported or not. An e-value promises
a mean of at most one, and its p-value, 1 / e, to be at most x no more often than x. Groups of one log share
accounts, so the bounds are over logs. The signals whose null is not people (a class, a metered service)
promise nothing here and are left out.
"""

import argparse
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.detection.jobs import positive
from benchmarks.detection.tables import markdown
from campaigns.candidates import candidates, left
from campaigns.evidence.repeats import repeated
from campaigns.explain import OPERATOR
from campaigns.marks import NETWORK, TOPICS
from campaigns.simulation.simulate import SimulationSettings, simulate
from campaigns.vocabulary import Signal
from campaigns.volumes import volumes
from campaigns.weighing import evidence
from flows.pipeline import plain, prepare
from flows.request import open_run
from flows.results import read_inputs
from flows.settings import DetectSettings

PROMISING = OPERATOR | {Signal.QUOTA}  # signals whose null is people
ROWS = ("its own", "all sent")
LEVELS = (0.05, 0.01, 0.001)


def main() -> None:
    """Make the logs, weigh their groups, print and write the table, draw the plot."""
    parser = argparse.ArgumentParser(prog="benchmarks.detection.calibration", description=__doc__)
    parser.add_argument("--prompts", type=Path, help="a prompt pack; the project's own generator otherwise")
    parser.add_argument("--logs", type=positive, default=20)
    parser.add_argument("--accounts", type=int, default=2500, help="ordinary accounts a log")
    parser.add_argument("--jobs", type=positive, default=1)
    parser.add_argument("--output", type=Path, default=Path("bench-out/detection"))
    call = parser.parse_args()
    pack = pl.read_parquet(call.prompts) if call.prompts else None
    with ProcessPoolExecutor(call.jobs, mp_context=get_context("spawn")) as pool:
        seeds = range(30_000, 30_000 + call.logs)
        made = pool.map(weighed, seeds, repeat(call.accounts), repeat(pack))
        found = pl.concat(
            [frame.with_columns(log=pl.lit(seed)) for seed, frame in zip(seeds, made, strict=True)]
        )
    call.output.mkdir(parents=True, exist_ok=True)
    found.write_parquet(call.output / "calibration.parquet")
    table = markdown(list(summary(found)))
    (call.output / "calibration.md").write_text(table)
    plot(found, call.output / "calibration.png")
    print(table)


def weighed(seed: int, accounts: int, pack: pl.DataFrame | None) -> pl.DataFrame:
    """Make a log of ordinary accounts; return signal, rows and log_e of every group that is judged in it."""
    log = simulate(pack, SimulationSettings(accounts=accounts, seed=seed, campaigns=(), decoys=()))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "traffic.parquet"
        log.traffic.write_parquet(place)
        run = open_run(str(place), Path(folder) / "out", DetectSettings(), (None, None))
        prepare(run, plain())
        inputs, settings = read_inputs(run), run.settings
    groups, law, network = candidates(
        inputs.log, inputs.topics, inputs.profiles, settings.judge.link, settings.seed
    )
    labels = {**inputs.log.clusters, TOPICS: inputs.topics, NETWORK: network}
    whole = left(inputs.log, groups, [], law, labels, settings.judge.link.min_accounts)
    known = repeated(inputs.log)
    found = [
        (str(finding.signal), ROWS[group.whole], finding.log_e)
        for group in groups + whole
        for finding in evidence(
            inputs.log, group, volumes(inputs.log, group, law), law, inputs.topics, known
        ).values()
        if finding.signal in PROMISING and finding.log_e is not None
    ]
    return pl.DataFrame(
        found, schema={"signal": pl.String, "rows": pl.String, "log_e": pl.Float64}, orient="row"
    )


def summary(found: pl.DataFrame) -> Iterator[dict[str, object]]:
    """Yield a line a signal and rows: groups, mean e and its upper 95 % bound over logs, small p-values."""
    for part in found.partition_by("signal", "rows", maintain_order=True):
        each = part.group_by("log").agg(pl.col("log_e").exp().mean())["log_e"].to_numpy()
        bound = each.mean() + 1.64 * each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.nan
        p = np.exp(-part["log_e"].to_numpy())
        shares = {f"p <= {level}": f"{(p <= level).mean():.4f}" for level in LEVELS}
        mean = f"{np.exp(part['log_e'].to_numpy()).mean():.2f}"
        yield {
            "signal": part["signal"][0],
            "rows": part["rows"][0],
            "groups": part.height,
            "mean e": mean,
            "at most": f"{bound:.2f}",
            **shares,
        }


def plot(found: pl.DataFrame, place: Path) -> None:
    """Draw how often each signal's p-value is at most x; what keeps its promise stays below the diagonal."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.add_subplot()
    x = np.logspace(-4, 0, 200)
    axes.plot(x, x, color="grey", linestyle=":", label="promised")
    for (signal, rows), part in found.group_by("signal", "rows", maintain_order=True):
        p = np.sort(np.exp(-part["log_e"].to_numpy()))
        axes.plot(x, np.searchsorted(p, x, side="right") / len(p), label=f"{signal}, {rows}")
    axes.set(
        xscale="log", yscale="log", ylim=(1e-4, 1), xlabel="p-value (1 / e)", ylabel="groups at or below"
    )
    axes.legend(fontsize=7)
    figure.savefig(place, dpi=120)


if __name__ == "__main__":
    main()
