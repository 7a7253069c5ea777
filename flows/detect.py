"""The flow: names only, in the order of flows/pipeline.py, which `--plain` runs as well.

    sample -> views -> fit -> embed -> index -> neighbours -> cluster -> link -> evidence -> report -> publish

Here each stage, or part of one, is a task that is told a path and does what flows/stages.py says; one that
finds its work done is over.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import Task, flow, get_client, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import TagsContext
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.states import Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows import stages
from flows.artifacts import ProgressArtifact, tell, unless_silent
from flows.errors import InputError, StageError, StorageError
from flows.pipeline import complete
from flows.publish import publish
from flows.report import report
from flows.request import open_run
from flows.run import Counts, Run, StageFunction, load_run, perform
from flows.settings import DetectSettings
from flows.times import day, microseconds, moment, zone_of
from flows.watch import time_limit

Told = Callable[[str, str, Counts], None]
# Tasks submits no more at a time than the settings say; any task runner will do, stages share files only.
THREADS = cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=64))
for _room in ("flows", "campaigns", "embeddings"):  # lines of counts for the UI; details stay with --plain
    logging.getLogger(_room).setLevel(logging.INFO)
_listeners: list[Told] = []  # who else is told of a stage, in this process: the command line


def _may_pass(task: Task[Any, Any], run: Any, state: State[Any]) -> bool:  # noqa: ANN401  (Prefect's form)
    """Tell whether trying again can help: only when files could not be reached."""
    return isinstance(state.result(raise_on_failure=False), StorageError)


def _task(stage: StageFunction) -> Task[[Path, str], Counts]:
    """Make a task of a stage: it reads the run from its folder and does a part of the stage."""

    def do(folder: Path, part: str) -> Counts:
        return perform(stage, load_run(folder), part)

    decorate = task(
        name=stage.__name__,
        description=stage.__doc__,
        cache_policy=NO_CACHE,  # a stage knows by its files whether it is done
        retries=3,
        retry_delay_seconds=[2, 10, 60],
        retry_jitter_factor=0.5,
        retry_condition_fn=_may_pass,
    )
    return decorate(do)


TASKS = {
    stage.__name__: _task(stage)
    for stage in (
        stages.sample, stages.views, stages.fit, stages.embed, stages.index, stages.neighbours,
        stages.cluster, stages.link, stages.evidence, report, publish,
    )
}  # fmt: skip


class Tasks:
    """Does stages as Prefect tasks, the parts of one at the same time, as many as the settings say.

    told: who hears of each part; bar: who hears of a stage when all its parts are done.
    """

    def __init__(self, told: Sequence[Told], bar: Callable[[str], None] = lambda stage: None) -> None:
        self.told, self.bar = told, bar

    def __call__(self, stage: StageFunction, run: Run, parts: Sequence[str] = ("",)) -> None:
        """Do a stage; a failed part raises its error once the others at work are over."""
        name, workers = stage.__name__, run.settings.work.workers
        last_words = partial(_mark_failed, UUID(flow_run.id))  # it is another thread that says them
        for i in range(0, len(parts), workers):
            some = parts[i : i + workers]
            with time_limit(name, run.settings.work.time_limit, last_words):
                done = self._together(name, run, some)
            for part, counts in zip(some, done, strict=True):
                for told in self.told:
                    told(name, part, counts)
        self.bar(name)

    def _together(self, name: str, run: Run, parts: Sequence[str]) -> list[Counts]:
        # Tags stay with the flow run: a task that has any waits for slots, seconds at a time.
        with TagsContext(current_tags=set()):
            futures = [
                TASKS[name].with_options(task_run_name=f"{name} {part}".strip()).submit(run.folder, part)
                for part in parts
            ]
        wait(futures)
        return [future.result() for future in futures]


def _mark_failed(flow_run_id: UUID, error: StageError) -> None:
    """Tell the server why a run ends, from the thread that ends it."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run_id, Failed(message=str(error)), force=True)


def _named(stage: str, part: str, counts: Counts) -> None:
    """Name the flow run by the window, once the log has told it."""
    if stage == stages.sample.__name__:
        _rename(day(counts["start"]))


def _rename(date: str) -> None:
    if flow_run.name != (name := f"detect {date}"):
        with unless_silent(), get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, name=name)


def closed_day(now: datetime, zone: str) -> tuple[int, int]:
    """Return the last whole day before `now` in a time zone, in microseconds UTC, the end not included.

    Raises InputError for a zone that there is not.
    """
    midnight = now.astimezone(zone_of(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    before = (midnight - timedelta(hours=12)).replace(hour=0)  # days of 23 and 25 hours as well
    return microseconds(before), microseconds(midnight)


def _flow_run_name() -> str:
    asked = flow_run.parameters
    with suppress(InputError):  # which the run itself will tell
        if asked.get("zone"):
            return f"detect {day(closed_day(flow_run.scheduled_start_time, asked['zone'])[0])}"
    start = asked.get("start")
    return f"detect {str(start)[:10]}" if start else f"detect {Path(asked['log']).name}"


@flow(
    name="detect",
    flow_run_name=_flow_run_name,
    task_runner=THREADS,
)
def detect(
    log: str,
    output: Path,
    settings: DetectSettings = DetectSettings(),  # noqa: B008  (frozen)
    start: datetime | None = None,
    end: datetime | None = None,
    zone: str | None = None,
    enforcement: Path | None = None,
) -> Path:
    """Find the campaigns in a prompt log and publish them.

    Args:
        log: A Parquet file, a folder, a glob or a Hive-partitioned dataset; a path or an fsspec URL.
        output: Where runs are published.
        settings: What shapes the run.
        start: Begin of the window; without a zone it is UTC.
        end: End of the window, not included.
        zone: For a schedule, a time zone such as Europe/Berlin: the window is the day that had closed there
            when the run was due, however late it starts.
        enforcement: Parquet of bans and limits: checked and recorded, not weighed yet.

    """
    if zone and (start or end):
        raise InputError("zone asks for the day that has closed, start and end for another window")
    window = (
        closed_day(flow_run.scheduled_start_time, zone)
        if zone
        else (microseconds(start) if start else None, microseconds(end) if end else None)
    )
    run = open_run(log, output, settings, window, enforcement)
    bar = ProgressArtifact()
    run_dir = complete(run, Tasks([*_listeners, _named], bar))
    if not bar.shown:  # it had been published before
        _rename(run_dir.parent.name.removeprefix("date="))
        bar(publish.__name__)
    with unless_silent():
        tell(run_dir, run.output, run.settings.work)
    return run_dir


def detect_run(run: Run, told: Told) -> Path:
    """Run the flow for a request that is checked already, in this process, telling of each finished stage."""
    start, end = (moment(bound) if bound is not None else None for bound in run.window)
    bans = Path(run.enforcement["path"]) if run.enforcement else None
    _listeners.append(told)
    try:
        with tags("hydrascope", Path(run.source.url).name):
            return detect(run.source.url, run.output, run.settings, start, end, None, bans)
    finally:
        _listeners.remove(told)
