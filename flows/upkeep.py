"""Flows that look after an output folder: the weekly refit of the encoder, and the clean-up."""

import json
import logging
import shutil
import time
from datetime import datetime
from pathlib import Path

from filelock import FileLock
from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

from embeddings.views import View
from flows import stages
from flows.detect import Tasks, closed_day
from flows.fitted import remember_encoder
from flows.request import open_run
from flows.run import STAGING, begin, discard, locked, sweep
from flows.settings import FITTED, DetectSettings
from flows.times import DAY

logger = logging.getLogger(__name__)


def _name(what: str) -> str:
    due: datetime = flow_run.scheduled_start_time
    return f"{what} {due:%Y-%m-%d}"


@flow(name="refit encoder", flow_run_name=lambda: _name("refit encoder"))
def refit(
    log: str,
    output: Path,
    settings: DetectSettings = DetectSettings(),  # noqa: B008  (frozen)
    days: int = 7,
    zone: str = "UTC",
) -> str:
    """Fit the encoder anew to the last days of a log; nightly runs use it from then on.

    Args:
        log: The prompt log, as for detect.
        output: Where runs are published.
        settings: As for detect; what shapes the sample and the encoder is used.
        days: How many closed days are fitted to.
        zone: Time zone of the days.

    Returns:
        The identity of the encoder.

    """
    end = closed_day(flow_run.scheduled_start_time, zone)[1]
    asked = settings.model_copy(update={"encoder": FITTED, "views": (View.FULL,)})
    run = open_run(log, output, asked, (end - days * DAY, end))
    run = run.model_copy(update={"prior": {}, "request": f"{run.request}-refit"})
    do = Tasks([])
    with locked(run):
        begin(run)
        do(stages.sample, run)
        do(stages.views, run, [View.FULL])
        do(stages.fit, run)
        identity = str((run.done("fit") or {})["identity"])
        if identity:
            remember_encoder(run, identity, instead=True)
        discard(run.folder)
    return identity


@flow(name="clean up", flow_run_name=lambda: _name("clean up"))
def clean_up(output: Path, keep_days: int = 30, unfinished_days: int = 7) -> dict[str, int]:
    """Remove what no reader and no run needs any more. Published runs are kept.

    Args:
        output: Where runs are published.
        keep_days: Days that superseded runs, and encoders that no published run was made with, are kept.
        unfinished_days: Days that an unfinished run is kept for resuming.

    Returns:
        How many of each were removed.

    """
    removed = tidy(output, keep_days, unfinished_days)
    lines = [f"| {what} | {n} |" for what, n in removed.items()]
    create_markdown_artifact("\n".join(["| removed | |", "|---|---:|", *lines]), key="clean-up")
    return removed


def tidy(output: Path, keep_days: float, unfinished_days: float) -> dict[str, int]:
    """Remove stale staging, superseded runs and unused encoders with their vectors; return how many."""
    if not output.is_dir():
        return {"unfinished runs": 0, "superseded runs": 0, "encoders": 0}
    old = time.time() - keep_days * 86_400
    unfinished = sweep(output, unfinished_days)
    (output / STAGING).mkdir(exist_ok=True)
    with FileLock(output / STAGING / "publishing.lock"):
        superseded = [run for run in output.glob("superseded/date=*/run_id=*") if run.stat().st_mtime < old]
        for run in superseded:
            shutil.rmtree(run, ignore_errors=True)
    used = _encoders_in_use(output, old)
    unused = [
        folder
        for folder in output.glob("encoder/*/")
        if folder.name not in used and folder.stat().st_mtime < old
    ]
    for folder in unused:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(output / "vectors" / folder.name, ignore_errors=True)
    counts = {"unfinished runs": unfinished, "superseded runs": len(superseded), "encoders": len(unused)}
    logger.info("removed %s", json.dumps(counts))
    return counts


def _encoders_in_use(output: Path, old: float) -> set[str]:
    """Return the encoders of unfinished and published runs, and those fitted since `old`."""
    used = set()
    for pattern in (
        f"{STAGING}/*/fit/done.json",
        f"{STAGING}/*/request.json",
        "encoder/current-*.json",
        "date=*/run_id=*/manifest.json",  # last: a run that is finished meanwhile is then here
    ):
        for file in output.glob(pattern):
            try:
                if file.parent.name == "encoder" and file.stat().st_mtime < old:
                    continue  # an older one is used, or nobody asks for such a fit any more
                found = json.loads(file.read_text())
            except FileNotFoundError:
                continue
            except ValueError:  # whatever it names must not be lost
                logger.warning("no encoder is removed: one of %s cannot be read", pattern)
                return {folder.name for folder in output.glob("encoder/*/")}
            for place in (found.get("encoder"), found.get("prior"), found):
                if isinstance(place, dict):
                    used |= {str(place.get("identity")), str(place.get("encoder"))}
    return used
