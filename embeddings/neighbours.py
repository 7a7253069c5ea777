"""What a neighbour search returns, and what is done to it before clustering."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from embeddings.vectors import Vectors, in_threads, one_thread, product

_SMOOTHED = 32  # dimensions in which vectors are smoothed: as good as all of them, and four times faster


class Neighbours(NamedTuple):
    """The k nearest others of n points.

    indices (n, k) int32, nearest first, never the point itself, -1 = none. distances (n, k) float32,
    Euclidean, inf where there is none. recall: the share of the true neighbours found, on a sample.
    index: what ran, as an index-factory string and its search width.
    """

    indices: NDArray[np.int32]
    distances: NDArray[np.float32]
    recall: float
    index: str  # type: ignore[assignment]  # hides tuple.index, which nobody calls


def unit_rows(vectors: Vectors) -> Vectors:
    """Scale each row of (n, d) to length one; a zero row stays zero."""
    length = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    if vectors.dtype == np.float32 and np.abs(length - 1).max(initial=0) < 1e-6:
        return vectors  # a copy of a million vectors is half a gigabyte
    return (vectors / np.where(length > 0, length, 1)[:, None]).astype(np.float32, copy=False)


def tidy(
    vectors: Vectors, found: NDArray[np.int64] | NDArray[np.int32], k: int, first: int = 0
) -> tuple[NDArray[np.int32], Vectors]:
    """Drop points from their own (m, k + 1) neighbours; return k indices and exact distances, sorted.

    The points are the rows of `vectors` from `first` on.
    Distances are taken from the differences, row by row: the scalar-product form that a search uses loses
    half the digits between near-duplicates, and its last bits depend on the number of threads.
    """
    n = len(found)
    indices = np.full((n, k), -1, dtype=np.int32)
    distances = np.full((n, k), np.inf, dtype=np.float32)

    def block(start: int, stop: int) -> None:
        rows = slice(start, stop)
        near = found[rows].astype(np.int64)
        apart = _gaps(vectors, first + start, near)
        apart[(near == np.arange(first + start, first + stop)[:, None]) | (near < 0)] = np.inf
        order = np.lexsort((near, apart), axis=1)[:, :k]  # ties by number: the same order on any machine
        distances[rows, : order.shape[1]] = np.take_along_axis(apart, order, axis=1)
        indices[rows, : order.shape[1]] = np.take_along_axis(near, order, axis=1)

    in_threads(block, n)
    indices[np.isinf(distances)] = -1
    return indices, distances


def _gaps(vectors: Vectors, start: int, near: NDArray[np.int64]) -> Vectors:
    """Return the distances (m, k) of rows start to start + m from those that are near each."""
    own = vectors[start : start + len(near)]
    gaps = np.empty(near.shape, dtype=np.float32)
    for at, column in enumerate(near.T):
        difference = vectors[column]
        difference -= own
        gaps[:, at] = np.einsum("nd,nd->n", difference, difference)
    return np.sqrt(gaps)


def smoothed(vectors: Vectors, neighbours: Neighbours, counts: NDArray[np.int64], rounds: int) -> Neighbours:
    """Return the same neighbours at the distances that remain when each point moves towards its neighbours.

    Prompts on one subject lie on a thin, noisy sheet in many dimensions, where single linkage chains and
    most points look lonely; averaging over the neighbour graph, again and again, takes the noise off
    across the sheet. The graph is UMAP's fuzzy union (McInnes et al. 2018) of (n, d) vectors, a point's own
    weight is its count up to k, so that a text sent often stays where it is. Nothing is searched again.
    """
    if not rounds or len(vectors) < 3:
        return neighbours
    graph = fuzzy_union(neighbours)
    graph = graph + sparse.diags_array(np.minimum(counts, neighbours.indices.shape[1]).astype(np.float32))
    graph = sparse.csr_array(graph, dtype=np.float32)
    vectors = _principal(vectors, _SMOOTHED)
    for _ in range(rounds):
        vectors = unit_rows(product(graph, vectors))
    return Neighbours(*remeasured(vectors, neighbours.indices), neighbours.recall, neighbours.index)


def fuzzy_union(neighbours: Neighbours) -> sparse.csr_array:
    """Return the (n, n) weights 0..1 of a neighbour graph: a falling exponential of distance, either way.

    The nearest neighbour has weight one and the scale is the mean gap beyond it, a point at a time; weights
    a, b of the two directions join as a + b - ab.
    """
    n = len(neighbours.indices)
    there = neighbours.indices >= 0
    some = there.sum(axis=1, dtype=np.int32)
    near = np.where(there, neighbours.distances, 0)
    gap = np.where(there, near - near[:, :1], 0)
    scale = np.maximum(gap.sum(axis=1) / np.maximum(some, 1), 1e-6).astype(np.float32)
    weight = np.exp(-gap / scale[:, None])[there]
    starts = np.concatenate([[0], np.cumsum(some, dtype=np.int32)], dtype=np.int32)
    # A transposition sorts: sums and products of sorted rows are several times faster.
    other = sparse.csc_array((weight, neighbours.indices[there], starts), shape=(n, n)).tocsr()
    one = other.T.tocsr()
    return one + other - one * other


def remeasured(vectors: Vectors, indices: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return known neighbours (n, k) in order of their distances between other (n, d) vectors."""
    distances = np.full(indices.shape, np.inf, dtype=np.float32)
    ordered = np.full_like(indices, -1)

    def block(start: int, stop: int) -> None:
        rows = slice(start, stop)
        near = indices[rows].astype(np.int64)
        apart = _gaps(vectors, start, near)
        apart[near < 0] = np.inf
        order = np.argsort(apart, axis=1, kind="stable")
        distances[rows] = np.take_along_axis(apart, order, axis=1)
        ordered[rows] = np.take_along_axis(near, order, axis=1)

    in_threads(block, len(indices))
    return ordered, distances


def _principal(vectors: Vectors, dimensions: int) -> Vectors:
    """Return the vectors less their mean, in their first principal directions, scaled to length one."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    if vectors.shape[1] > dimensions:
        with one_thread():
            spread = (vectors.T @ vectors).astype(np.float64) / len(vectors) - np.outer(mean, mean)
            turn = np.linalg.eigh(spread)[1][:, -dimensions:].astype(np.float32)
            return unit_rows(vectors @ turn - (mean @ turn).astype(np.float32))
    return unit_rows(vectors - mean.astype(np.float32))
