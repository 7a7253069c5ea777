"""Rows of length one, which every encoder returns, and work on rows in threads."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

Vectors = NDArray[np.float32]
_BLOCK = 4096  # rows at a time: what a core's cache holds
_one_thread = threading.RLock()  # BLAS has one number of threads a process: two that set it undo each other


def unknown_vector(dimension: int) -> Vectors:
    """Return the (d,) unit vector that stands for a text without a known token: +1, -1, +1, ... / sqrt(d)."""
    signs = np.where(np.arange(dimension) % 2, -1.0, 1.0)
    return (signs / np.sqrt(dimension)).astype(np.float32)


def finish(vectors: Vectors) -> Vectors:
    """Scale rows (n, d) to length one in place; a zero or non-finite row becomes the unknown vector."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32))
    lost = ~np.isfinite(lengths) | (lengths <= 0)
    vectors /= np.where(lost, np.float32(1), lengths)[:, None]
    vectors[lost] = unknown_vector(vectors.shape[1])
    return vectors


def distinct(vectors: Vectors) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row (m,) of each different one of (n, d), ascending, and (n,) which of these each is.

    Bit by bit: rows are told apart by 64 bits of a hash, which two in a million rows share once in ten
    million runs.
    """
    odd = np.random.default_rng(0).integers(1 << 63, size=vectors.shape[1], dtype=np.uint64) * 2 + 1
    bits = np.ascontiguousarray(vectors, dtype=np.float32).view(np.uint32)
    _, first, of = np.unique(np.einsum("nd,d->n", bits, odd), return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[of]


def in_threads(block: Callable[[int, int], None], n: int) -> None:
    """Call `block` with the first row and the end of every block of n rows."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda start: block(start, min(start + _BLOCK, n)), range(0, n, _BLOCK)))


def product(matrix: sparse.csr_array, vectors: Vectors, out: Vectors | None = None) -> Vectors:
    """Return a sparse (n, m) times a dense (m, d): float32, the same bits for any number of threads."""
    product = np.empty((matrix.shape[0], vectors.shape[1]), dtype=np.float32) if out is None else out

    def block(start: int, stop: int) -> None:
        product[start:stop] = matrix[start:stop] @ vectors

    in_threads(block, len(product))
    return product


def squares_apart(vectors: Vectors, others: Vectors) -> Vectors:
    """Return squared distances (q, m) less each row's own square, which no comparison in a row needs."""
    apart = vectors @ (-2 * others.T)
    apart += np.einsum("nd,nd->n", others, others)
    return apart


def beside(vectors: Vectors, factor: int, *columns: NDArray[Any]) -> Vectors:
    """Return (n, d) vectors times a factor, with further columns (n,)."""
    n, d = vectors.shape
    out = np.empty((n, d + len(columns)), dtype=np.float32)
    np.multiply(vectors, factor, out=out[:, :d])
    for at, column in enumerate(columns):
        out[:, d + at] = column
    return out


def answering(vectors: Vectors) -> Vectors:
    """Return (n, d + 2) whose products with rows of (vector, 1, x) are squares_apart and x in one."""
    return beside(vectors, -2, np.einsum("nd,nd->n", vectors, vectors), np.ones(len(vectors)))


@contextmanager
def one_thread() -> Iterator[None]:
    """Have matrix products sum in one order, whatever the number of cores."""
    with _one_thread, threadpool_limits(1, user_api="blas"):
        yield


@contextmanager
def product_threads() -> Iterator[ThreadPoolExecutor]:
    """Give as many threads as FAISS has, for matrix products of one thread each."""
    import faiss

    with _one_thread, ThreadPoolExecutor(faiss.omp_get_max_threads()) as pool, threadpool_limits(1):
        yield pool
