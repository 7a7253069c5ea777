"""False-discovery control over all groups of a run."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from campaigns.laws import Floats, Ints

SAME_ACCOUNTS = 0.5  # of the smaller group's accounts, from which two groups are one finding


def e_bh_q_values(log_e: Floats, weight: Floats, members: Sequence[Ints], n_accounts: int) -> Floats:
    """Return (g,) the smallest level at which each group is reported by e-BH (Wang and Ramdas 2022).

    log_e (g,) are natural logarithms of e-values, in any order and under any dependence. The groups of
    largest e are reported at level alpha when the least of their e-values is at least g / (alpha k), where k
    is how many findings they are: one campaign is found as many groups of mostly the same accounts, which
    must not make it easier for another. Of the findings a share of alpha at most is false on average, as of
    groups: a false one has a false group, and whether an e-value reaches t is at most e / t, whatever t is.
    members: the numbers, below n_accounts, of each group's accounts. weight (g,): how much each is expected
    to be one, before its e-value is seen; e-values times weights of mean 1 are what counts (Ignatiadis, Wang
    and Ramdas 2024).
    """
    if not len(log_e):
        return np.zeros(0)
    log_e = log_e + np.log(weight / weight.mean())
    order = np.argsort(-log_e, kind="stable")
    strong = order[log_e[order] > 0]
    new = np.zeros(len(log_e), dtype=bool)
    new[: len(strong)] = apart([members[i] for i in strong], n_accounts)
    findings = np.maximum(np.cumsum(new), 1)
    level = np.exp(np.minimum(np.log(len(log_e) / findings) - log_e[order], 0.0))
    q = np.empty(len(log_e))
    q[order] = np.minimum.accumulate(level[::-1])[::-1]
    return q


def apart(members: Sequence[Ints], n_accounts: int, known: int = 0) -> NDArray[np.bool_]:
    """Return (g,) bool, in order: whether a group shares few accounts with every group kept before it.

    Few are at most SAME_ACCOUNTS of the smaller one's. members: the numbers, below n_accounts, of each
    group's accounts. The first `known` groups are kept in any case.
    """
    sizes = np.array([len(some) for some in members])
    ones, ends = np.ones(int(sizes.sum())), np.append(0, np.cumsum(sizes))
    every = np.concatenate(members) if len(members) else np.empty(0, dtype=np.int64)
    crowd = sparse.csr_array((ones, every, ends), shape=(len(members), n_accounts))
    shared = (crowd @ crowd.T).tocsr()
    found = np.zeros(len(members), dtype=bool)
    found[:known] = True
    for i in range(known, len(members)):
        part = slice(shared.indptr[i], shared.indptr[i + 1])
        other, both = shared.indices[part], shared.data[part]
        found[i] = not (found[other] & (both > SAME_ACCOUNTS * np.minimum(sizes[i], sizes[other]))).any()
    return found
