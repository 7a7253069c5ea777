"""Neighbours of all points at once by inverted lists, searched a list at a time.

FAISS's inverted lists answer one query at a time and read a list again for each. Where every point is a
query, all that look at a list meet it in one matrix product, and only pairs nearer than a bound that each
point already has go on: the same lists and recall, several times faster. numpy's matrix product is used,
which ran ten times faster than the one in faiss-cpu's wheel.
"""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from embeddings.vectors import Vectors

Ints = NDArray[np.int64]
Rows = NDArray[np.int32]
Floats = NDArray[np.float32]
_SAMPLE = 500  # points on which recall is measured
_TRAINED = 50  # points a list that k-means sees
_ROUNDS = 6
CHUNK = 131_072  # points searched for at a time: bounds memory
_RANGES = 4  # parts of a chunk whose pairs are sorted at once
_one_thread = threading.Lock()  # BLAS has one number of threads a process: two that set it undo each other


class Lists(NamedTuple):
    """Points in lists: centres (l, d), own (n,) the list of each point, width, how many lists one looks at.

    bound (n,) is what no neighbour of a point is beyond: its k-th squared distance within its own list, less
    its own square.
    """

    centres: Vectors
    own: Ints
    bound: Floats
    width: int


def members_of(own: Ints, lists: int) -> list[Rows]:
    """Return the points of each list, in order."""
    order = np.argsort(own, kind="stable").astype(np.int32)
    return np.split(order, np.cumsum(np.bincount(own, minlength=lists))[:-1])


class _Bits(NamedTuple):
    """How a pair is packed into a key that sorts as it should: point, quantised distance, member.

    A sort of plain integers is several times faster than one of positions. The distance has what bits are
    left, 24 and more up to four million points; it decides only between neighbours as near as that.
    """

    point: int
    member: int

    @property
    def distance(self) -> int:
        return min(63 - self.point - self.member, 30)


def _length(n: int) -> int:
    """Return the bits that numbers below n need."""
    return max(n - 1, 1).bit_length()


def n_lists(n: int) -> int:
    """Return how many lists n points are kept in: about sqrt(n), a power of two."""
    return 1 << round(math.log2(math.sqrt(max(n, 1))))


def divide(vectors: Vectors, k: int, recall: float, seed: int) -> tuple[Lists, float]:
    """Put (n, d) vectors into lists, as wide for their k nearest as is asked; return them and the recall.

    As many lists are looked at for each point as hold `recall` of the true neighbours of a sample: which
    list a true neighbour is in says at what width it is found, so nothing has to be tried.
    """
    rows = sample_rows(len(vectors))
    with _threads() as pool:
        true = np.concatenate(list(pool.map(lambda part: brute_force(vectors, part, k), _blocks(rows))))
        centres, own = _divide(vectors, seed, pool)
        bound = _bounds(vectors, members_of(own, len(centres)), k, pool)
        lists = Lists(centres, own, bound, _width(vectors, centres, own, rows, true, recall))
        found = _search(vectors, lists, k, [rows], pool)
    return lists, recall_of(vectors, rows, found, true)


