"""What a neighbour search returns, and what is done to it before clustering."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
_BLOCK = 65_536  # rows gathered at a time


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
    return (vectors / np.where(length > 0, length, 1)[:, None]).astype(np.float32, copy=False)


def tidy(vectors: Vectors, found: NDArray[np.int64], k: int) -> tuple[NDArray[np.int32], Vectors]:
    """Drop each point from its own (n, k + 1) neighbours; return k indices and exact distances, sorted.

    Distances are taken from the differences, row by row: the scalar-product form that a search uses loses
    half the digits between near-duplicates, and its last bits depend on the number of threads.
    """
    n = len(found)
    indices = np.full((n, k), -1, dtype=np.int32)
    distances = np.full((n, k), np.inf, dtype=np.float32)
    for start in range(0, n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        near = found[rows]
        gone = (near == rows[:, None]) | (near < 0)
        apart = np.stack([_gap(vectors, rows, column) for column in near.T], axis=1)
        apart[gone] = np.inf
        order = np.lexsort((near, apart), axis=1)[:, :k]  # ties by number: the same order on any machine
        width = order.shape[1]
        distances[rows, :width] = np.take_along_axis(apart, order, axis=1)
        indices[rows, :width] = np.take_along_axis(near, order, axis=1)
    indices[np.isinf(distances)] = -1
    return indices, distances


def _gap(vectors: Vectors, rows: NDArray[np.int64], others: NDArray[np.int64]) -> Vectors:
    difference = vectors[rows] - vectors[others]
    return np.sqrt(np.einsum("nd,nd->n", difference, difference))
