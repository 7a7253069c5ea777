"""The order of the stages, written once: what runs them, plain calls or Prefect tasks, is the caller's."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from flows import stages
from flows.publish import publish, published
from flows.report import report
from flows.run import Counts, Run, StageFunction, as_begun, begin, discard, locked, perform, sweep
from flows.stages import shard_bounds
from flows.watch import time_limit


class Do(Protocol):
    """Does a stage in parts, all of them before it returns; parts may be worked on at the same time."""

    def __call__(self, stage: StageFunction, run: Run, parts: Sequence[str] = ("",)) -> None:
        """Raise StageError, or InputError for what the log turned out to be, when a part fails."""


def pipeline(run: Run, do: Do) -> Path:
    """Take a run from the log to its published folder, and return that."""
    prepare(run, do)
    do(stages.evidence, run)
    do(report, run)
    do(publish, run)
    return run.output / str((run.done("publish") or {})["run_dir"])


def prepare(run: Run, do: Do) -> None:
    """Take a run from the log to all that evidence is weighed on."""
    begin(run)
    views = [str(view) for view in run.settings.views]
    do(stages.sample, run)
    if (run.done("sample") or {})["kept"]:
        do(stages.views, run, views)
        do(stages.fit, run)
        shards = [f"{view}/{i}" for view in views for i in range(len(shard_bounds(run, view)))]
        do(stages.embed, run, shards)
        do(stages.index, run, views)
        do(stages.neighbours, run, shards)
        do(stages.cluster, run, views)
        do(stages.link, run)


def complete(run: Run, do: Do) -> Path:
    """Return the published folder of a run: as it is there, or after the stages that are left.

    Waits while another process works at the same request. Whatever an InputError leaves behind is removed.
    """
    with locked(run):
        run = as_begun(run)  # while this one waited
        there = published(run)
        if there is None:
            sweep(run.output, run.settings.work.keep_days)
            discard(run.place("publish"))  # of a run that another has superseded since
            there = pipeline(run, do)
        discard(run.folder)
    return there


def plain(report_done: Callable[[str, str, Counts], None] = lambda stage, part, counts: None) -> Do:
    """Return what does the parts of a stage one after the other, with no orchestrator."""

    def do(stage: StageFunction, run: Run, parts: Sequence[str] = ("",)) -> None:
        for part in parts:
            with time_limit(stage.__name__, run.settings.work.time_limit):
                counts = perform(stage, run, part)
            report_done(stage.__name__, part, counts)

    return do
