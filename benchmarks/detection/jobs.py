"""Some logs at a time, each in a process of its own."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def apart(
    work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int
) -> Iterator[tuple[Task, Result | BaseException]]:
    """Yield each task as it ends, with what came of it or what went wrong; `jobs` run at a time."""
    with ThreadPoolExecutor(jobs) as threads:
        running = {threads.submit(_alone, work, task): task for task in tasks}
        for ended in as_completed(running):
            yield running[ended], ended.exception() or ended.result()


def _alone(work: Callable[[Task], Result], task: Task) -> Result:
    # A pool a task: a process that is killed takes no other task with it. Spawned, since the threads of
    # polars and FAISS do not survive a fork.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, task).result()


def positive(text: str) -> int:
    """Read a number of things from the command line, one or more."""
    number = int(text)
    if number < 1:
        raise ValueError(f"expected 1 or more, got {number}")
    return number


def share_cores(jobs: int) -> None:
    """Let the processes to come use their share of the cores, where nothing else is said."""
    threads = str(max((os.cpu_count() or 1) // jobs, 1))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ.setdefault(name, threads)
