"""A limit of time that holds: work inside a library cannot be interrupted, a process can be ended."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows.errors import StageError

logger = logging.getLogger(__name__)
LastWords = Callable[[StageError], None]


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
