"""Who of a group's candidates takes part: two kinds of accounts, told apart by how they behave."""

import dataclasses
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from campaigns.groups import Group, accounts_in
from campaigns.laws import Floats, Ints, effective_number
from campaigns.mixture import Side, by_hours, by_rate, by_share, by_topics, mixture, work_of
from campaigns.people import People
from campaigns.traffic import Traffic
from campaigns.volumes import OTHER_RATE, one_rate, one_rate_or_two

# How tight a queue is: concentration of its hours, of the share of an account's traffic, shape of its rates.
QUEUE_HOURS, QUEUE_SHARE, QUEUE_RATE = 128.0, 20.0, 8.0
# How tight a known campaign may turn out to be: what was reported need not be a queue in every respect.
HOURS, SHARES, RATES = (2.0, 8.0, 32.0, 128.0), (2.0, 5.0, 20.0), (1.0, 2.0, 8.0)
TOPICS_ALIKE = (1.0, 4.0, 16.0, 64.0, 256.0)
OURS, OURS_ROWS = 0.3, 5  # a good part, and the rows that make it more than an accident
OURS_IN_MAIN = 0.1  # least part of a label that holds much of what the members wrote
NETWORK, TOPICS = "network", "topics"
MARKS = ("run", "skeleton", NETWORK)  # what can be a campaign's own, the more exact first
COVERED = 0.8  # part of the members' work that makes a template or a network the mark of the campaign
FEW = 4.0  # such labels, as equal ones: many are the families of a harvest
OURS_ACCOUNTS = 0.1  # least part of the members that a label of theirs has
LISTED = 0.05  # a passer-by less likely to take part than this is not listed
KINDS = 6  # of accounts, by topics, that are put together to crews
CHAIN = 8  # labels that a campaign without a mark is followed through
MOST = 6.0  # no single way of telling them apart may settle an account on its own


def parts(log: Traffic, group: Group, people: People, min_accounts: int) -> list[Group]:
    """Return the group as it is, and the part of it that behaves like one queue, where there is such a part.

    Who belongs to the part is seen from linking-half rows alone, volumes left out: the evidence is weighed on
    held-out rows and volumes that have not been looked at. Both are groups of their own to whoever controls
    false discoveries.
    """
    whole = dataclasses.replace(group, confidence=np.full(len(group.candidates), 0.5))
    rows = group.rows[~log.held_out[group.rows]]
    work = work_of(log, rows, group.candidates, log.linking)
    sides = [
        Side(by_hours(log, work, people), (QUEUE_HOURS,)),
        Side(by_share(work), (QUEUE_SHARE,), MOST),
    ]
    part = dataclasses.replace(group, confidence=mixture(sides, whole.confidence))
    if len(part.members) < min_accounts:
        return [whole]
    return [part] if len(part.members) == len(group.candidates) else [whole, part]


def crews(log: Traffic, group: Group, people: People, labels: dict[str, Ints]) -> list[Group]:
    """Return the crews that a campaign without a mark is of, largest first: itself where it is of one.

    Two harvests of the same topics are found in one piece. Accounts are put together by what they ask
    (k-means on the roots of their shares of topics, which is Hellinger's distance), and that says nothing of
    how much they send: those who send at one rate are of one crew, others of another operator. labels as for
    `grown`.
    """
    from sklearn.cluster import KMeans

    members, work = group.members, group.member_rows(log)
    if len(members) < 2 * KINDS or _mark(_found(log, group, labels), labels, work):
        return [group]
    used, topic = np.unique(labels[TOPICS][work], return_inverse=True)
    place = log.places(members)[log.account[work]]
    cells = place.astype(np.int32), topic.astype(np.int32)  # as scikit-learn wants them
    counts = sparse.csr_array((np.ones(len(work)), cells), shape=(len(members), len(used)))
    shares = counts.multiply(1 / counts.sum(axis=1)[:, None]).tocsr().sqrt()
    kind = KMeans(min(KINDS, len(used)), n_init=4, random_state=0).fit_predict(shares)

    @cache
    def rate(kinds: frozenset[int]) -> float:
        return one_rate(log, members[np.isin(kind, list(kinds))], people)

    def ratio(pair: tuple[frozenset[int], frozenset[int]]) -> float:
        one, other = pair
        return rate(one | other) - rate(one) - rate(other)

    found = [frozenset({int(i)}) for i in np.unique(kind)]
    while len(found) > 1:
        best = max(combinations(found, 2), key=ratio)
        if ratio(best) < OTHER_RATE:
            break
        found = [kinds for kinds in found if kinds not in best] + [best[0] | best[1]]
    crew = [group.without(members[~np.isin(kind, list(kinds))]) for kinds in found]
    return sorted(crew, key=lambda part: -len(part.members))


