"""Points in lists around centres, and which lists a point looks at."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from embeddings.vectors import Vectors, squares_apart

Ints = NDArray[np.int64]
Rows = NDArray[np.int32]
Floats = NDArray[np.float32]
_TRAINED = 35  # points a list that k-means sees
_ROUNDS = 3
_BLOCK = 4096  # points compared with all centres at a time
_SPARE = 0.005  # recall beyond what is asked, since another sample may have as much less


class Lists(NamedTuple):
    """Points in lists, and how far they look.

    centres (l, d); own (n,) the list of each point; bound (n,) what no neighbour of a point is beyond: its
    k-th squared distance within its own list, less its own square; reach: how many such distances more
    than that of the nearest centre the squared distance of a centre may be whose list is looked at.
    """

    centres: Vectors
    own: Rows
    bound: Floats
    reach: float


def n_lists(n: int) -> int:
    """Return how many lists n points are kept in: half or twice as many take as long, all in all."""
    return max(1, round(math.sqrt(n)))


def divide(vectors: Vectors, seed: int, pool: ThreadPoolExecutor) -> tuple[Vectors, Rows]:
    """Divide the points among lists by k-means (Lloyd); return the centres and the list of each point."""
    lists = n_lists(len(vectors))
    rng = np.random.default_rng(seed)
    seen = vectors[np.sort(rng.choice(len(vectors), min(len(vectors), _TRAINED * lists), replace=False))]
    centres = seen[np.sort(rng.choice(len(seen), lists, replace=False))]
    for _ in range(_ROUNDS):
        centres = _means(seen, _assign(seen, centres, pool), centres)
    return centres, _assign(vectors, centres, pool)


def _assign(vectors: Vectors, centres: Vectors, pool: ThreadPoolExecutor) -> Rows:
    """Return (n,) the nearest centre of each vector."""

    def block(at: int) -> Rows:
        return squares_apart(vectors[at : at + _BLOCK], centres).argmin(axis=1).astype(np.int32)

    return np.concatenate(list(pool.map(block, range(0, len(vectors), _BLOCK))))


def _means(vectors: Vectors, own: Rows, centres: Vectors) -> Vectors:
    """Return the mean of the vectors of each centre; a centre without any stays."""
    n = len(own)
    of = sparse.csr_array((np.ones(n, dtype=np.float32), own, np.arange(n + 1)), shape=(n, len(centres)))
    size = np.bincount(own, minlength=len(centres))[:, None]
    return np.where(size > 0, (of.T @ vectors) / np.maximum(size, 1), centres).astype(np.float32)


def members_of(own: Rows, lists: int) -> list[Rows]:
    """Return the points of each list, in order."""
    order = np.argsort(own, kind="stable").astype(np.int32)
    return np.split(order, np.cumsum(np.bincount(own, minlength=lists))[:-1])


def bounds(vectors: Vectors, members: list[Rows], k: int, pool: ThreadPoolExecutor) -> Floats:
    """Return (n,) the bound of each point; where its list has fewer than k points, what no two are beyond."""
    bound = np.full(len(vectors), 4 * largest(vectors), dtype=np.float32)

    def within(some: Rows) -> None:
        others = vectors[some]
        for at in range(0, len(some) if len(some) >= k else 0, _BLOCK):
            apart = squares_apart(others[at : at + _BLOCK], others)
            bound[some[at : at + _BLOCK]] = np.partition(apart, k - 1, axis=1)[:, k - 1]

    list(pool.map(within, members))
    return bound + np.float32(1e-6)


def largest(vectors: Vectors) -> float:
    """Return the largest square of a vector, more than nothing."""
    return max(float(np.einsum("nd,nd->n", vectors, vectors).max()), 1e-30)


def reach_for(vectors: Vectors, lists: Lists, rows: Ints, true: NDArray[np.integer], recall: float) -> float:
    """Return the reach at which lists hold `recall` of the true neighbours (q, k) of a few rows."""
    apart = squares_apart(vectors[rows], lists.centres)
    beyond = np.take_along_axis(apart, lists.own[true].astype(np.int64), axis=1) - apart.min(
        axis=1, keepdims=True
    )
    needed = (beyond / _within(vectors, lists, rows)[:, None])[true != rows[:, None]]
    return float(np.quantile(needed, min(recall + _SPARE, 1.0), method="higher"))


def looks(vectors: Vectors, lists: Lists, rows: NDArray[np.integer]) -> tuple[Ints, Ints]:
    """Return which of some rows, by place, look at which lists: pairs in order of the place."""
    apart = squares_apart(vectors[rows], lists.centres)
    limit = apart.min(axis=1) + np.float32(lists.reach) * _within(vectors, lists, rows)
    pairs = np.flatnonzero(apart <= limit[:, None])
    place = pairs // len(lists.centres)
    return place, pairs - place * len(lists.centres)


def _within(vectors: Vectors, lists: Lists, rows: NDArray[np.integer]) -> Floats:
    """Return the distance that the bounds of some rows stand for."""
    own = vectors[rows]
    return np.sqrt(lists.bound[rows] + np.einsum("nd,nd->n", own, own))
