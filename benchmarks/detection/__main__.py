"""Score detection on simulated logs: python -m benchmarks.detection [--quick | --grid NAME | --record]."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.detection import tables, windows_protocol
from benchmarks.detection.jobs import apart, positive, share_cores
from benchmarks.detection.logs import Log, grid, planned, published
from benchmarks.detection.rivals import RIVALS
from benchmarks.detection.score import ABLATED, DRESSED, OURS, SAMPLED, TEXT_ONLY, first_seen, run_log, save
from benchmarks.detection.summary import Record, summary
from campaigns.simulation.presets import names

SLOW = {"UMAP+HDBSCAN"}
HELDOUT_LOG = Path(__file__).parent / "heldout_runs.md"


def main() -> None:
    """Make the logs, run the methods, print and write the tables."""
    call = arguments()
    logging.basicConfig(level=logging.WARNING)
    share_cores(call.jobs)
    if call.split == "heldout":  # whoever looks often tunes to it: every run is written down
        _write_down(call)
    failed: list[Record] = []
    written = windows(call, failed) if call.protocol else logs(call, failed)
    if failed:
        written["Failed"] = tables.markdown(failed)
    text = tables.text(written)
    call.output.mkdir(parents=True, exist_ok=True)
    (call.output / ("windows.md" if call.protocol else "tables.md")).write_text(text)
    print("\n" + text)
    sys.exit(1 if failed else 0)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.detection", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="each campaign once, small logs, no UMAP: five minutes on two cores",
    )
    parser.add_argument("--prompts", type=Path, help="a prompt pack; the project's own generator otherwise")
    parser.add_argument("--split", choices=("tuning", "heldout"), default="tuning")
    parser.add_argument("--seeds", type=positive, help="1; with --protocol 3, with --grid 10")
    parser.add_argument("--logs", type=int, help="no more than this many logs with campaigns")
    parser.add_argument(
        "--nulls", type=int, help="logs a seed without a campaign: 2, quick 1; 200 for a rate"
    )
    plan = parser.add_mutually_exclusive_group()
    plan.add_argument(
        "--grid", metavar="NAME", help="a campaign by accounts and requests: the smallest found"
    )
    plan.add_argument("--record", action="store_true", help="a day of each published campaign, in its size")
    plan.add_argument(
        "--protocol", action="store_true", help="only windows without accounts, beside MMD's test"
    )
    parser.add_argument("--days", action="store_true", help="also the first day on which each is found")
    parser.add_argument(
        "--model", help="folder of a sentence-transformers model for --protocol; ours otherwise"
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        default=min(2, os.cpu_count() or 1),
        help="logs at a time; 1 to compare seconds",
    )
    parser.add_argument(
        "--methods", nargs="*", choices=[OURS, *RIVALS], help="all without; ours with --grid and --record"
    )
    parser.add_argument("--ablation", action="store_true", help="also ourselves without each signal")
    parser.add_argument("--text-only", action="store_true", help="also ourselves without any optional column")
    parser.add_argument(
        "--sampled", action="store_true", help="also ourselves on a third and a sixth of each log's requests"
    )
    parser.add_argument(
        "--system-prompts",
        action="store_true",
        help="also ourselves where accounts use one of three products",
    )
    parser.add_argument("--output", type=Path, default=Path("bench-out/detection"))
    call = parser.parse_args()
    if call.grid and call.grid not in names(call.split, campaigns=True):
        parser.error(f"argument --grid: {call.grid} is no campaign of the {call.split} split")
    if call.record and call.split == "heldout":
        parser.error("argument --record: its campaigns are tuning ones, not allowed with --split heldout")
    return call


def logs(call: argparse.Namespace, failed: list[Record]) -> dict[str, str]:
    """Score the methods on the logs of the plan and return the tables."""
    if call.grid:
        plan = grid(call.grid, call.split, call.seeds or 10)
    elif call.record:
        plan = published()
    else:
        nulls = (1 if call.quick else 2) if call.nulls is None else call.nulls
        plan = planned(call.split, call.quick, call.seeds or 1, nulls)
    played = [log for log in plan if log.kind == "campaigns"][: call.logs]
    plan = played + [log for log in plan if log.kind == "null"]
    work = partial(run_log, prompts=call.prompts, methods=chosen(call))
    records = gathered(work, plan, call.jobs, call.output / "records.jsonl", failed)
    if call.split == "heldout":
        _write_down_results([_said_of(line) for line in summary(records)])
    written = tables.sizes(records) if call.grid else tables.scores(records)
    if call.days:
        declared = [log for log in played if call.grid or log.strength == "declared"]
        first = partial(first_seen, prompts=call.prompts)
        written |= tables.days(gathered(first, declared, call.jobs, call.output / "days.jsonl", failed))
    return written


def windows(call: argparse.Namespace, failed: list[Record]) -> dict[str, str]:
    """Run the protocol of windows without accounts on a log a seed and return the tables."""
    work = partial(windows_protocol.protocol, split=call.split, prompts=call.prompts, model=call.model)
    seeds = range(call.seeds or 3)
    records = gathered(work, seeds, call.jobs, call.output / "windows.jsonl", failed)
    shares = windows_protocol.by_share(records)
    if call.split == "heldout":
        _write_down_results([", ".join(map(str, line.values())) for line in shares])
    return {
        "Windows of 1,500 flagged, by share of attack rows": tables.markdown(shares),
        "The same among ordinary rows at MMD's false alarms, by attack": tables.markdown(
            windows_protocol.by_attack(records)
        ),
    }


def chosen(call: argparse.Namespace) -> list[str]:
    """Return the methods to run."""
    rivals = [] if call.grid or call.record else [m for m in RIVALS if not call.quick or m not in SLOW]
    more = [*([TEXT_ONLY] if call.text_only else []), *(SAMPLED if call.sampled else ())]
    more += [DRESSED] if call.system_prompts else []
    return [*(call.methods or [OURS, *rivals]), *more, *(ABLATED if call.ablation else ())]


def gathered(
    work: Callable[[Any], list[Record]], tasks: Sequence[Any], jobs: int, place: Path, failed: list[Record]
) -> list[Record]:
    """Run each task apart, write what there is after each, and return the records in the order of the tasks.

    What fails goes to `failed`.
    """
    made: dict[int, list[Record]] = {}
    for task, came in apart(work, tasks, jobs):
        name = task.name if isinstance(task, Log) else f"seed {task}"
        if isinstance(came, BaseException):
            came = [{"log": name, "method": None, "failed": f"{type(came).__name__}: {came}"}]
        failed += [record for record in came if "failed" in record]
        made[tasks.index(task)] = [record for record in came if "failed" not in record]
        ordered = [record for at in sorted(made) for record in made[at]]
        save(ordered, place)
        print(f"{name}: {_said(came)}", flush=True)
    return [record for at in sorted(made) for record in made[at]]


def _said(records: Sequence[Record]) -> str:
    words = []
    for record in records:
        if "failed" in record:
            words.append(f"{record['method'] or 'the log'} failed")
        elif "score" in record:
            score = record["score"]
            words.append(f"{record['method']} {score['n_found']} found, {score['n_false']} false")
    return "; ".join(words) or "done"


def _write_down(call: argparse.Namespace) -> None:
    texts = call.prompts.name if call.prompts else "own generator"
    what = "windows without accounts" if call.protocol else f"quick {call.quick}"
    with HELDOUT_LOG.open("a") as log:
        log.write(
            f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {texts}, seeds {call.seeds or 'usual'}, {what}\n"
        )


def _write_down_results(lines: Sequence[str]) -> None:
    with HELDOUT_LOG.open("a") as log:
        log.writelines(f"  - {line}\n" for line in lines)


def _said_of(line: Record) -> str:
    return (
        f"{line['method']}: {line['found']} found, {line['false a log']} false a log, look-alikes "
        f"{line['look-alikes alarmed']}, null logs {line['null logs with a report']}"
    )


if __name__ == "__main__":
    main()
