"""Points in lists around centres, and which lists a point looks at."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from embeddings.vectors import Vectors, answering, beside, squares_apart

Ints = NDArray[np.int64]
Rows = NDArray[np.int32]
Floats = NDArray[np.float32]
_PER_LIST = 500  # points a list: half or twice as many take as long, all in all
_TRAINED = 35  # points a list that k-means sees
_ROUNDS = 3
_NEAR = 1024  # lists that a point is compared with, those near its cell, however many there are
_PER_CELL = 32  # lists a cell
_BLOCK = 4096  # points compared with centres at a time
_SPARE = 0.005  # recall beyond what is asked, since another sample may have as much less
_NARROW = 0.2  # least spread of a list: that of one of copies is not nothing


class Cells(NamedTuple):
    """Cells of lists: centres (c, d); near (c, m) the lists, by number, that are nearest to each cell."""

    centres: Vectors
    near: Rows


class Lists(NamedTuple):
    """Points in lists, and how far they look.

    centres (l, d). spread (l,): square root of the root-mean-square distance of a list's points to its
    centre, _NARROW at least. own (n,) int32: the list of each point. bound (n,): the squared distance of its
    k-th nearest in its own list, less the point's squared norm. reach: a point searches a list whose centre's
    squared distance exceeds that of its own centre by no more than reach * k-th distance * spread.
    """

    centres: Vectors
    spread: Floats
    own: Rows
    bound: Floats
    reach: float


def n_lists(n: int) -> int:
    """Return how many lists n points are kept in: as long ones for any n, to meet at the same cost."""
    return max(1, round(n / _PER_LIST))


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
    """Return (n,) the nearest centre of each vector, among those near its cell."""
    cells = cells_of(centres)
    starts = range(0, len(vectors), _BLOCK)
    cell = pool.map(lambda at: _nearest(vectors[at : at + _BLOCK], cells.centres), starts)
    own = np.empty(len(vectors), dtype=np.int32)

    def within(some: Rows, near: Rows) -> None:
        others = centres[near]
        for at in range(0, len(some), _BLOCK):
            rows = some[at : at + _BLOCK]
            own[rows] = near[_nearest(vectors[rows], others)]

    list(pool.map(within, members_of(np.concatenate(list(cell)), len(cells.centres)), cells.near))
    return own


def cells_of(centres: Vectors) -> Cells:
    """Put the centres of lists into cells by k-means; one cell where all lists are near."""
    cells = centres[::_PER_CELL] if len(centres) > _NEAR else centres[:1]
    for _ in range(_ROUNDS):
        cells = _means(centres, _nearest(centres, cells), cells)
    near = np.argsort(squares_apart(cells, centres), axis=1, kind="stable")[:, :_NEAR]
    return Cells(cells, np.sort(near, axis=1).astype(np.int32))


def _nearest(vectors: Vectors, centres: Vectors) -> Rows:
    """Return (n,) the nearest centre of each vector."""
    return squares_apart(vectors, centres).argmin(axis=1).astype(np.int32)


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


def spreads(vectors: Vectors, centres: Vectors, own: Rows, pool: ThreadPoolExecutor) -> Floats:
    """Return (l,) the spread of each list."""

    def block(at: int) -> Floats:
        return _gaps(vectors[at : at + _BLOCK], centres, own[at : at + _BLOCK])

    gaps = np.concatenate(list(pool.map(block, range(0, len(own), _BLOCK))))
    size = np.bincount(own, minlength=len(centres))
    mean = np.bincount(own, gaps, len(centres)) / np.maximum(size, 1)
    return np.maximum(mean**0.25, _NARROW).astype(np.float32)


def _gaps(vectors: Vectors, centres: Vectors, own: Rows) -> Floats:
    """Return (n,) the squared distance of each vector from the centre of its list."""
    apart = vectors - centres[own]
    return np.einsum("nd,nd->n", apart, apart)


def largest(vectors: Vectors) -> float:
    """Return the largest square of a vector, more than nothing."""
    return max(float(np.einsum("nd,nd->n", vectors, vectors).max()), 1e-30)


def reach_for(vectors: Vectors, lists: Lists, rows: Ints, true: NDArray[np.integer], recall: float) -> float:
    """Return the reach at which lists hold `recall` of the true neighbours (q, k) of a few rows."""
    needed = np.empty(true.shape, dtype=np.float32)
    for some, near, beyond in _beyond(vectors, lists, cells_of(lists.centres), rows):
        wanted = lists.own[true[some]]
        at = np.minimum(np.searchsorted(near, wanted), len(near) - 1)
        needed[some] = np.where(near[at] == wanted, np.take_along_axis(beyond, at, axis=1), np.inf)
    return float(np.quantile(needed[true != rows[:, None]], min(recall + _SPARE, 1.0), method="higher"))


def looks(vectors: Vectors, lists: Lists, cells: Cells, rows: NDArray[np.integer]) -> tuple[Rows, Rows]:
    """Return which of some rows, by place, look at which lists: pairs."""
    places, numbers = [], []
    for some, near, beyond in _beyond(vectors, lists, cells, rows):
        pairs = np.flatnonzero(beyond <= np.float32(lists.reach))
        place = pairs // len(near)
        places.append(some[place])
        numbers.append(near[pairs - place * len(near)])
    return np.concatenate(places), np.concatenate(numbers)


def _beyond(
    vectors: Vectors, lists: Lists, cells: Cells, rows: NDArray[np.integer]
) -> Iterator[tuple[Rows, Rows, Floats]]:
    """Yield, a cell at a time, rows (r,) by place, the lists (m,) near them, and how far (r, m) those are.

    That is by how much a centre's squared distance is more than that of the own one, in units of the
    distance that the point's bound stands for and of the list's spread: a reach.
    """
    own = vectors[rows]
    square = np.einsum("nd,nd->n", own, own)
    within = np.sqrt(np.maximum(lists.bound[rows] + square, 1e-6))  # of copies only rounding is left
    least = _gaps(own, lists.centres, lists.own[rows]) - square
    asking = beside(own, 1, np.ones(len(own)), -least) / within[:, None]
    others = answering(lists.centres) / lists.spread[:, None]
    members = members_of(_nearest(own, cells.centres), len(cells.centres))
    for some, near in zip(members, cells.near, strict=True):
        yield some, near, asking[some] @ others[near].T
