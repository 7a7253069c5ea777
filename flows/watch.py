"""Limits of time and stops that hold: work inside a library cannot be interrupted, a process can be ended."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from flows.errors import StageError

logger = logging.getLogger(__name__)
LastWords = Callable[[StageError], None]
STOPPED = "stopped; the same call again resumes"
PATIENCE = 20.0  # seconds after the first Ctrl-C; measured: 1 to 3, when the machine is busy more


@contextmanager
def time_limit(stage: str, seconds: float, last_words: LastWords = lambda error: None) -> Iterator[None]:
    """End this process when the work inside takes longer; the run resumes at this stage when called again.

    `last_words` is called first, to tell an orchestrator. Exit code 1, one line on standard error.
    """

    def end() -> None:
        error = StageError(stage, f"it took longer than {seconds:,.0f} s, the setting work.time_limit")
        try:
            last_words(error)
        finally:
            sys.stderr.write(f"\nhydrascope: {error}; the same call again resumes there\n")
            sys.stderr.flush()
            os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def stop_holds() -> Iterator[Callable[[], None]]:
    """Have Ctrl-C end this process, and yield what raises KeyboardInterrupt where one has been lost.

    An orchestrator may lose one, or wait for ever after it. Then, or at the second Ctrl-C, the process is
    ended: exit code 130, one line on standard error; also where it has become busy with something else. For
    the main thread; where Ctrl-C is ignored, as a shell script's background jobs do, it stays so.
    """
    asked, unwound = threading.Event(), threading.Event()

    def end() -> None:
        try:
            if not unwound.is_set():
                sys.stderr.write(f"\nhydrascope: {STOPPED}\n")
                sys.stderr.flush()
        finally:
            os._exit(130)  # whoever reads what we say may be gone

    def heard(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            end()
        asked.set()
        timer = threading.Timer(PATIENCE, end)
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt

    def check() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, heard)
    try:
        yield check
    except Exception:
        check()  # a stage that failed because it was to stop
        raise
    else:
        check()
    finally:
        unwound.set()
        signal.signal(signal.SIGINT, before)
