"""Join clusters that the same accounts work on, more than activity and popularity explain."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.stats import poisson

from campaigns.laws import Floats, Ints

NEWTON = 12  # steps: fewer where a cluster has a part of the accounts, for all of them these
TINY = 1e-300  # keeps a step finite


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class LinkSettings:
    """When two prompt clusters are the work of the same accounts."""

    level: float = Field(
        default=1e-4, gt=0, lt=1, description="Poisson tail below which an overlap is no accident."
    )
    min_share: float = Field(
        default=0.5, ge=0, le=1, description="Least share of the smaller cluster's accounts that is in both."
    )
    min_accounts: int = Field(default=5, ge=2, description="Fewest accounts in a cluster, and in a group.")


class Overlaps(NamedTuple):
    """Pairs of clusters that share accounts: (e,) left < right, accounts in both, expected by chance."""

    left: Ints
    right: Ints
    shared: Ints
    expected: Floats


def shared_accounts(
    account: Ints, cluster: Ints, n_accounts: int, n_clusters: int
) -> tuple[Ints, Ints, Ints]:
    """Return the pairs of clusters that share accounts, (e,) left < right, and how many; rows (r,)."""
    incidence = sparse.csr_array(
        (np.ones(len(account)), (account, cluster)), shape=(n_accounts, n_clusters), dtype=np.float64
    )
    incidence.data[:] = 1
    shared = sparse.coo_array(sparse.triu(incidence.T @ incidence, k=1))
    left, right = (axis.astype(np.int64) for axis in shared.coords)
    return left, right, shared.data.astype(np.int64)


def components(left: Ints, right: Ints, n: int) -> Ints:
    """Return (n,) the connected component of each of n that pairs (e,) join: its first member's number."""
    graph = sparse.coo_array((np.ones(len(left)), (left, right)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    first = np.unique(component, return_index=True)[1]
    return first[component].astype(np.int64)


def overlaps(
    account: Ints, cluster: Ints, activity: Ints, n_clusters: int, *, by_accounts: bool = False
) -> Overlaps:
    """Count the accounts that each pair of clusters shares, and what chance would give.

    account, cluster (r,) are the rows of the linking half that lie in a cluster; activity (m,) is each
    account's rows in that half. An account with N_a of N rows is found in a cluster of n rows with
    probability 1 - exp(-N_a n / N), so popular clusters and busy accounts are expected to meet. by_accounts:
    in place of n / N stands what makes as many accounts expected in the cluster as are there (Saracco et al.
    2017, with the activities as they are): many rows of few accounts are not popular. Cost: the pairs that do
    share, and the clusters, times the number of different activities.
    """
    left, right, shared = shared_accounts(account, cluster, len(activity), n_clusters)
    levels, people = np.unique(activity, return_counts=True)
    if by_accounts:
        popularity = _popularity(count_accounts(account, cluster, len(activity), n_clusters), levels, people)
    else:
        popularity = np.bincount(cluster, minlength=n_clusters) / max(activity.sum(), 1)
    present = -np.expm1(-np.outer(popularity, levels))
    expected = np.empty(len(left))
    for block in range(0, len(left), 65_536):  # never a dense clusters x clusters matrix
        part = slice(block, block + 65_536)
        expected[part] = np.einsum("ev,ev,v->e", present[left[part]], present[right[part]], people)
    return Overlaps(left, right, shared, expected)


def count_accounts(account: Ints, cluster: Ints, n_accounts: int, n_clusters: int) -> Ints:
    """Return (n_clusters,) how many accounts have one of the rows (r,) in each cluster."""
    entries = np.unique(cluster * n_accounts + account)
    return np.bincount(entries // max(n_accounts, 1), minlength=n_clusters)


def _popularity(accounts: Ints, levels: Ints, people: Ints) -> Floats:
    """Return (c,) y for which `accounts` (c,) are expected where one of activity n is with 1 - exp(-y n).

    levels, people (v,): the activities, and the accounts of each. Newton's steps from below, where the sum
    over accounts is concave; where all are there, half an account is left out.
    """
    wanted = np.minimum(accounts, people[levels > 0].sum() - 0.5)
    y = wanted / max(float(levels @ people), 1.0)
    for _ in range(NEWTON):
        absent = np.exp(-np.outer(y, levels))
        y = y + (wanted - (1 - absent) @ people) / np.maximum(absent @ (levels * people), TINY)
    return y


def link(
    account: Ints,
    cluster: Ints,
    activity: Ints,
    n_clusters: int,
    settings: LinkSettings,
    *,
    by_accounts: bool = False,
) -> Ints:
    """Return (n_clusters,) the group of each cluster, its first cluster's number; -1 for too few accounts.

    Validated projection (Tumminello et al. 2011) with a Poisson tail in place of the hypergeometric, since
    accounts differ in activity; then connected components. The least share keeps two operators apart that
    only brush past each other in a popular topic. by_accounts as for `overlaps`.
    """
    pairs = overlaps(account, cluster, activity, n_clusters, by_accounts=by_accounts)
    accounts = count_accounts(account, cluster, len(activity), n_clusters)
    enough = accounts >= settings.min_accounts
    smaller = np.minimum(accounts[pairs.left], accounts[pairs.right])
    tail = poisson.sf(pairs.shared - 1, pairs.expected)
    keep: NDArray[np.bool_] = (
        (tail < settings.level)
        & (pairs.shared >= settings.min_share * smaller)
        & enough[pairs.left]
        & enough[pairs.right]
    )
    return np.where(enough, components(pairs.left[keep], pairs.right[keep], n_clusters), -1)
