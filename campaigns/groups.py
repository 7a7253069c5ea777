"""Candidate groups: who may work together, on which rows, before anything is weighed."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from campaigns.laws import BYSTANDERS, Floats, Ints
from campaigns.link import LinkSettings, components, count_accounts, link, shared_accounts
from campaigns.profiles import MIN_ROWS
from campaigns.traffic import Traffic

ROUNDS = 4
TELLING = 40  # linking-half rows below which a template by itself proves nothing
DROWNED = 1 - max(BYSTANDERS)  # of a group: where a template's accounts are fewer, the rest are no bystanders
OURS, OURS_ROWS = 0.5, 5  # the part of a cluster, and its rows, that make it a group's


@dataclass(frozen=True, kw_only=True)
class Group:
    """Accounts that share prompt clusters, query profiles or addresses, and the rows that they do.

    clusters: (view, label) pairs; empty for a group found by profiles or addresses. rows (r,) int64: the
    candidates' row numbers that the group is about, both halves. candidates (m,) int64: accounts with at
    least `least` such rows in the linking half, which makes volumes look more even than they are, so that
    their likelihoods are conditional on it; 0 where rows of one half alone are counted. confidence (m,): the
    probability that a candidate takes part, if anyone does. whole: volumes and hours are judged by all that
    the members sent; what is said of the work itself, its prompts and its minutes, is of `rows` all the same.
    """

    clusters: tuple[tuple[str, int], ...]
    rows: Ints
    candidates: Ints
    confidence: Floats
    least: int = 1
    whole: bool = False

    @cached_property
    def members(self) -> Ints:
        """The candidates more likely in than out, (k,) account numbers."""
        return self.candidates[self.confidence >= 0.5]

    def member_rows(self, log: Traffic) -> Ints:
        """Return the row numbers of the members alone, (k,) int64 ascending."""
        among = np.zeros(log.n_accounts, dtype=bool)
        among[self.members] = True
        return self.rows[among[log.account[self.rows]]]

    def sent(self, log: Traffic) -> "Group":
        """Return the group of the rows by which its members are judged: its own, or all that they sent."""
        return replace(self, rows=log.rows_of(self.members)) if self.whole else self

    def decisions(self, log: Traffic) -> "Group":
        """Return the group of the rows by which hours and topics are judged: turns of one talk count once."""
        sent = self.sent(log)
        return replace(sent, rows=sent.rows[log.opens[sent.rows]])

    def without(self, accounts: Ints) -> "Group":
        """Return the group without some candidates, (k,) account numbers."""
        kept = ~np.isin(self.candidates, accounts)
        return replace(self, candidates=self.candidates[kept], confidence=self.confidence[kept])


def membership(log: Traffic, groups: list[Group]) -> NDArray[np.bool_]:
    """Return (g, n_accounts) whether an account is a member of a group."""
    member = [np.isin(np.arange(log.n_accounts), group.members) for group in groups]
    return np.array(member, dtype=bool).reshape(len(groups), log.n_accounts)


def linked_groups(log: Traffic, settings: LinkSettings) -> list[Group]:
    """Return the groups of clusters that share accounts, in the order of their first cluster.

    Only the linking half is read to decide which clusters belong together and who is a candidate. Fragments
    of a row or two an account cannot be told from chance against one another, but against the group that
    their fellows have formed they can: groups are linked again, as clusters were, until nothing joins.
    """
    names, row, cluster = _clustered(log)
    group = np.arange(len(names))
    for _ in range(ROUNDS):
        pairs = np.unique(group[cluster] * len(log.account) + row)  # a row in two views counts once
        joined = link(
            log.account[pairs % len(log.account)],
            pairs // len(log.account),
            log.linking,
            len(names),
            settings,
        )
        after = np.where(joined[group] >= 0, joined[group], group)
        if np.array_equal(after, group):
            break
        group = after
    groups = [
        about(log, tuple(names[c] for c in np.flatnonzero(group == g))) for g in np.unique(group[cluster])
    ]
    alone = [about(log, (name,)) for name in _drowned(log, groups)]
    found = groups + alone + _of_one_preamble(log, settings)
    return [group for group in found if len(group.candidates) >= settings.min_accounts]


def _of_one_preamble(log: Traffic, settings: LinkSettings) -> list[Group]:
    """Return the groups of runs that the same accounts write, by how many accounts are in each.

    Where most tasks behind a preamble begin alike they are a run of their own, a longer one, and only with
    the others do they show how much each account sent. By its rows either is so popular that everybody might
    write both. By accounts they are linked, and in other views whole crowds would be.
    """
    labels = log.clusters.get("run", np.empty(0, dtype=np.int64))
    row = np.flatnonzero((labels >= 0) & ~log.held_out[: len(labels)])
    n = int(labels.max(initial=-1)) + 1
    group = link(log.account[row], labels[row], log.linking, n, settings, by_accounts=True)
    joined = np.bincount(group[group >= 0], minlength=n) > 1
    return [
        about(log, tuple(("run", int(label)) for label in np.flatnonzero(group == g)))
        for g in np.flatnonzero(joined)
    ]


def _clustered(log: Traffic) -> tuple[list[tuple[str, int]], Ints, Ints]:
    """Return the clusters of all views, and each linking-half row in one (r,) with the cluster's place."""
    names: list[tuple[str, int]] = []
    row, cluster = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for view, labels in log.clusters.items():
        row.append(np.flatnonzero((labels >= 0) & ~log.held_out))
        cluster.append(labels[row[-1]] + len(names))
        names += [(view, label) for label in range(int(labels.max(initial=-1)) + 1)]
    return names, np.concatenate(row), np.concatenate(cluster)


