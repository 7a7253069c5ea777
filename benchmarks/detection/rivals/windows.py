"""Kernel two-sample tests on windows of queries.

"MMD" window test of model-extraction attacks, arXiv 2606.05725 (June 2026): a Gaussian kernel with the median
bandwidth, windows of 1,500 queries against a pool of benign ones, threshold at the 95th percentile of benign
windows. It names windows, not accounts: as a rule over accounts we take those with half of their rows or more
in flagged windows, as the only reading that yields accounts. The clean pool it needs is given to it: 12,000
ordinary rows of the same log, which no other method here is told. The paper's own protocol, which knows no
accounts, is in windows_protocol.py.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from benchmarks.detection.rivals.space import Space

WINDOW = 1500
FEATURES = 512
NULLS = 1000
POOL = 12_000
LEVEL = 0.95  # quantile of the nulls that is the threshold


def random_features(vectors: NDArray[np.float32], pool: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
    """Map unit rows to random Fourier features of a Gaussian kernel with the median bandwidth of the pool.

    The squared distance of mean features approximates the squared MMD (Rahimi and Recht 2007).
    """
    rng = np.random.default_rng(seed)
    some = vectors[rng.choice(pool, min(len(pool), 1000), replace=False)]
    square = 2 - 2 * some @ some.T
    width = np.sqrt(np.median(square[np.triu_indices(len(some), 1)]) / 2 + 1e-9)
    direction = rng.normal(0, 1 / width, (vectors.shape[1], FEATURES)).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, FEATURES).astype(np.float32)
    features: NDArray[np.float32] = np.cos(vectors @ direction + phase) * np.float32(np.sqrt(2 / FEATURES))
    return features


def drawn(pool: NDArray[np.int64], size: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw `count` windows of `size` different rows each, (count, size)."""
    return np.stack([rng.choice(pool, size, replace=False) for _ in range(count)])


def counted(windows: NDArray[np.int64], n: int) -> csr_matrix:
    """Return (w, n) how often each of n rows lies in each window; windows (w, size)."""
    starts = np.arange(len(windows) + 1) * windows.shape[1]
    counts = csr_matrix((np.ones(windows.size, np.float32), windows.ravel(), starts), (len(windows), n))
    counts.sum_duplicates()
    return counts


def window_groups(traffic: pl.DataFrame, space: Space, seed: int) -> list[list[str]]:
    """Flag consecutive windows; return as one group the accounts that live in flagged ones."""
    rng = np.random.default_rng(seed)
    pool = rng.permutation(np.flatnonzero(traffic["clean"].to_numpy()))[:POOL]
    near, apart = np.array_split(pool, 2)
    features = random_features(space.vectors, near, seed)
    mean = features[near].mean(0)
    size = min(WINDOW, len(apart) // 2)
    nulls = counted(drawn(apart, size, NULLS, rng), len(features)) @ features / size
    limit = np.quantile(np.linalg.norm(nulls - mean, axis=1), LEVEL)
    window = np.arange(len(features)) // WINDOW
    total = np.zeros((window[-1] + 1, FEATURES))
    np.add.at(total, window, features)
    far = np.linalg.norm(total / np.bincount(window)[:, None] - mean, axis=1) > limit
    inside = np.bincount(space.account, far[window], len(space.names)) / np.bincount(
        space.account, minlength=len(space.names)
    )
    group = np.flatnonzero(inside >= 0.5)
    return [[space.names[i] for i in group]] if len(group) else []
