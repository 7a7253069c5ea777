"""Candidate groups: who may work together, on which rows, before anything is weighed."""

from dataclasses import dataclass

import numpy as np

from campaigns.laws import Floats, Ints
from campaigns.link import LinkSettings, link
from campaigns.traffic import Traffic


@dataclass(frozen=True, kw_only=True)
class Group:
    """Accounts that share prompt clusters, or whose query profiles agree.

    clusters: (view, label) pairs; empty for a group found by profiles alone. rows (r,) int64: the candidates'
    row numbers that the group is about, both halves. candidates (m,) int64: accounts with such a row in the
    linking half. confidence (m,): the probability that a candidate takes part, if anyone does.
    """

    clusters: tuple[tuple[str, int], ...]
    rows: Ints
    candidates: Ints
    confidence: Floats

    @property
    def members(self) -> Ints:
        """The candidates more likely in than out, (k,) account numbers."""
        return self.candidates[self.confidence >= 0.5]


def linked_groups(log: Traffic, settings: LinkSettings) -> list[Group]:
    """Return the groups of clusters that share accounts, in the order of their first cluster.

    Only the linking half is read to decide which clusters belong together and who is a candidate.
    """
    names = [(view, label) for view, labels in log.clusters.items() for label in range(labels.max() + 1)]
    offset, entries = 0, []
    for labels in log.clusters.values():
        in_cluster = np.flatnonzero((labels >= 0) & ~log.held_out)
        entries.append((log.account[in_cluster], labels[in_cluster] + offset))
        offset += int(labels.max()) + 1
    if not names:
        return []
    account = np.concatenate([part[0] for part in entries])
    cluster = np.concatenate([part[1] for part in entries])
    activity = np.bincount(log.account[~log.held_out], minlength=log.n_accounts)
    group = link(account, cluster, activity, len(names), settings)
    return [
        about(log, tuple(names[c] for c in np.flatnonzero(group == g)), settings.min_accounts)
        for g in np.unique(group[group >= 0])
    ]


def about(log: Traffic, clusters: tuple[tuple[str, int], ...], min_accounts: int) -> Group:
    """Return the group of everyone with a linking-half row in one of the clusters."""
    inside = np.zeros(len(log.account), dtype=bool)
    for view, labels in log.clusters.items():
        inside |= np.isin(labels, [label for name, label in clusters if name == view])
    return _group(log, clusters, inside)


def profile_groups(log: Traffic, profiles: Ints, settings: LinkSettings) -> list[Group]:
    """Return the groups of accounts whose query profiles agree; profiles (m,) int64 labels, -1 for none."""
    sizes = np.bincount(profiles[profiles >= 0], minlength=1)
    return [
        _group(log, (), (profiles == label)[log.account])
        for label in np.flatnonzero(sizes >= settings.min_accounts)
    ]


def _group(log: Traffic, clusters: tuple[tuple[str, int], ...], inside: np.ndarray) -> Group:
    candidates = np.unique(log.account[inside & ~log.held_out])
    among = np.zeros(log.n_accounts, dtype=bool)
    among[candidates] = True
    rows = np.flatnonzero(inside & among[log.account])
    return Group(clusters=clusters, rows=rows, candidates=candidates, confidence=np.ones(len(candidates)))
