"""Score hydrascope in a second world: python -m benchmarks.detection.second_world.

Rules that were chosen on one simulator may have learnt it. In these logs people come in two waves a day, a
quarter of the accounts are programs of four kinds, operators deal a queue in five ways, and none of it is by
the laws of `campaigns.simulation`. A log has three campaigns, all of which have their turn in five logs, and
five look-alikes; every other log has no column but those that all have, and its operators draw their tasks
with replacement.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from benchmarks.detection import tables
from benchmarks.detection.__main__ import gathered
from benchmarks.detection.jobs import positive, share_cores
from benchmarks.detection.second_world.score import EVERY, FEW, scored
from benchmarks.detection.summary import Record, alarms, found_by, summary


def main() -> None:
    """Make the logs, detect, print and write the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.detection.second_world", description=__doc__)
    parser.add_argument("--prompts", type=Path, help="a prompt pack; the project's own generator otherwise")
    parser.add_argument("--logs", type=positive, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=positive, default=1)
    parser.add_argument("--output", type=Path, default=Path("bench-out/detection"))
    call = parser.parse_args()
    share_cores(call.jobs)
    failed: list[Record] = []
    seeds = range(call.seed, call.seed + call.logs)
    work = partial(scored, prompts=call.prompts)
    records = gathered(work, seeds, call.jobs, call.output / "second_world.jsonl", failed)
    asked = (EVERY, FEW)
    written = {
        "By columns": tables.markdown(summary(records)),
        "Campaigns found": tables.crossed(found_by(records, lambda _, name: name), "campaign", asked),
        "Logs in which a look-alike was reported": tables.crossed(alarms(records), "look-alike", asked),
    }
    if failed:
        written["Failed"] = tables.markdown(failed)
    text = tables.text(written)
    call.output.mkdir(parents=True, exist_ok=True)
    (call.output / "second_world.md").write_text(text)
    print("\n" + text)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
