"""A run on disk: what was asked, which stages are finished, and where their files lie.

OUTPUT/.staging/<request>/request.json   what was asked, with the prior state found then
OUTPUT/.staging/<request>/<stage>[/<part>]/…   a finished stage; unfinished ones end in .tmp
OUTPUT/.staging/<request>.gone/          on its way out
"""

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from embeddings.errors import EncoderUnavailable
from flows.errors import HydrascopeError, InputError, StageError, StorageError, place_of
from flows.settings import DetectSettings
from flows.source import Source

logger = logging.getLogger(__name__)
STAGING = ".staging"
FULL = 1 << 20  # bytes free below which a disk is full
Counts = dict[str, Any]
StageFunction = Callable[["Run", str, Path], Counts]


class Run(BaseModel):
    """One request and its place on disk. Small: it is what tasks are told.

    window: microseconds, None where the log decides. prior: what of earlier runs this one builds on; encoder:
    the identity of a named encoder, None for a fitted one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: Path
    request: str
    run_id: str
    settings: DetectSettings
    source: Source
    window: tuple[int | None, int | None]
    prior: dict[str, Any]
    encoder: str | None = None
    enforcement: dict[str, str] | None = None

    @property
    def prior_digest(self) -> str:
        """A digest of the prior state."""
        return digest(self.prior)

    @property
    def folder(self) -> Path:
        """The staging folder."""
        return self.output / STAGING / self.request

    def place(self, stage: str, part: str = "") -> Path:
        """Return the folder of a finished stage or part; it exists if and only if that is finished."""
        return self.folder / stage / part if part else self.folder / stage

    def done(self, stage: str, part: str = "") -> Counts | None:
        """Return what a finished stage counted, None when it is not finished."""
        try:
            found: Counts = json.loads((self.place(stage, part) / "done.json").read_text())
        except (FileNotFoundError, ValueError):  # no JSON: the disk lost what was in it
            return None
        return found


def as_begun(run: Run) -> Run:
    """Return a run as it was begun, by this process or another; as it is when nobody has."""
    try:
        begun = load_run(run.folder)
    except FileNotFoundError:
        return run
    shards = begun.settings.work.shards  # those that are finished were cut like this
    work = run.settings.work.model_copy(update={"shards": shards})
    settings = run.settings.model_copy(update={"work": work})
    # the log may have moved since
    now = {"settings": settings, "output": run.output, "source": run.source, "enforcement": run.enforcement}
    return begun.model_copy(update=now)


def begin(run: Run) -> None:
    """Write down what is asked, so that a second call finds it."""
    run.folder.mkdir(parents=True, exist_ok=True)
    write_atomically(run.folder / "request.json", run.model_dump_json(indent=1))


def load_run(folder: Path) -> Run:
    """Return the run of a staging folder."""
    return Run.model_validate_json((folder / "request.json").read_bytes())


def perform(function: StageFunction, run: Run, part: str = "") -> Counts:
    """Do a stage, or a part of one, unless it is finished, and return what it counted, with seconds.

    The stage writes into a folder whose name ends in .tmp; the rename makes it finished. Whatever goes wrong
    is raised as an error that names the stage, in one line.
    """
    name = function.__name__
    finished = run.done(name, part)
    if finished is not None:
        return finished | {"resumed": True}
    place = run.place(name, part)
    beside = place.with_name(place.name + ".tmp")
    began = time.perf_counter()
    try:
        for left in (beside, place):
            shutil.rmtree(left, ignore_errors=True)
        beside.mkdir(parents=True)
        counts = function(run, part, beside) | {"seconds": round(time.perf_counter() - began, 3)}
        (beside / "done.json").write_text(json.dumps(counts))
        sync(beside)
        os.replace(beside, place)
    except HydrascopeError:
        raise
    except Exception as error:
        logger.debug("stage %s failed", name, exc_info=True)
        raise named(name, error, run.output) from None  # its text would go to the log with the traceback
    logger.info("%s%s: %s", name, f" {part}" if part else "", json.dumps(counts))
    return counts


def named(stage: str, error: Exception, output: Path) -> StageError:
    """Return the error of a stage in one line; a message that others wrote could quote a prompt."""
    number = _error_number(error, output)
    if number is not None or isinstance(error, OSError):
        what = os.strerror(number) if number else type(error).__name__
        where = Path(str(getattr(error, "filename", None) or output))
        ours = where.is_relative_to(output)  # a path of the log may name an account
        return StorageError(stage, f"{what}: {where if ours else 'a file that is not in the output'}")
    if isinstance(error, EncoderUnavailable):
        return StageError(stage, str(error))
    return StageError(stage, place_of(error))


def _error_number(error: Exception, output: Path) -> int | None:
    """Return the system's number of what went wrong with a file, None when nothing did.

    Polars, Arrow and safetensors tell it in words only, numpy not at all: it wrote less than it had.
    """
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if type(error).__module__.startswith(("polars", "pyarrow", "safetensors")):
        told = re.search(r"(?:os error|errno) (\d+)", str(error))
        if told and int(told[1]) in errno.errorcode:
            return int(told[1])
    full = isinstance(error, OSError) and shutil.disk_usage(output).free < FULL
    return errno.ENOSPC if full else None


@contextmanager
def locked(run: Run) -> Iterator[None]:
    """Hold a request for this process; a second process that asks for the same waits here.

    Whatever an InputError leaves behind is removed; what the system says between the stages is named.
    """
    path = _lock(run)
    lock = FileLock(path)
    try:
        while not lock.is_locked:
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # who held it has withdrawn all that was there
                _acquire(lock)
        yield
    except InputError:
        _withdraw(run)
        raise
    except OSError as error:  # the lock, the request, the publication that is mended
        raise named("begin", error, run.output) from None
    finally:
        lock.release()


def _acquire(lock: BaseFileLock) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.warning("another process works at the same request; waiting for it")
        lock.acquire()


def _lock(run: Run) -> Path:
    return run.output / STAGING / f"{run.request}.lock"


def _withdraw(run: Run) -> None:
    """Remove all that a run has left which its log or its settings make impossible; its lock is held."""
    discard(run.folder)
    with suppress(OSError):
        _lock(run).unlink()  # who waits for it sees that it is gone, and makes its own
        (run.output / STAGING).rmdir()  # where this was the first run
        run.output.rmdir()


def discard(folder: Path) -> None:
    """Remove a staging folder; renamed first, so that a kill leaves nothing that a later call resumes."""
    gone = folder.with_name(f"{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    with suppress(OSError):
        os.replace(folder, gone)
    shutil.rmtree(gone, ignore_errors=True)


def sweep(output: Path, keep_days: float) -> int:
    """Remove what runs left that nobody resumed for `keep_days`, none that is at work; return how many."""
    removed = 0
    staging = output / STAGING
    for left in [*staging.glob("*/"), *staging.glob("*.lock")]:
        lock = staging / f"{left.name.split('.')[0]}.lock"
        try:
            if time.time() - left.stat().st_mtime < keep_days * 86_400:
                continue
            with FileLock(lock, timeout=0):
                if left != lock:
                    discard(left)
                    removed += 1
                lock.unlink()  # while it is held, as above
        except (Timeout, FileNotFoundError):
            continue
    return removed


def write_atomically(path: Path, text: str) -> None:
    """Write a small file beside its place and rename it there."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def sync(folder: Path) -> None:
    """Have the disk keep all files and folders in a folder, before anything says that they are there."""
    for place in folder.rglob("*"):
        opened = os.open(place, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def digest(value: Any) -> str:  # noqa: ANN401  (whatever JSON holds)
    """Return what tells one request, setting or state from another."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
