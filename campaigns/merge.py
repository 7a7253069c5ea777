"""One operator, one campaign: groups that passed the tests are one where they do the same work."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from campaigns.crews import OTHER_OPERATOR, one_or_two
from campaigns.discovery import SAME_ACCOUNTS
from campaigns.groups import Group
from campaigns.laws import Floats, Ints
from campaigns.people import People
from campaigns.traffic import Traffic

SAME_WORK = 0.3  # least overlap (sum of minima) of two mixes of clusters, in every view that has a say
SAME_TEMPLATE = 0.5  # the same, in clusters of which the two groups write at least THEIRS_ALONE
THEIRS_ALONE = 0.5
SOME_WORK = 0.15  # the same, in topics, of groups that one rate fits as well as two
MARKED = 0.8  # of a group's rows in clusters that are its own: a template
SEEN = 0.5  # least share of a group's rows that a view must have in clusters to have a say


def fold(log: Traffic, groups: list[Group], people: People, topics: Ints) -> tuple[list[Group], list[int]]:
    """Fold groups, strongest first, into those before; return the campaigns and (g,) each one's campaign.

    A group of mostly the same accounts is the campaign once more. A group of other accounts joins it when
    every view that sees most of both finds the same mix of clusters in both: fragments of one harvest; when
    some view finds most of both in clusters that hardly anybody else writes: accounts and the successors of
    those that were banned; or when there is no template to tell them apart, some of the topics are the same,
    and so is the volume of each account. Two operators with a template each have different runs, whatever
    topics they share; those without send at different rates, whatever both ask.
    """
    campaigns: list[Group] = []
    mixes: list[list[Floats | None]] = []
    home: list[int] = []
    for group in groups:
        mix = _mixes(log, group, topics)
        numbers = range(len(campaigns))
        again = next((i for i in numbers if same_accounts(group, campaigns[i])), None)
        if again is not None:  # whoever else does such work
            home.append(again)
            continue
        alike = (
            i for i in numbers if _one_operator(log, group, campaigns[i], _overlaps(mix, mixes[i]), people)
        )
        if (part_of := next(alike, None)) is not None:
            home.append(part_of)
            campaigns[part_of] = _union(campaigns[part_of], group)
            mixes[part_of] = _mixes(log, campaigns[part_of], topics)
        else:
            home.append(len(campaigns))
            campaigns.append(group)
            mixes.append(mix)
    return campaigns, home


def same_accounts(group: Group, other: Group) -> bool:
    """Return whether most members of the smaller group are members of the other."""
    both = len(np.intersect1d(group.members, other.members, assume_unique=True))
    return both > SAME_ACCOUNTS * min(len(group.members), len(other.members))


def _mixes(log: Traffic, group: Group, topics: Ints) -> list[Floats | None]:
    """Return the members' shares of each view's clusters, None where the view sees too little of them.

    Every account weighs the same: a busy bystander must not make a group the same as its own.
    """
    rows = log.rows_of(group.members)
    weight = 1 / np.bincount(log.account[rows], minlength=log.n_accounts)[log.account[rows]]
    found: list[Floats | None] = []
    for labels in (*log.clusters.values(), topics):
        theirs = np.bincount(labels[rows] + 1, weight, int(labels.max(initial=-1)) + 2)[1:]  # without noise
        enough = theirs.sum() >= SEEN * max(weight.sum(), 1)
        found.append(theirs / theirs.sum() if enough else None)
    return found


def _overlaps(mix: list[Floats | None], other: list[Floats | None]) -> list[float | None]:
    """Return by view how much of two mixes is the same, None where it sees too little of either."""
    return [
        None if a is None or b is None else float(np.minimum(a, b).sum())
        for a, b in zip(mix, other, strict=True)
    ]


def _same_work(overlaps: list[float | None]) -> bool:
    seen = [overlap for overlap in overlaps if overlap is not None]
    return bool(seen) and min(seen) >= SAME_WORK


def _one_operator(
    log: Traffic, group: Group, other: Group, overlaps: list[float | None], people: People
) -> bool:
    """Return whether one rate fits two groups as well as two rates, or nearly where they do the same work."""
    if _same_work(overlaps) or _own_template(log, group, other):
        least = OTHER_OPERATOR
    elif _some_work(log, group, other, overlaps):
        least = 0.0
    else:
        return False
    return one_or_two(log, group.members, other.members, people) >= least


def _some_work(log: Traffic, group: Group, other: Group, overlaps: list[float | None]) -> bool:
    """Return whether two groups share topics, and no template tells them apart."""
    *views, topics = (overlap or 0.0 for overlap in overlaps)
    if topics < SOME_WORK:
        return False
    marks = np.maximum(_marks(log, group), _marks(log, other))
    least = [SAME_WORK if view == "run" else SOME_WORK for view in log.clusters]  # a run is to the letter
    return not ((marks >= MARKED) & (np.array(views) < least)).any()


def _marks(log: Traffic, group: Group) -> Floats:
    """Return (v,) the share of a group's rows in clusters of each view that are mostly its own."""
    work = group.member_rows(log)
    return np.array(
        [
            np.append(_theirs_alone(labels, work), False)[labels[work]].sum()  # noise is the last
            for labels in log.clusters.values()
        ]
    ) / max(len(work), 1)


