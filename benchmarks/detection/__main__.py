"""Score detection on simulated logs: python -m benchmarks.detection [--quick] [--prompts FILE]."""

import argparse
import logging
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import chain, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.detection.logs import grid, planned
from benchmarks.detection.rivals import RIVALS
from benchmarks.detection.score import ABLATED, OURS, first_seen, mmd_protocol, run_log, save, summary
from benchmarks.detection.tables import text

SLOW = {"UMAP+HDBSCAN"}
HELDOUT_LOG = Path(__file__).parent / "heldout_runs.md"


def main() -> None:
    """Make the logs, run the methods, print and write the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.detection", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one strength, small logs, no UMAP: some minutes"
    )
    parser.add_argument("--prompts", type=Path, help="a prompt pack; the project's own generator otherwise")
    parser.add_argument("--split", choices=("tuning", "heldout"), default="tuning")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--logs", type=int, help="no more than this many logs with campaigns")
    parser.add_argument("--nulls", type=int, default=2, help="logs a seed without a campaign; 200 for a rate")
    parser.add_argument("--grid", help="a campaign by accounts and requests, for the smallest that is found")
    parser.add_argument("--days", action="store_true", help="also the first day on which each is found")
    parser.add_argument("--jobs", type=int, default=1, help="logs at a time; seconds are for one at a time")
    parser.add_argument("--methods", nargs="*", choices=[OURS, *RIVALS], help="all of them without")
    parser.add_argument("--ablation", action="store_true", help="also ourselves without each signal")
    parser.add_argument("--output", type=Path, default=Path("bench-out/detection"))
    call = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    if call.split == "heldout":  # looked at once a release: every run is written down
        texts = call.prompts.name if call.prompts else "own generator"
        with HELDOUT_LOG.open("a") as log:
            log.write(
                f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {texts}, seeds {call.seeds}, quick {call.quick}\n"
            )
    pack = pl.read_parquet(call.prompts) if call.prompts else None
    plan = planned(call.split, call.quick, call.seeds, call.nulls)
    plan = grid(call.grid, call.split, call.seeds) if call.grid else plan
    played = [x for x in plan if x.kind == "campaigns"][: call.logs]
    usual = [m for m in [OURS, *RIVALS] if not call.quick or m not in SLOW]
    methods = [*(call.methods or usual), *(ABLATED if call.ablation else ())]
    logs = played + [x for x in plan if x.kind == "null"]
    records: list[dict[str, Any]] = []
    # spawn: the threads of polars and FAISS do not survive a fork
    with ProcessPoolExecutor(call.jobs, mp_context=get_context("spawn")) as pool:
        for log, done in zip(logs, pool.map(run_log, logs, repeat(pack), repeat(methods)), strict=True):
            records += done
            scores = [(one["method"], one["score"]) for one in done]
            words = [f"{method} {said['n_found']} found, {said['n_false']} false" for method, said in scores]
            print(f"{log.name}: " + "; ".join(words), flush=True)
            save(records, call.output / "records.jsonl")
        declared = [log for log in played if log.strength == "declared"] if call.days else []
        days = list(chain.from_iterable(pool.map(first_seen, declared, repeat(pack))))
    protocol = mmd_protocol(pack, played[0]) if played and "MMD windows" in methods else {}
    tables = text(records, days, protocol)
    (call.output / "tables.md").write_text(tables)
    if call.split == "heldout":
        with HELDOUT_LOG.open("a") as log:
            log.writelines(
                f"  - {x['method']}: {x['found']} found, {x['false a log']} false a log, look-alikes "
                f"{x['look-alikes alarmed']}, null logs {x['null logs with a report']}\n"
                for x in summary(records)
            )
    print("\n" + tables)


if __name__ == "__main__":
    main()