def nearest_in_lists(
    lists: Lists,
    vectors: Vectors,
    k: int,
    blocks: Sequence[Ints],
    progress: Callable[[int], None] | None = None,
) -> Rows:
    """Return the k nearest rows (q, k) of each row in the blocks, itself among them.

    The last bits of a matrix product depend on its shape: that goes by block, so the answer for a block is
    the same whatever others are asked for with it, and by how many threads.
    """
    with _threads() as pool:
        return _search(vectors, lists, k, blocks, pool, progress)


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Give as many threads as FAISS has, for matrix products of one thread each."""
    import faiss
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with _one_thread, ThreadPoolExecutor(faiss.omp_get_max_threads()) as pool, threadpool_limits(1):
        yield pool


def sample_rows(n: int) -> Ints:
    """Return the rows, evenly spaced, on which recall is measured."""
    return np.unique(np.linspace(0, n - 1, _SAMPLE).astype(np.int64))


def brute_force(vectors: Vectors, rows: Ints, k: int) -> Ints:
    """Return the k nearest (q, k) of a few rows among all vectors, themselves included, by trying all."""
    best = np.empty((len(rows), 0), dtype=np.int64)
    gap = np.empty((len(rows), 0), dtype=np.float32)
    for start in range(0, len(vectors), 16_384):
        apart = _apart(vectors[rows], vectors[start : start + 16_384])
        near = np.argpartition(apart, min(k, apart.shape[1]) - 1, axis=1)[:, :k]
        gap = np.concatenate([gap, np.take_along_axis(apart, near, axis=1)], axis=1)
        best = np.concatenate([best, near + start], axis=1)
    return np.take_along_axis(best, np.argpartition(gap, k - 1, axis=1)[:, :k], axis=1)


def _blocks(rows: Ints) -> list[Ints]:
    """Cut rows into runs of 64, for a thread each."""
    return [rows[start : start + 64] for start in range(0, len(rows), 64)]


def _divide(vectors: Vectors, seed: int, pool: ThreadPoolExecutor) -> tuple[Vectors, Ints]:
    """Divide the points among lists by k-means (Lloyd); return the centres and the list of each point."""
    lists = n_lists(len(vectors))
    rng = np.random.default_rng(seed)
    seen = vectors[np.sort(rng.choice(len(vectors), min(len(vectors), _TRAINED * lists), replace=False))]
    centres = seen[np.sort(rng.choice(len(seen), lists, replace=False))]
    for _ in range(_ROUNDS):
        centres = _means(seen, _assign(seen, centres, pool), centres)
    return centres, _assign(vectors, centres, pool)


def recall_of(vectors: Vectors, rows: Ints, found: NDArray[np.integer], true: Ints) -> float:
    """Return the share of true neighbours (q, k) that were found; one as near as the true k-th is no miss."""
    near, far = (np.linalg.norm(vectors[rows][:, None, :] - vectors[each], axis=2) for each in (found, true))
    near[found < 0] = np.inf
    return float((near <= far.max(axis=1, keepdims=True) + 1e-6).mean())


def _width(vectors: Vectors, centres: Vectors, own: Ints, rows: Ints, true: Ints, recall: float) -> int:
    """Return how many lists hold `recall` of the true neighbours of a few rows."""
    apart = _apart(vectors[rows], centres)
    rank = np.argsort(np.argsort(apart, axis=1), axis=1)  # how near each list is
    needed = rank[np.arange(len(rows))[:, None], own[true]]
    return min(int(np.quantile(needed, recall, method="higher")) + 1, len(centres))


def _near(vectors: Vectors, centres: Vectors, width: int, pool: ThreadPoolExecutor) -> Rows:
    """Return (n, width) the centres nearest each vector, in no order."""

    def some(at: int) -> Rows:
        apart = _apart(vectors[at : at + 4096], centres)
        return np.argpartition(apart, width - 1, axis=1)[:, :width].astype(np.int32)

    return np.concatenate(list(pool.map(some, range(0, len(vectors), 4096))))


def _apart(vectors: Vectors, others: Vectors) -> Floats:
    """Return squared distances (q, m) less each row's own square, which no comparison in a row needs."""
    apart = vectors @ (-2 * others.T)
    apart += np.einsum("nd,nd->n", others, others)
    return apart


def _assign(vectors: Vectors, centres: Vectors, pool: ThreadPoolExecutor) -> Ints:
    """Return (n,) the nearest centre of each vector."""
    blocks = range(0, len(vectors), 4096)
    return np.concatenate(
        list(pool.map(lambda at: _apart(vectors[at : at + 4096], centres).argmin(axis=1), blocks))
    )


def _means(vectors: Vectors, own: Ints, centres: Vectors) -> Vectors:
    """Return the mean of the vectors of each centre; a centre without any stays."""
    n = len(own)
    of = sparse.csr_array((np.ones(n, dtype=np.float32), own, np.arange(n + 1)), shape=(n, len(centres)))
    size = np.bincount(own, minlength=len(centres))[:, None]
    return np.where(size > 0, (of.T @ vectors) / np.maximum(size, 1), centres).astype(np.float32)


def _bounds(vectors: Vectors, members: list[Rows], k: int, pool: ThreadPoolExecutor) -> Floats:
    """Return (n,) the k-th distance within each point's own list: no neighbour is farther."""
    bound = np.full(len(vectors), np.inf, dtype=np.float32)

    def within(members: Rows) -> None:
        if len(members) >= k:
            apart = _apart(vectors[members], vectors[members])
            bound[members] = np.partition(apart, k - 1, axis=1)[:, k - 1]

    list(pool.map(within, members))
    return bound + np.float32(1e-6)


