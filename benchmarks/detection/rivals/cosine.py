"""Accounts whose TF-IDF profiles are alike (Pacheco et al., Uncovering coordinated networks, ICWSM 2021)."""

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize

from benchmarks.detection.rivals.graph import components
from benchmarks.detection.rivals.space import Space

PERCENTILE = 99.5  # of edge weights kept
FEWEST = 5  # rows of an account


def cosine_groups(traffic: pl.DataFrame, space: Space, seed: int) -> list[list[str]]:
    """Project accounts by cosine of their summed TF-IDF rows, keep the top edges, return components."""
    n, m = len(space.account), len(space.names)
    member = csr_matrix((np.ones(n, np.float32), (space.account, np.arange(n))), shape=(m, n))
    kept = np.flatnonzero(np.bincount(space.account, minlength=m) >= FEWEST)
    profile = normalize((member @ space.tfidf)[kept])
    left, right, weight = [], [], []
    for start in range(0, len(kept), 500):
        block = (profile[start : start + 500] @ profile.T).toarray()
        rows, cols = np.nonzero(np.triu(block, start + 1) > 0.1)
        left.append(rows + start)
        right.append(cols)
        weight.append(block[rows, cols])
    a, b, w = (np.concatenate(x) if x else np.empty(0) for x in (left, right, weight))
    if not len(w):
        return []
    strong = w >= np.percentile(w, PERCENTILE)
    return components(space.names, kept[a[strong]], kept[b[strong]])
