"""Who of a group's candidates takes part: two kinds of accounts, told apart by how they behave."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from campaigns.crews import ALIKE, PLAINLY, crews, one_or_two
from campaigns.groups import Group, accounts_in, membership
from campaigns.laws import Floats, Ints
from campaigns.marks import COVERED, NETWORK, OURS, TOPICS, found_in, mark_of
from campaigns.mixture import (
    Side,
    Work,
    by_hours,
    by_models,
    by_rate,
    by_share,
    by_topics,
    mixture,
    nearest,
    work_of,
)
from campaigns.people import People
from campaigns.traffic import Traffic

# How tight a queue is: concentration of its hours, of the share of an account's traffic, of what is asked.
QUEUE_HOURS, QUEUE_SHARE, QUEUE_CHOICES = 128.0, 20.0, 16.0
# How tight a known campaign may turn out to be: what was reported need not be a queue in every respect.
HOURS, SHARES, RATES = (2.0, 8.0, 32.0, 128.0), (2.0, 5.0, 20.0), (1.0, 2.0, 8.0)
EVENLY = (8.0, 32.0)  # of the rates of all that its accounts sent: who joins by these does as they do
LISTED = 0.15  # a passer-by less likely to take part than this is not listed
SOME = 0.1  # of what an account sent: less is no reason to ask whether it is of a campaign
CHAIN = 8  # labels that a campaign without a mark is followed through
AT_ONCE = 256  # groups
MOST = 6.0  # no single way of telling them apart may settle an account on its own,
AWAKE = 18.0  # but hours that plainly are a person's, where no template says that the work is the campaign's


def parts(log: Traffic, groups: list[Group], people: People, min_accounts: int) -> list[Group]:
    """Return each group as it is, and the part of it that behaves like one queue, where there is such a part.

    Who belongs to the part is seen from linking-half rows alone, volumes left out: the evidence is weighed on
    held-out rows and volumes that have not been looked at. Both are groups of their own to whoever controls
    false discoveries.
    """
    found = []
    for some in _at_once(groups):
        work = _linking(log, [(group.rows, group.candidates) for group in some])
        sides = [
            Side(by_hours(log, work, people), (QUEUE_HOURS,)),
            Side(by_share(work), (QUEUE_SHARE,), MOST),
        ]
        for group, sure in _said_of(some, work, sides):
            part = dataclasses.replace(group, confidence=sure)
            if len(part.members) < len(group.candidates):
                found.append(dataclasses.replace(group, confidence=np.full(len(sure), 0.5)))
            if len(part.members) >= min_accounts:
                found.append(part)
    return found


def alike(log: Traffic, groups: list[Group], people: People, labels: dict[str, Ints]) -> list[Group]:
    """Return groups without who is at work in other hours, or asks otherwise, than its members as a whole.

    By all that they sent in the linking half, volumes left out, as for `parts`. labels as for `grown`.
    """
    found = []
    for some in _at_once(groups):
        work = _linking(log, [(log.rows_of(group.members), group.members) for group in some])
        sides = [
            Side(by_hours(log, work, people), (QUEUE_HOURS,)),
            *_by_choices(log, work, people, labels, (QUEUE_CHOICES,)),
        ]
        found += [group.without(group.members[sure < 0.5]) for group, sure in _said_of(some, work, sides)]
    return found


def _at_once(groups: list[Group]) -> Iterator[list[Group]]:
    """Yield so many groups at a time that what there is to do for each takes longer than to begin it."""
    for i in range(0, len(groups), AT_ONCE):
        yield groups[i : i + AT_ONCE]


def _linking(log: Traffic, some: list[tuple[Ints, Ints]]) -> Work:
    """Return what candidates did in the linking half: the rows and candidates of each group."""
    return work_of(log, [(rows[~log.held_out[rows]], whom) for rows, whom in some], log.linking)


def _said_of(groups: list[Group], work: Work, sides: list[Side]) -> Iterator[tuple[Group, Floats]]:
    """Yield each group with the probabilities that its candidates in `work` take part."""
    sure = mixture(work, sides, np.full(len(work.group), 0.5))
    ends = np.cumsum(np.bincount(work.group, minlength=len(groups)))[:-1]
    yield from zip(groups, np.split(sure, ends), strict=True)


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
    if group.whole:
        group = _core(log, group, people, labels)
        if not mark_of(found_in(log, group, labels), labels, group.rows):
            return group
    for _ in range(2):
        work, found = group.member_rows(log), found_in(log, group, labels)
        held = np.zeros(len(log.account), dtype=bool)
        held[work] = True
        mark = mark_of(found, labels, work)
        if mark:  # not what else its accounts have in common, nor who was found by that alone
            inside = found[mark] & np.isin(labels[mark], labels[mark][work]) & (held | ~taken)
        else:
            inside = held | (_anywhere(found) & ~taken)
        rows = np.flatnonzero(inside)
        candidates = np.unique(log.account[rows])
        seen = work_of(log, [(rows, candidates)], log.sent)
        sides = [
            Side(by_hours(log, seen, people), HOURS, MOST, MOST if mark else AWAKE),
            Side(by_share(seen), SHARES, MOST),
            Side(by_rate(seen, people, template=mark is not None), RATES, MOST),
            *_by_choices(log, seen, people, labels),
        ]
        start, known = _reported(candidates, group.members)
        for learnt_of in (None, known):  # of the members alone, where all together have led to a crowd
            confidence = mixture(seen, sides, start, learnt_of)
            larger = dataclasses.replace(group, rows=rows, candidates=candidates, confidence=confidence)
            if _one(log, group, larger, people):
                break
        kept = np.isin(work, larger.member_rows(log), assume_unique=True)
        if 2 * kept.sum() < len(work):  # lost what was reported, to a crowd or to bystanders who send little
            break
        group = larger
    return _listed(group)


def _core(log: Traffic, group: Group, people: People, labels: dict[str, Ints]) -> Group:
    """Return those of a group that was judged by all that its members sent who do as the others do."""
    accounts = group.members
    seen = work_of(log, [(log.rows_of(accounts), accounts)], log.sent)
    sure = mixture(seen, _by_all(log, seen, people, labels), np.full(len(accounts), 0.9))
    return _listed(dataclasses.replace(group, candidates=accounts, confidence=sure).sent(log))


def widened(
    log: Traffic,
    found: list[Group],
    people: People,
    labels: dict[str, Ints],
    core: NDArray[np.bool_],
    *,
    far: bool = False,
) -> list[Group]:
    """Let join whoever asks some of what a campaign without a mark asks, and does all else as its members do.

    A benchmark in shards, or a harvest of which each account has a few families, has no label that all its
    accounts work on, only a chain of them. Whom several campaigns would have, unless it is of the core
    (n_accounts,) of one, is left to the one that it does as. Together those who join a campaign must be of
    its members' rate and models, or they are another operator's and nobody joins; those who plainly are of
    another crew do not. far: whoever asks some of what any two members ask may join, be it anybody's; labels
    as for `grown`.
    """
    free = ~core
    wide = [_followed(log, group, people, labels, free, far=far) for group in found]
    claims = membership(log, wide)
    claimed = claims.sum(axis=0)
    if (free & (claimed > 1)).any():
        accounts, rows = np.flatnonzero(claimed), np.flatnonzero(claimed[log.account])
        seen = work_of(log, [(rows, accounts)], log.sent)
        home = nearest(
            seen,
            _by_all(log, seen, people, labels),
            claims[:, accounts],
            membership(log, found)[:, accounts] & core[accounts],
        )
        wide = [group.without(accounts[free[accounts] & (home != i)]) for i, group in enumerate(wide)]
    wide = [_crew(log, group, larger, people, labels) for group, larger in zip(found, wide, strict=True)]
    both = zip(found, wide, strict=True)
    return [larger if _one(log, group, larger, people) else group for group, larger in both]


def _crew(log: Traffic, group: Group, larger: Group, people: People, labels: dict[str, Ints]) -> Group:
    """Return what a campaign has become without those who plainly are of another crew than most of it."""
    if len(larger.members) == len(group.members):
        return larger
    parts = crews(log, larger, people, labels, least=PLAINLY)
    return max(parts, key=lambda part: np.isin(part.members, group.members).sum())


def _followed(
    log: Traffic,
    group: Group,
    people: People,
    labels: dict[str, Ints],
    free: NDArray[np.bool_],
    *,
    far: bool,
) -> Group:
    """Follow a campaign without a mark along its labels to who is free (n_accounts,) to join.

    An account is weighed by everything that it sent, where some of that is in the labels of the campaign.
    Once all have joined, a good part must be, or else most in labels of two members: some customers' jobs run
    flat, at any rate. Labels of a group that was judged by all that it sent may be anybody's, and so may
    those of two members (far): it is followed through them, but only as far as those who join are of its
    members' rate and models. Who has a template of which no member writes anything is of something else, at
    whatever rate.
    """
    work = group.member_rows(log)
    if not len(work) or mark_of(found_in(log, group, labels), labels, work):
        return group
    wide, through = group, np.zeros(log.n_accounts, dtype=bool)
    of_two = np.zeros(len(log.account), dtype=bool)
    if far:
        of_two = _anywhere({view: _of_two(log, labels[view], work) for view in labels})
        through[log.account[of_two]] = True
    elif group.whole:
        for cluster in group.clusters:
            through[log.account[log.rows_in(*cluster)]] = True
    anybody = far or group.whole
    free = free & (_of_other_runs(log, group, labels) < COVERED * log.sent)
    for _ in range(CHAIN):
        near = free & (through | (_asked(log, wide, labels) >= SOME * log.sent))
        near[wide.members] = True
        candidates, rows = np.flatnonzero(near), np.flatnonzero(near[log.account])
        seen = work_of(log, [(rows, candidates)], log.sent)
        sides = _by_all(log, seen, people, labels)
        start, known = _reported(candidates, wide.members)
        for learnt_of in (None, known):  # as in `grown`
            confidence = mixture(seen, sides, start, learnt_of)
            larger = _joined(log, group, candidates[confidence >= 0.5], confidence[confidence >= 0.5])
            if one := _one(log, group, larger, people):
                break
        if len(larger.members) == len(wide.members) or (anybody and not one):
            break
        wide = larger
    asked, shared = _asked(log, wide, labels), np.bincount(log.account[of_two], minlength=log.n_accounts)
    aside = (asked < OURS * log.sent) & (shared < COVERED * log.sent)
    passing_by = aside[wide.candidates] & ~np.isin(wide.candidates, group.candidates)
    return wide.without(wide.candidates[passing_by])


def _one(log: Traffic, group: Group, larger: Group, people: People) -> bool:
    """Return whether one operator fits a group and who joined it, by the linking half too, as well as two."""
    new = np.setdiff1d(larger.members, group.members)
    new = new[log.linking[new] > 0]
    second_mean = np.log(len(larger.members)) / 2  # what a fitted parameter is worth (Schwarz 1978)
    return not len(new) or one_or_two(log, group.members, new, people) >= -second_mean


def _by_all(log: Traffic, seen: Work, people: People, labels: dict[str, Ints]) -> list[Side]:
    """Return the ways of telling accounts by all that they sent."""
    return [
        Side(by_hours(log, seen, people), HOURS, MOST, AWAKE),
        Side(by_rate(seen, people, template=False), EVENLY),
        *_by_choices(log, seen, people, labels),
    ]


def _by_choices(
    log: Traffic, seen: Work, people: People, labels: dict[str, Ints], tight: tuple[float, ...] = ALIKE
) -> list[Side]:
    sides = [Side(by_topics(labels[TOPICS], seen, people), tight, MOST)]
    if len(people.models):
        sides.append(Side(by_models(log, seen, people), tight, MOST))
    return sides


def _asked(log: Traffic, group: Group, labels: dict[str, Ints]) -> Ints:
    """Return (n_accounts,) the requests of each account in labels that are the group's."""
    return np.bincount(log.account[_anywhere(found_in(log, group, labels))], minlength=log.n_accounts)


