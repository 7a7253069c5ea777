"""Recall of a neighbour search, measured on a sample of the rows against brute force."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from embeddings.vectors import Vectors, squares_apart

Ints = NDArray[np.int64]
_SAMPLE = 500
_BLOCK = 4096  # rows compared with the sample at a time


def sample_rows(n: int) -> Ints:
    """Return the rows, evenly spaced, on which recall is measured."""
    return np.unique(np.linspace(0, n - 1, _SAMPLE).astype(np.int64))


def brute_force(vectors: Vectors, rows: Ints, k: int, pool: ThreadPoolExecutor) -> Ints:
    """Return the k nearest (q, k) of a few rows among all vectors, themselves included, by trying all."""
    asking = vectors[rows]
    # The k nearest are no farther than the k-th of those in a part of the rows; the rest is for rounding.
    some = squares_apart(asking, vectors[:: max(1, len(vectors) // _BLOCK)])
    bound = np.partition(some, k - 1, axis=1)[:, k - 1 : k] + np.float32(1e-5)

    def block(start: int) -> tuple[Ints, Ints, Vectors]:
        apart = squares_apart(asking, vectors[start : start + _BLOCK])
        row, near = np.divmod(np.flatnonzero(apart <= bound), apart.shape[1])
        return row, start + near, apart[row, near]

    parts = list(pool.map(block, range(0, len(vectors), _BLOCK)))
    row, near, apart = (np.concatenate(one) for one in zip(*parts, strict=True))
    order = np.lexsort((apart, row))
    first = np.searchsorted(row[order], np.arange(len(rows)))
    return near[order][first[:, None] + np.arange(k)]


def recall_of(vectors: Vectors, rows: Ints, found: NDArray[np.integer], true: Ints) -> float:
    """Return the share of the true neighbours (q, k + 1) of a few rows, themselves left out, that were found.

    A found neighbour counts when it is no farther than the true k-th, so ties are no misses.
    """
    near, far = (_gaps(vectors, rows, each)[:, : true.shape[1] - 1] for each in (found, true))
    return float((near <= far[:, -1:] + 1e-6).mean())


def _gaps(vectors: Vectors, rows: Ints, found: NDArray[np.integer]) -> Vectors:
    """Return the sorted distances (q, k) of the neighbours of a few rows, themselves and -1 as infinite."""
    apart = np.linalg.norm(vectors[rows][:, None, :] - vectors[found], axis=2)
    apart[(found == rows[:, None]) | (found < 0)] = np.inf
    return np.sort(apart, axis=1)
