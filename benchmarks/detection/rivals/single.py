"""Detectors that look at one account at a time; what they flag is returned as one group."""

import numpy as np
import polars as pl
from scipy.stats import shapiro

from benchmarks.detection.rivals.space import Space

FEWEST = 20  # rows of an account below which nothing is tested
NORMAL = 0.90  # PRADA: Shapiro-Wilk W below which distances are not normal
SIMILAR = 0.9  # SEAT: cosine of a pair that is too similar
PAIRS = 0.05  # SEAT: share of such pairs from which an account is flagged
BITS = 12  # CAP: sign bits of its buckets


def _accounts(space: Space) -> list[np.ndarray]:
    order = np.argsort(space.account, kind="stable")
    return np.split(order, np.cumsum(np.bincount(space.account, minlength=len(space.names)))[:-1])


def _one(space: Space, flagged: list[int]) -> list[list[str]]:
    return [[space.names[i] for i in flagged]] if flagged else []


def prada_groups(traffic: pl.DataFrame, space: Space, seed: int) -> list[list[str]]:
    """PRADA (Juuti et al., EuroS&P 2019, arXiv 1805.02628): least distances to earlier queries not normal."""
    flagged = []
    for i, rows in enumerate(_accounts(space)):
        if len(rows) < FEWEST:
            continue
        x = space.vectors[rows[:300]]
        square = 2 - 2 * x @ x.T
        least = np.sqrt(np.maximum([square[j, :j].min() for j in range(1, len(x))], 0))
        least = least[np.abs(least - least.mean()) <= 3 * least.std() + 1e-9]
        if np.ptp(least) > 1e-6 and shapiro(least).statistic < NORMAL:
            flagged.append(i)
    return _one(space, flagged)


def seat_groups(traffic: pl.DataFrame, space: Space, seed: int) -> list[list[str]]:
    """SEAT (Zhang et al., AISec 2021): an account with too many too similar pairs of queries."""
    flagged = []
    for i, rows in enumerate(_accounts(space)):
        if len(rows) >= FEWEST:
            x = space.vectors[rows[:300]]
            close = (x @ x.T)[np.triu_indices(len(x), 1)] > SIMILAR
            if close.mean() > PAIRS:
                flagged.append(i)
    return _one(space, flagged)


def coverage_groups(traffic: pl.DataFrame, space: Space, seed: int) -> list[list[str]]:
    """CAP / B4B (Dubinski et al., NeurIPS 2023): an account whose queries fill too many LSH buckets.

    Coverage is set against that of accounts of like volume; the top twentieth is flagged.
    """
    planes = np.random.default_rng(seed).normal(size=(space.vectors.shape[1], BITS))
    bucket = ((space.vectors @ planes) > 0) @ (1 << np.arange(BITS))
    sizes, excess = [], []
    kept = [(i, rows) for i, rows in enumerate(_accounts(space)) if len(rows) >= FEWEST]
    for _, rows in kept:
        sizes.append(np.log(len(rows)))
        excess.append(np.log(len(np.unique(bucket[rows]))))
    if not kept:
        return []
    slope, level = np.polyfit(sizes, excess, 1) if len(set(sizes)) > 1 else (0.0, float(np.mean(excess)))
    residual = np.array(excess) - slope * np.array(sizes) - level
    return _one(space, [kept[j][0] for j in np.flatnonzero(residual >= np.quantile(residual, 0.95))])
