"""What every encoder returns: rows of length one, with a defined row where a text has no known token."""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def unknown_vector(dimension: int) -> Vectors:
    """Return the (d,) unit vector that stands for a text without a known token: +1, -1, +1, ... / sqrt(d)."""
    signs = np.where(np.arange(dimension) % 2, -1.0, 1.0)
    return (signs / np.sqrt(dimension)).astype(np.float32)


def finish(vectors: Vectors) -> tuple[Vectors, int]:
    """Scale the rows of (n, d) to length one in place; a zero or non-finite row becomes the unknown vector.

    Returns the vectors and how many rows were unknown.
    """
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32))
    lost = ~np.isfinite(lengths) | (lengths <= 0)
    vectors /= np.where(lost, np.float32(1), lengths)[:, None]
    vectors[lost] = unknown_vector(vectors.shape[1])
    return vectors, int(lost.sum())


def unknown_rows(vectors: Vectors) -> NDArray[np.bool_]:
    """Return (n,) which rows of (n, d) are the unknown vector."""
    return np.abs(vectors - unknown_vector(vectors.shape[1])).max(axis=1, initial=0) < 1e-6