def _of_other_runs(log: Traffic, group: Group, labels: dict[str, Ints]) -> Ints:
    """Return (n_accounts,) the requests of each account in runs that no member of a group writes."""
    run = labels.get("run", np.full(len(log.account), -1))
    other = (run >= 0) & ~np.isin(run, run[log.rows_of(group.members)])
    return np.bincount(log.account[other], minlength=log.n_accounts)


def _of_two(log: Traffic, label: Ints, work: Ints) -> NDArray[np.bool_]:
    """Return the rows (n,) in labels (n,) of which two accounts have a row among some (r,)."""
    shared: NDArray[np.bool_] = accounts_in(log, label, work[label[work] >= 0]) > 1
    return np.append(shared, False)[label]  # noise is the last


def _joined(log: Traffic, group: Group, accounts: Ints, confidence: Floats) -> Group:
    """Return a group with all that some accounts (k,) sent, unless they are members already."""
    new = ~np.isin(accounts, group.members)
    old = ~np.isin(group.candidates, accounts[new])
    candidates = np.concatenate([group.candidates[old], accounts[new]])
    order = np.argsort(candidates)
    return dataclasses.replace(
        group,
        rows=np.union1d(group.rows, log.rows_of(accounts[new])),
        candidates=candidates[order],
        confidence=np.concatenate([group.confidence[old], confidence[new]])[order],
    )


def _reported(candidates: Ints, members: Ints) -> tuple[Floats, NDArray[np.bool_]]:
    """Return (m,) probabilities to begin with, and who is a member: newcomers do not outweigh these."""
    few, known = min(len(members) / len(candidates), 1), np.isin(candidates, members)
    return np.where(known, 0.9, 0.1 * few), known


def _anywhere(found: dict[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Return the rows (n,) that are the group's in some view of what is asked."""
    return np.logical_or.reduce([rows for view, rows in found.items() if view != NETWORK])


def _listed(group: Group) -> Group:
    listed = group.confidence >= LISTED
    return dataclasses.replace(
        group, candidates=group.candidates[listed], confidence=group.confidence[listed]
    )