def grown(
    log: Traffic, group: Group, people: People, labels: dict[str, Ints], taken: NDArray[np.bool_]
) -> Group:
    """Take in what else the members worked on and whoever else works on it, from all rows and volumes.

    labels: clusters by view, topics, and networks, (n,) int64 by row each, -1 for none. A label of which
    the members wrote a good part, or which holds a good part of what they wrote, is the campaign's;
    everybody with a row in it is a candidate. Where a template, or else one network, covers the work,
    nothing else is looked at. taken (n,) bool: rows that other campaigns have a claim to, which this one
    does not get beyond what it has. What decides is behaviour: the confidence is the probability of taking
    part, given that the campaign is real.
    """
    for _ in range(2):
        work, found = group.member_rows(log), _found(log, group, labels)
        inside = np.zeros(len(log.account), dtype=bool)
        inside[work] = True
        mark = _mark(found, labels, work)
        if mark:  # not what else its accounts have in common
            inside |= found[mark] & np.isin(labels[mark], labels[mark][work]) & ~taken
        else:
            inside |= _anywhere(found) & ~taken
        rows = np.flatnonzero(inside)
        candidates = np.unique(log.account[rows])
        seen = work_of(log, rows, candidates, log.sent)
        sides = [
            Side(by_hours(log, seen, people), HOURS, MOST),
            Side(by_share(seen), SHARES, MOST),
            Side(by_rate(seen, people, template=mark is not None), RATES, MOST),
            Side(by_topics(labels[TOPICS], seen, people), TOPICS_ALIKE, MOST),
        ]
        confidence = mixture(sides, _reported(candidates, group.members))
        larger = dataclasses.replace(group, rows=rows, candidates=candidates, confidence=confidence)
        if len(larger.member_rows(log)) < len(work) / 2:  # lost what was reported: bystanders send little
            return group
        group = larger
    return _listed(group)


def widened(log: Traffic, group: Group, people: People, labels: dict[str, Ints], members: Ints) -> Group:
    """Let join whoever asks some of what a campaign without a mark asks, and does all else as its members do.

    A benchmark in shards, or a harvest of which each account has a few families, has no label that all its
    accounts work on, only a chain of them. An account with a request in one is weighed by everything that it
    sent: hours, rate and topics. Once all have joined, a good part of what each sent must be in the labels of
    the campaign, since some customers' jobs run flat, at any rate; and together they must be of the members'
    rate, or they are another operator's and nobody joins. members (k,): of any campaign, who join no other.
    labels as for `grown`.
    """
    if not len(group.members) or _mark(_found(log, group, labels), labels, group.member_rows(log)):
        return group
    free = ~np.isin(np.arange(log.n_accounts), members)
    wide = group
    for _ in range(CHAIN):
        near = free & (_asked(log, wide, labels) > 0)
        near[wide.members] = True
        candidates, rows = np.flatnonzero(near), np.flatnonzero(near[log.account])
        seen = work_of(log, rows, candidates, log.sent)
        sides = [
            Side(by_hours(log, seen, people), HOURS, MOST),
            Side(by_rate(seen, people, template=False), (QUEUE_RATE,)),
            Side(by_topics(labels[TOPICS], seen, people), TOPICS_ALIKE, MOST),
        ]
        confidence = mixture(sides, _reported(candidates, wide.members))
        candidates, confidence = candidates[confidence >= 0.5], confidence[confidence >= 0.5]
        known, wide = len(wide.members), _joined(log, group, candidates, confidence)
        if len(wide.members) == known:
            break
    worth = (_asked(log, wide, labels) >= OURS * log.sent)[candidates]
    wide = _joined(log, group, candidates[worth], confidence[worth])
    new = np.setdiff1d(wide.members, group.members)
    if not len(new):
        return group
    second_mean = np.log(len(wide.members)) / 2  # what a fitted parameter is worth (Schwarz 1978)
    return wide if one_rate_or_two(log, group.members, new, people) >= -second_mean else group