def _drowned(log: Traffic, groups: list[Group]) -> list[tuple[str, int]]:
    """Return the templates whose accounts are less than DROWNED of their group's candidates.

    Links run in chains, through accounts that serve many: such a template, of TELLING linking-half rows or
    more, is looked at by itself too.
    """
    labels = log.clusters.get("run", np.empty(0, dtype=np.int64))
    seen = np.flatnonzero(~log.held_out[: len(labels)] & (labels >= 0))
    rows = np.bincount(labels[seen], minlength=int(labels.max(initial=0)) + 1)
    accounts = accounts_in(log, labels, seen)
    return [
        (view, label)
        for group in groups
        for view, label in group.clusters
        if view == "run" and rows[label] >= TELLING and accounts[label] < DROWNED * len(group.candidates)
    ]


def accounts_in(log: Traffic, labels: Ints, rows: Ints) -> Ints:
    """Return how many accounts have one of the rows in each label; labels (n,) int64 by row of the log."""
    n = int(labels.max(initial=0)) + 1
    return count_accounts(log.account[rows], labels[rows], log.n_accounts, n)


def about(log: Traffic, clusters: tuple[tuple[str, int], ...]) -> Group:
    """Return the group of everyone with a linking-half row in one of the clusters."""
    return _group(log, clusters, np.concatenate([log.rows_in(*cluster) for cluster in clusters]))


def profile_groups(log: Traffic, profiles: Ints, settings: LinkSettings) -> list[Group]:
    """Return the groups of accounts whose query profiles agree; profiles (m,) int64 labels, -1 for none."""
    return [
        _group(log, (), log.rows_of(accounts), MIN_ROWS)
        for accounts in _by_label(profiles)
        if len(accounts) >= settings.min_accounts
    ]


def networks(log: Traffic, settings: LinkSettings) -> Ints:
    """Return (n,) by row the number of the addresses that the same accounts write from, -1 for none.

    Addresses of enough accounts are one network where most accounts of either write from both, by
    linking-half rows. Chance does not come into it: unlike a topic, an address is not for anyone to use.
    """
    if not log.has("ip"):
        return np.full(len(log.account), -1)
    codes = log.codes("ip")
    seen = np.flatnonzero(~log.held_out & (codes >= 0))
    users = accounts_in(log, codes, seen)
    shared = np.flatnonzero(users >= settings.min_accounts)
    place = np.full(len(users) + 1, -1)  # the last for rows without an address
    place[shared] = np.arange(len(shared))
    address = place[codes]
    seen = np.flatnonzero(~log.held_out & (address >= 0))
    left, right, both = shared_accounts(log.account[seen], address[seen], log.n_accounts, len(shared))
    most = both >= settings.min_share * np.maximum(users[shared[left]], users[shared[right]])
    return np.append(components(left[most], right[most], len(shared)), -1)[address]


def network_groups(log: Traffic, network: Ints) -> list[Group]:
    """Return the groups of everyone with a linking-half row in one network; network (n,) by row, or -1."""
    return [_group(log, (), rows) for rows in _by_label(network)]


def _by_label(labels: Ints) -> list[Ints]:
    """Return the numbers of the entries of each label from 0, those of -1 left out."""
    order = np.argsort(labels, kind="stable")[(labels < 0).sum() :]
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []


def gathered(log: Traffic, groups: list[Group]) -> list[Group]:
    """Add to each group the clusters of any view that its candidates alone make up, by linking-half rows.

    One template can lie in several clusters, and an account's requests then in all of them: only together do
    they show how much each account sent.
    """
    names, row, cluster = _clustered(log)
    entries = np.ones(len(row)), (log.account[row], cluster)
    counts = sparse.csr_array(entries, shape=(log.n_accounts, len(names)))
    size = counts.sum(axis=0)
    found = []
    for group in groups:
        rows = counts[group.candidates].tocoo()  # the clusters that they touch, which are few of all
        touched, place = np.unique(rows.col, return_inverse=True)
        theirs = np.bincount(place, rows.data)
        taken = touched[(theirs >= OURS_ROWS) & (theirs >= OURS * size[touched])]
        more = [log.rows_in(*names[cluster]) for cluster in taken]
        found.append(_group(log, group.clusters, np.concatenate([group.rows, *more]), group.least))
    return found


def _group(log: Traffic, clusters: tuple[tuple[str, int], ...], rows: Ints, least: int = 1) -> Group:
    """Return the group of everyone with so many linking-half rows among these, which may be named twice."""
    rows = np.unique(rows)
    linking = np.bincount(log.account[rows[~log.held_out[rows]]], minlength=log.n_accounts)
    among = linking >= least
    candidates = np.flatnonzero(among)
    return Group(
        clusters=clusters,
        rows=rows[among[log.account[rows]]],
        candidates=candidates,
        confidence=np.ones(len(candidates)),
        least=least,
    )
