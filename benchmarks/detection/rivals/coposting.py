"""Accounts that post one object within a time window (CooRnet, Giglietto et al. 2020; CooRTweet).

The object is the prompt's opening, its first eight words without digits: work that is shared out has no exact
text in common. An edge needs two or more co-actions within a minute, and a weight in the top half.
"""

import numpy as np
import polars as pl

from benchmarks.detection.rivals.graph import components
from benchmarks.detection.rivals.space import Space

WINDOW = 60_000_000  # microseconds
LEAST = 2
FARTHEST = 12  # later rows of one object that a row is paired with


def coposting_groups(traffic: pl.DataFrame, space: Space, seed: int) -> list[list[str]]:
    """Link accounts by repeated co-actions and return the components."""
    opening = (
        pl.col("prompt").str.replace_all(r"\d", "").str.strip_chars().str.extract(r"^((?:\S+\s+){0,7}\S+)")
    )
    rows = traffic.select(object=opening, t=pl.col("timestamp").dt.epoch("us")).with_columns(
        a=pl.Series(space.account)
    )
    rows = rows.drop_nulls().sort("object", "t", maintain_order=True)
    code = rows["object"].rle_id().to_numpy()
    t, a = rows["t"].to_numpy(), rows["a"].to_numpy()
    pairs = []
    for lag in range(1, FARTHEST + 1):
        near = (code[lag:] == code[:-lag]) & (t[lag:] - t[:-lag] <= WINDOW) & (a[lag:] != a[:-lag])
        x, y = a[:-lag][near], a[lag:][near]
        pairs.append(np.c_[np.minimum(x, y), np.maximum(x, y)])
    edge, weight = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    kept = weight >= LEAST
    if not kept.any():
        return []
    kept &= weight >= np.median(weight[kept])
    return components(space.names, edge[kept, 0], edge[kept, 1])