def _asked(log: Traffic, group: Group, labels: dict[str, Ints]) -> Ints:
    """Return (n_accounts,) the requests of each account in labels that are the group's."""
    return np.bincount(log.account[_anywhere(_found(log, group, labels))], minlength=log.n_accounts)


def _joined(log: Traffic, group: Group, accounts: Ints, confidence: Floats) -> Group:
    """Return a group with all that some accounts (k,) sent, unless they are members already."""
    new = ~np.isin(accounts, group.members)
    old = ~np.isin(group.candidates, accounts[new])
    candidates = np.concatenate([group.candidates[old], accounts[new]])
    order = np.argsort(candidates)
    return dataclasses.replace(
        group,
        rows=np.union1d(group.rows, np.flatnonzero(np.isin(log.account, accounts[new]))),
        candidates=candidates[order],
        confidence=np.concatenate([group.confidence[old], confidence[new]])[order],
    )


def _reported(candidates: Ints, members: Ints) -> Floats:
    """Return (m,) probabilities to begin with: newcomers, however many, do not outweigh the members."""
    few = min(len(members) / len(candidates), 1)
    return np.where(np.isin(candidates, members), 0.9, 0.1 * few)


def _found(log: Traffic, group: Group, labels: dict[str, Ints]) -> dict[str, NDArray[np.bool_]]:
    """Return by view the rows (n,) in labels that are the group's."""
    return {view: _theirs(log, group, label) for view, label in labels.items()}


def _mark(found: dict[str, NDArray[np.bool_]], labels: dict[str, Ints], work: Ints) -> str | None:
    """Return the view in which a few labels of its own cover a group's work, if there is one."""
    for view in MARKS:
        if view in found and found[view][work].mean() >= COVERED:
            own = np.bincount(labels[view][work][found[view][work]])
            if effective_number(own) <= FEW:
                return view
    return None


def _anywhere(found: dict[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Return the rows (n,) that are the group's in some view of what is asked."""
    return np.logical_or.reduce([rows for view, rows in found.items() if view != NETWORK])


def _listed(group: Group) -> Group:
    listed = group.confidence >= LISTED
    return dataclasses.replace(
        group, candidates=group.candidates[listed], confidence=group.confidence[listed]
    )


def _theirs(log: Traffic, group: Group, label: Ints) -> NDArray[np.bool_]:
    """Return the rows (n,) in labels of which the members wrote a good part, or that hold much of theirs."""
    n = int(label.max(initial=0)) + 1
    own = np.isin(log.account, group.members) & (label >= 0)
    size = np.maximum(np.bincount(label[label >= 0], minlength=n), 1)
    theirs = np.bincount(label[own], minlength=n)
    accounts = accounts_in(log, label, np.flatnonzero(own))
    enough = (theirs >= OURS_ROWS) & (accounts >= max(OURS_ACCOUNTS * len(group.members), 2))
    main = (theirs >= OURS * own.sum()) & (theirs >= OURS_IN_MAIN * size)
    mine: NDArray[np.bool_] = (label >= 0) & (enough & ((theirs >= OURS * size) | main))[label]
    return mine
