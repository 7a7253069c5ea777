"""Kernel two-sample tests on windows of queries.

"MMD" window test of model-extraction attacks, arXiv 2606.05725 (June 2026): a Gaussian kernel with the median
bandwidth, windows of 1,500 queries against a pool of benign ones, threshold at the 95th percentile of benign
windows. It names windows, not accounts: as a rule over accounts we take those with half of their rows or more
in flagged windows, as the only reading that yields accounts. The clean pool it needs is given to it: 3,000
ordinary rows of the same log, which no other method here is told.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.detection.rivals.space import Space

WINDOW = 1500
FEATURES = 512
NULLS = 300


def random_features(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Map unit rows to random Fourier features of a Gaussian kernel with the median bandwidth.

    The squared distance of mean features approximates the squared MMD (Rahimi and Recht 2007).
    """
    rng = np.random.default_rng(seed)
    some = vectors[rng.choice(len(vectors), min(len(vectors), 1000), replace=False)]
    square = 2 - 2 * some @ some.T
    width = np.sqrt(np.median(square[np.triu_indices(len(some), 1)]) / 2 + 1e-9)
    direction = rng.normal(0, 1 / width, (vectors.shape[1], FEATURES))
    return (np.sqrt(2 / FEATURES) * np.cos(vectors @ direction + rng.uniform(0, 2 * np.pi, FEATURES))).astype(
        np.float32
    )


def threshold(
    features: NDArray[np.float32], pool: NDArray[np.int64], window: int, seed: int
) -> tuple[NDArray, float]:
    """Return the benign mean and the 95th percentile of the distance of benign windows from it."""
    rng = np.random.default_rng(seed)
    half = len(pool) // 2
    mean = features[pool[:half]].mean(0)
    nulls = [
        np.linalg.norm(
            features[rng.choice(pool[half:], window, replace=window > len(pool) - half)].mean(0) - mean
        )
        for _ in range(NULLS)
    ]
    return mean, float(np.quantile(nulls, 0.95))


def window_groups(traffic: pl.DataFrame, space: Space, seed: int) -> list[list[str]]:
    """Flag consecutive windows; return as one group the accounts that live in flagged ones."""
    features = random_features(space.vectors, seed)
    clean = np.flatnonzero(traffic["clean"].to_numpy())
    pool = np.random.default_rng(seed).choice(clean, min(len(clean), 3000), replace=False)
    mean, limit = threshold(features, pool, min(WINDOW, len(pool) // 2), seed)
    window = np.arange(len(features)) // WINDOW
    total = np.zeros((window[-1] + 1, FEATURES))
    np.add.at(total, window, features)
    far = np.linalg.norm(total / np.bincount(window)[:, None] - mean, axis=1) > limit
    inside = np.bincount(space.account, far[window], len(space.names)) / np.bincount(
        space.account, minlength=len(space.names)
    )
    group = np.flatnonzero(inside >= 0.5)
    return [[space.names[i] for i in group]] if len(group) else []


def own_protocol(
    space: Space, attack: NDArray[np.bool_], clean: NDArray[np.bool_], seed: int
) -> dict[str, float]:
    """Run the paper's own protocol: the flag rate of 200 windows at each share of attack rows."""
    rng = np.random.default_rng(seed)
    features = random_features(space.vectors, seed)
    benign, bad = rng.permutation(np.flatnonzero(clean)), np.flatnonzero(attack)
    pool, rest = np.array_split(benign, 2)
    mean, limit = threshold(features, pool, WINDOW, seed)
    rates = {}
    for share in (0.0, 0.05, 0.1, 0.25, 0.5, 1.0):
        k = int(share * WINDOW)
        flags = []
        for _ in range(200):
            rows = np.r_[rng.choice(bad, k), rng.choice(rest, WINDOW - k, replace=len(rest) < WINDOW - k)]
            flags.append(np.linalg.norm(features[rows].mean(0) - mean) > limit)
        rates[f"{share:.0%}"] = float(np.mean(flags))
    return rates
