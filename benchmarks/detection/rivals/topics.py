"""Topics with many accounts, what one builds first (BERTopic, Grootendorst 2022; UMAP, McInnes 2018)."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.detection.rivals.space import Space

FEWEST_ACCOUNTS = 10
CLUSTER = 12


def _groups(space: Space, label: NDArray[np.int64], row: NDArray[np.int64]) -> list[list[str]]:
    """Return the accounts of each cluster with at least ten of them."""
    out = []
    for k in range(label.max(initial=-1) + 1):
        accounts = np.unique(space.account[label[row] == k])
        if len(accounts) >= FEWEST_ACCOUNTS:
            out.append([space.names[i] for i in accounts])
    return out


def umap_groups(traffic: pl.DataFrame, space: Space, seed: int) -> list[list[str]]:
    """UMAP to five dimensions, HDBSCAN, and every cluster of ten accounts or more is a campaign."""
    from umap import UMAP

    first, row = _distinct(traffic)
    flat = UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=seed)
    return _groups(space, _labels(flat.fit_transform(space.vectors[first])), row)


def hdbscan_groups(traffic: pl.DataFrame, space: Space, seed: int) -> list[list[str]]:
    """Run HDBSCAN on ten random directions of the vectors, with the same rule, for want of UMAP."""
    first, row = _distinct(traffic)
    turn = np.random.default_rng(seed).normal(size=(space.vectors.shape[1], 10))
    return _groups(space, _labels(space.vectors[first] @ turn), row)


def _labels(points: NDArray[np.floating]) -> NDArray[np.int64]:
    from hdbscan import HDBSCAN

    # one process: starting four takes longer than they save
    return HDBSCAN(min_cluster_size=CLUSTER, core_dist_n_jobs=1).fit_predict(points.astype(np.float64))


def _distinct(traffic: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of each distinct prompt, and each row's place among those."""
    frame = traffic.select("prompt").with_row_index("i")
    first = frame.group_by("prompt", maintain_order=True).agg(pl.col("i").first())
    number = first.select("prompt").with_row_index("d")
    place = frame.join(number, on="prompt", how="left", maintain_order="left")
    return first["i"].to_numpy().astype(np.int64), place["d"].to_numpy().astype(np.int64)
