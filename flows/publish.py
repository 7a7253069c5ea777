"""Putting a finished run where readers look: complete, or not there at all.

The folder is made beside and renamed; earlier runs of hours that are in its window then move to superseded/;
latest.json is swapped in last. A kill between any two of these steps is mended by the next run in this output
(`settle`).
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from flows.fitted import remember_encoder
from flows.run import STAGING, Counts, Run, sync, write_atomically
from flows.sample import SetAside
from flows.source import OPTIONAL
from flows.times import day, instant
from flows.versions import versions

logger = logging.getLogger(__name__)
ORDER = ("sample", "views", "fit", "embed", "index", "neighbours", "cluster", "link", "evidence", "report")


def publish(run: Run, part: str, out: Path) -> Counts:
    """Move the run's tables and report to OUTPUT/date=…/run_id=…, and point latest.json at it."""
    sampled = run.done("sample") or {}
    date = day(sampled["start"])
    target = f"date={date}/run_id={run.run_id}"
    result = out / "result"
    result.mkdir()
    for file in [*run.place("evidence").glob("*.parquet"), *run.place("report").glob("*.html")]:
        _link(file, result / file.name)
    (result / "manifest.json").write_text(json.dumps(manifest(run), indent=1, sort_keys=True))
    sync(result)
    fitted = run.done("fit") or {}
    if fitted.get("fitted"):
        remember_encoder(run, fitted["identity"])
    _put(run.output, date, run.run_id, result)
    return {"run_dir": target}


def published(run: Run) -> Path | None:
    """Return the folder of this very run, where it is published; latest.json is made again if lost."""
    settle(run.output)
    found = next(iter(sorted(run.output.glob(f"date=*/run_id={run.run_id}"))), None)
    if found and latest_runs(run.output) is None:
        _put(run.output, found.parent.name.removeprefix("date="), run.run_id)
    return found


def settle(output: Path) -> None:
    """Finish a publication that was cut off between its steps."""
    if os.path.exists(output / STAGING / "publishing.json"):
        with _publishing(output):
            _settle(output)


def _put(output: Path, date: str, run_id: str, result: Path | None = None) -> None:
    """Finish what was cut off, write down which run is about to be published, and publish it."""
    with _publishing(output):
        _settle(output)
        write_atomically(output / STAGING / "publishing.json", json.dumps({"date": date, "run_id": run_id}))
        _settle(output, result)


def _settle(output: Path, result: Path | None = None) -> None:
    """Put a result in its place, move runs of its hours aside, point latest.json at the newest window.

    Runs of other hours of the day stay: where clocks are changed two nights may begin on one day in UTC. All
    that needs room on the disk is written first: from then on there are only renames.
    """
    journal = output / STAGING / "publishing.json"
    try:
        asked = json.loads(journal.read_text())
    except FileNotFoundError:
        return
    date, run_id = f"date={asked['date']}", asked["run_id"]
    target = output / date / f"run_id={run_id}"
    if result or target.exists():
        told = read_manifest(result or target)
        beside = {run: read_manifest(run) for run in target.parent.glob("run_id=*") if run != target}
        window, windows = _window(told), {run: _window(of) for run, of in beside.items()}
        others = [run for run, of in windows.items() if _meet(of, window)]
        stay = [(of, run.name[len("run_id=") :]) for run, of in windows.items() if run not in others]
        current = _current(output) | {asked["date"]: max([(window, run_id), *stay])[1]}
        newest = max(current)
        latest = {
            "run_dir": f"date={newest}/run_id={current[newest]}",
            "current": dict(sorted(current.items())),
        }
        prepared = output / STAGING / "newest.json"
        write_atomically(prepared, json.dumps(latest, indent=1))
        target.parent.mkdir(exist_ok=True)
        if others:
            (output / "superseded" / date).mkdir(parents=True, exist_ok=True)
        if result and not target.exists():
            os.replace(result, target)
        for other in others:
            if _log(beside[other]) != _log(told):
                logger.warning("a run of another log is moved aside: an output is for the runs of one log")
            _supersede(output, other)
        os.replace(prepared, output / "latest.json")
    journal.unlink()


