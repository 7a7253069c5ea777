"""Accounts as points: what each one asks about, so that harvests without a template can be found."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

from campaigns.laws import Ints
from campaigns.traffic import Traffic

MIN_ROWS = 4  # an account with fewer rows in the linking half has no profile to speak of
DIMENSIONS = 128


def account_profiles(log: Traffic, topics: Ints, seed: int) -> tuple[Ints, NDArray[np.float32]]:
    """Return the accounts with a profile, (p,) int64 account numbers, and their unit vectors (p, d) float32.

    Log counts of the account's linking-half rows by topic, times inverse account frequency, reduced by a
    truncated SVD (latent semantic analysis, Deerwester et al. 1990). topics (n,) int64 by row of the log.
    """
    seen = ~log.held_out & (topics >= 0)
    counts = sparse.coo_array(
        (np.ones(int(seen.sum())), (log.account[seen], topics[seen])),
        shape=(log.n_accounts, int(topics.max(initial=0)) + 1),
    ).tocsr()
    counts.sum_duplicates()
    chosen = np.flatnonzero(np.asarray(counts.sum(axis=1)).ravel() >= MIN_ROWS)
    counts = counts[chosen]
    d = min(DIMENSIONS, *(size - 1 for size in counts.shape))
    if d < 2:
        return chosen[:0], np.zeros((0, DIMENSIONS), dtype=np.float32)
    counts.data = np.log1p(counts.data)
    users = np.bincount(counts.indices, minlength=counts.shape[1])
    weighted = counts @ sparse.diags_array(np.log(len(chosen) / np.maximum(users, 1)))
    if not weighted.count_nonzero():  # everybody asks about everything
        return chosen[:0], np.zeros((0, DIMENSIONS), dtype=np.float32)
    left, values, _ = svds(weighted, k=d, rng=np.random.default_rng(seed))
    points = left * values
    length = np.linalg.norm(points, axis=1, keepdims=True)
    return chosen, (points / np.maximum(length, 1e-12)).astype(np.float32)


def by_cluster(topics: Ints, labels: Ints) -> Ints:
    """Give the rows of a cluster one topic, that of most of them; topics, labels (n,) int64, -1 for noise.

    Which of two centroids the requests of one cluster are nearest to is nobody's interest: they fall to
    either at random, as those of one queue do.
    """
    inside = labels >= 0
    n = int(topics.max(initial=0)) + 1
    pairs, counts = np.unique(labels[inside] * n + topics[inside], return_counts=True)
    order = np.lexsort((counts, pairs // n))  # of each cluster its commonest topic last
    main = np.zeros(int(labels.max(initial=-1)) + 1, dtype=np.int64)
    main[pairs[order] // n] = pairs[order] % n
    settled = topics.copy()
    settled[inside] = main[labels[inside]]
    return settled