def _search(
    vectors: Vectors,
    lists: Lists,
    k: int,
    blocks: Sequence[Ints],
    pool: ThreadPoolExecutor,
    progress: Callable[[int], None] | None = None,
) -> Rows:
    """Let the points that look at each list meet it, and keep the k best of each point."""
    largest = max(float(np.einsum("nd,nd->n", vectors, vectors).max()), 1e-30)
    lists = lists._replace(bound=np.minimum(lists.bound, np.float32(4 * largest)))
    bits = _Bits(point=_length(min(len(vectors), CHUNK)), member=_length(len(vectors)))
    found = [np.empty((0, k), dtype=np.int32)]
    members = members_of(lists.own, len(lists.centres))
    for chunk in _chunks(blocks):
        met = _meetings(vectors, lists, members, chunk, largest, bits, pool)
        best = np.full((sum(map(len, chunk)), k), -1, dtype=np.int32)
        _take(best, np.concatenate(list(met)), bits, pool)
        found.append(best)
        if progress is not None:
            progress(sum(map(len, found)))
    return np.concatenate(found)


def _chunks(blocks: Sequence[Ints]) -> Iterator[list[Ints]]:
    """Yield runs of blocks, as many rows at a time as memory is meant for."""
    chunk: list[Ints] = []
    for block in blocks:
        if chunk and sum(map(len, chunk)) + len(block) > CHUNK:
            yield chunk
            chunk = []
        chunk.append(block)
    if chunk:
        yield chunk


def _meetings(
    vectors: Vectors,
    lists: Lists,
    members: list[Rows],
    chunk: list[Ints],
    largest: float,
    bits: _Bits,
    pool: ThreadPoolExecutor,
) -> Iterator[Ints]:
    """Yield, a list at a time, the keys of pairs within bounds; a point is its place in the chunk."""
    near = np.concatenate([_near(vectors[block], lists.centres, lists.width, pool) for block in chunk])
    edges = np.cumsum([0, *map(len, chunk)])
    order = np.argsort(near.ravel(), kind="stable")
    asked = np.split(
        (order // lists.width).astype(np.int32),
        np.cumsum(np.bincount(near.ravel(), minlength=len(members)))[:-1],
    )
    # One product gives squared distances less the asking point's own square and less its bound.
    points = np.concatenate(chunk)
    bound = lists.bound[points]
    asking = np.column_stack([vectors[points], np.ones_like(bound), -bound])
    scale = np.float32((1 << bits.distance) / (6 * largest))

    def meet(number: int) -> Ints:
        keys = [np.empty(0, dtype=np.int64)]
        others = vectors[members[number]]
        square = np.einsum("nd,nd->n", others, others)
        others = np.column_stack([-2 * others, square, np.ones_like(square)]).T
        for rows in _batches(asked[number], edges):
            beyond = asking[rows] @ others
            pairs = np.flatnonzero(beyond <= 0)
            row, column = np.divmod(pairs, beyond.shape[1])
            row = rows[row]
            # A squared distance less a square lies between -1 and 3 times the largest square.
            key = ((beyond.ravel()[pairs] + bound[row] + np.float32(1.5 * largest)) * scale).astype(np.int64)
            key <<= bits.member
            key |= members[number][column]
            keys.append(key | row.astype(np.int64) << (bits.distance + bits.member))
        return np.concatenate(keys)

    return pool.map(meet, range(len(members)))


def _batches(rows: Rows, edges: Ints) -> Iterator[Rows]:
    """Yield rows, in order, at most 2048 at a time and never across an edge."""
    cuts = np.searchsorted(rows, edges).tolist()
    for first, last in pairwise(cuts):
        for at in range(first, last, 2048):
            yield rows[at : min(at + 2048, last)]


def _take(best: Rows, keys: Ints, bits: _Bits, pool: ThreadPoolExecutor) -> None:
    """Write the first k members of each point's keys into its row, a range of points a thread."""
    shift = bits.distance + bits.member

    def some(first: int, last: int) -> None:
        mine = np.sort(keys[(keys >= first << shift) & (keys < last << shift)])
        row = (mine >> shift) - first
        rank = np.arange(len(row)) - np.searchsorted(row, np.arange(last - first))[row]
        kept = rank < best.shape[1]
        best[first + row[kept], rank[kept]] = mine[kept] & ((1 << bits.member) - 1)

    edges = np.linspace(0, len(best), _RANGES + 1).astype(int).tolist()
    list(pool.map(some, edges[:-1], edges[1:]))