def _theirs_alone(labels: Ints, rows: Ints) -> NDArray[np.bool_]:
    """Return which clusters some rows make up most of; labels (n,), -1 for noise."""
    n = int(labels.max(initial=-1)) + 1
    size, theirs = (np.bincount(some + 1, minlength=n + 1)[1:] for some in (labels, labels[rows]))
    most: NDArray[np.bool_] = theirs >= THEIRS_ALONE * size
    return most


def _own_template(log: Traffic, group: Group, other: Group) -> bool:
    """Return whether some view finds most of both groups' rows in clusters that are theirs alone."""
    rows = [group.member_rows(log), other.member_rows(log)]
    for labels in log.clusters.values():
        own = _theirs_alone(labels, np.union1d(*rows))
        counts = [np.bincount(labels[part][labels[part] >= 0], minlength=len(own)) for part in rows]
        shares = [count / max(len(part), 1) for count, part in zip(counts, rows, strict=True)]
        if np.minimum(*shares)[own].sum() >= SAME_TEMPLATE:
            return True
    return False


def settled(log: Traffic, found: dict[int, Group]) -> dict[int, Group]:
    """Leave each account to the campaign that its requests are of, where two campaigns claim the same ones.

    An account that works for two operators sends different requests for each, and stays with both. A
    campaign that loses more than half of its accounts was another's, and is left out.
    """
    rows = {i: campaign.member_rows(log) for i, campaign in found.items()}
    counts = {i: np.bincount(log.account[part], minlength=log.n_accounts) for i, part in rows.items()}
    left = {}
    for place, (i, group) in enumerate(found.items()):
        kept = group
        for other, j in enumerate(found):
            if j != i:
                earlier = other < place
                kept = kept.without(_claimed(log, rows[i], rows[j], counts[i], counts[j], earlier=earlier))
        if 2 * len(kept.members) >= len(group.members) > 0:
            left[i] = kept
    return left


def _claimed(log: Traffic, mine: Ints, other: Ints, counts: Ints, others: Ints, *, earlier: bool) -> Ints:
    """Return the accounts most of whose rows here are the other's, who has more of them."""
    both = np.bincount(log.account[np.intersect1d(mine, other)], minlength=log.n_accounts)
    more = others >= counts if earlier else others > counts
    return np.flatnonzero((2 * both > counts) & more)


def _union(campaign: Group, group: Group) -> Group:
    """Return both groups as one, members of either."""
    candidates = np.union1d(campaign.candidates, group.candidates)
    confidence = np.zeros(len(candidates))
    for part in (campaign, group):
        place = np.searchsorted(candidates, part.candidates)
        confidence[place] = np.maximum(confidence[place], part.confidence)
    return dataclasses.replace(
        campaign,
        clusters=tuple(sorted({*campaign.clusters, *group.clusters})),
        rows=np.union1d(campaign.rows, group.rows),
        candidates=candidates,
        confidence=confidence,
    )
