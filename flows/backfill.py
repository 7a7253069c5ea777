"""Runs for days that have none yet, oldest first."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from flows.errors import InputError
from flows.publish import latest_runs, read_manifest, settle
from flows.times import DAY, day


def missing_days(
    output: Path, digests: Callable[[tuple[int, int]], Sequence[str]], start: int | None, end: int | None
) -> Iterator[tuple[int, int]]:
    """Yield the days from start to end (microseconds UTC, end excluded) that no published run covers.

    A day that had no rows is covered while its files have the same digests: rows may have come since. Each
    day is looked up when it is its turn, so that days finished meanwhile, by another process too, are
    skipped. Raises InputError when the bounds are not whole days in order.
    """
    if start is None or end is None or start % DAY or end % DAY or start >= end:
        raise InputError("--start and --end are days, and the end, which is not included, is later")
    settle(output)
    for begin in range(start, end, DAY):
        if not _finished(output, digests, (begin, begin + DAY)):
            yield begin, begin + DAY


def _finished(
    output: Path, digests: Callable[[tuple[int, int]], Sequence[str]], window: tuple[int, int]
) -> bool:
    """Tell whether the published run of a day is about that day, all of it and nothing else."""
    date = day(window[0])
    try:
        run_id = (latest_runs(output) or {}).get(date)
    except OSError:
        return False
    manifest = read_manifest(output / f"date={date}" / f"run_id={run_id}")
    return bool(
        manifest
        and (manifest["window_start"][:19], manifest["window_end"][:19])
        == tuple(f"{day(bound)}T00:00:00" for bound in window)
        and (not manifest["no_rows"] or manifest["inputs"]["digests"] == list(digests(window)))
    )
