"""Score hydrascope in a second world: python -m benchmarks.detection.second_world.

Rules that were chosen on one simulator may have learnt it. In these logs people come in two waves a day, a
quarter of the accounts are programs of four kinds, operators deal a queue in five ways, and none of it is by
the laws of `campaigns.simulation`. A log has three campaigns, all of which have their turn in five logs, and
five look-alikes; every other log has no column but those that all have, and its operators draw their tasks
with replacement.
"""

import argparse
from functools import partial
from pathlib import Path

from benchmarks.detection import tables
from benchmarks.detection.jobs import apart, share_cores
from benchmarks.detection.second_world.score import EVERY, FEW, scored
from benchmarks.detection.summary import alarms, found_by, summary


def main() -> None:
    """Make the logs, detect, print and write the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.detection.second_world", description=__doc__)
    parser.add_argument("--prompts", type=Path, help="a prompt pack; the project's own generator otherwise")
    parser.add_argument("--logs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("bench-out/detection"))
    call = parser.parse_args()
    share_cores(call.jobs)
    records = []
    for seed, came in apart(
        partial(scored, prompts=call.prompts), range(call.seed, call.seed + call.logs), call.jobs
    ):
        if isinstance(came, BaseException):
            raise came
        records.append(came)
        print(f"log {seed}: {came['score']['n_found']} found, {came['score']['n_false']} false", flush=True)
    text = tables.text(
        {
            "By columns": tables.markdown(summary(records)),
            "Campaigns found": tables.crossed(
                found_by(records, lambda _, name: name), "campaign", [EVERY, FEW]
            ),
            "Logs in which a look-alike was reported": tables.crossed(
                alarms(records), "look-alike", [EVERY, FEW]
            ),
        }
    )
    call.output.mkdir(parents=True, exist_ok=True)
    (call.output / "second_world.md").write_text(text)
    print("\n" + text)


if __name__ == "__main__":
    main()