def _current(output: Path) -> dict[str, str]:
    """Return the published run of each day, from latest.json, as far as the folders are there.

    Where it is lost the folders tell: earlier runs of the same hours lie elsewhere.
    """
    known = latest_runs(output)
    if known is None:  # of a day the latest
        folders = sorted(output.glob("date=*/run_id=*"), key=lambda run: _window(read_manifest(run)))
        known = {run.parent.name[len("date=") :]: run.name[len("run_id=") :] for run in folders}
    return {date: run for date, run in known.items() if (output / f"date={date}" / f"run_id={run}").exists()}


def latest_runs(output: Path) -> dict[str, str] | None:
    """Return the run of each day that latest.json names, None where it is not there or damaged."""
    try:
        known = json.loads((output / "latest.json").read_text())["current"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return known if isinstance(known, dict) else None


def read_manifest(run: Path) -> dict[str, Any]:
    """Return what a published run says of itself; nothing where it cannot be read."""
    try:
        told = json.loads((run / "manifest.json").read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _log(manifest: dict[str, Any]) -> str | None:
    """Return the log that a run read; None where its manifest does not tell."""
    inputs = manifest.get("inputs")
    return str(inputs.get("log")) if isinstance(inputs, dict) else None


def _window(manifest: dict[str, Any]) -> tuple[datetime, datetime]:
    """Return the window of a run; all time where its manifest does not tell."""
    try:
        bounds = (
            datetime.fromisoformat(manifest["window_start"]),
            datetime.fromisoformat(manifest["window_end"]),
        )
    except (ValueError, KeyError, TypeError):
        return datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    return bounds


def _meet(one: tuple[datetime, datetime], other: tuple[datetime, datetime]) -> bool:
    """Return whether two windows have a moment in common; one may be a single moment."""
    return one == other or (one[0] < other[1] and other[0] < one[1])


def _supersede(output: Path, run: Path) -> None:
    place = output / "superseded" / run.parent.name / run.name
    shutil.rmtree(place, ignore_errors=True)  # an older copy of the same run
    os.utime(run)  # it is kept so long from now on
    os.replace(run, place)


def manifest(run: Run) -> dict[str, Any]:
    """Return what is recorded of a run besides its tables."""
    sampled, found, fitted = run.done("sample") or {}, run.done("evidence") or {}, run.done("fit") or {}
    nothing = sampled["in"] == sampled["set_aside"].get(SetAside.UNREADABLE_TIME, 0)  # which any window has
    seconds = {stage: round(sum(c["seconds"] for c in parts(run, stage)), 3) for stage in ORDER}
    return {
        "run_id": run.run_id,
        "status": "no_rows" if nothing else "complete",
        "no_rows": nothing,
        "window_start": instant(sampled["start"]),
        "window_end": instant(sampled["end"]),
        "inputs": {
            "log": run.source.url,
            "files": len(run.source.files),
            "rows": run.source.n_rows,
            "digests": run.source.digests,
            "absent_columns": [name for name in OPTIONAL if name not in run.source.columns],
            "enforcement": run.enforcement,
        },
        "prior": run.prior,
        "prior_digest": run.prior_digest,
        "settings": run.settings.model_dump(mode="json"),
        "seed": run.settings.seed,
        "versions": versions(),
        "encoder": {"identity": fitted.get("identity"), "fitted": run.encoder is None},
        "rows": {
            "read": sampled["read"],
            "outside_window": sampled["outside_window"],
            "in": sampled["in"],
            "kept": sampled["kept"],
            "set_aside": sampled["set_aside"],
        },
        "boilerplate_characters": sampled["boilerplate_characters"],
        "campaigns": {"listed": found.get("campaigns", 0), "reported": found.get("reported", 0)},
        "seconds": seconds,
        "neighbours": {c["part"]: {k: c[k] for k in ("index", "recall")} for c in parts(run, "index")},
        "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def parts(run: Run, stage: str) -> Iterator[Counts]:
    """Yield what each finished part of a stage counted, by name of the part."""
    for done in sorted(run.place(stage).glob("**/done.json")):
        name = done.parent.relative_to(run.place(stage)).as_posix()
        yield json.loads(done.read_text()) | {"part": "" if name == "." else name}


@contextmanager
def _publishing(output: Path) -> Iterator[None]:
    """Let one process at a time change what readers of this output see."""
    with FileLock(output / STAGING / "publishing.lock"):
        yield


def _link(file: Path, place: Path) -> None:
    """Put a file in a second place without writing it again, where the disk can."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)
