"""Who of a group's candidates takes part: two kinds of accounts, told apart by how they behave."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from campaigns.aspects import hour_shares, lives, smooth, while_alive
from campaigns.groups import Group
from campaigns.laws import Cells, Floats, Ints, dirichlet_multinomial
from campaigns.people import People, truncated_gamma_poisson
from campaigns.traffic import Traffic

ROUNDS = 15
# How tight a queue is: concentration of its hours, of the share of an account's traffic, shape of its rates.
QUEUE_HOURS, QUEUE_SHARE = 128.0, 20.0
SHARE_OF_BYSTANDERS = 2.0
# How tight a known campaign may turn out to be: what was reported need not be a queue in every respect.
HOURS, SHARES, RATES = (2.0, 8.0, 32.0, 128.0), (2.0, 5.0, 20.0), (1.0, 2.0, 8.0)
TOPICS_ALIKE = (1.0, 4.0, 16.0, 64.0, 256.0)
OURS, OURS_ROWS = 0.3, 5  # a good part, and the rows that make it more than an accident
OURS_IN_MAIN = 0.1  # least part of a label that holds much of what the members wrote
NETWORK, TOPICS = "network", "topics"
MARKS = ("run", "skeleton", NETWORK)  # what can be a campaign's own, the more exact first
COVERED = 0.8  # part of the members' work that makes a template or a network the mark of the campaign
COPIES = 1.5  # requests of somebody who tries another's template
OURS_ACCOUNTS = 0.1  # least part of the members that a label of theirs has
LISTED = 0.05  # a passer-by less likely to take part than this is not listed
MOST = 6.0  # no single way of telling them apart may settle an account on its own


class Known(NamedTuple):
    """A campaign whose members may be compared by all that they did, volumes and topics as well.

    members (k,): accounts that were reported. template: whether its work bears a mark of its own, so that
    bystanders are passers-by. topics (n,) int64 by row of the log.
    """

    members: Ints
    template: bool
    topics: Ints


def parts(log: Traffic, group: Group, people: People, min_accounts: int) -> list[Group]:
    """Return the group as it is, and the part of it that behaves like one queue, where there is such a part.

    Who belongs to the part is seen from linking-half rows alone, volumes left out: the evidence is weighed on
    held-out rows and volumes that have not been looked at. Both are groups of their own to whoever controls
    false discoveries.
    """
    whole = dataclasses.replace(group, confidence=np.full(len(group.candidates), 0.5))
    rows = group.rows[~log.held_out[group.rows]]
    part = dataclasses.replace(group, confidence=_mixture(log, rows, group.candidates, people, log.linking))
    if len(part.members) < min_accounts:
        return [whole]
    return [part] if len(part.members) == len(group.candidates) else [whole, part]


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
        work = group.member_rows(log)
        inside = np.zeros(len(log.account), dtype=bool)
        inside[work] = True
        found = {view: _theirs(log, group, label) for view, label in labels.items()}
        mark = next((view for view in MARKS if view in found and found[view][work].mean() >= COVERED), None)
        if mark:  # not what else its accounts have in common
            inside |= found[mark] & np.isin(labels[mark], labels[mark][work]) & ~taken
        else:
            inside |= np.any([found[view] for view in found if view != NETWORK], axis=0) & ~taken
        rows = np.flatnonzero(inside)
        candidates = np.unique(log.account[rows])
        known = Known(group.members, mark is not None, labels[TOPICS])
        confidence = _mixture(log, rows, candidates, people, log.sent, known)
        larger = dataclasses.replace(group, rows=rows, candidates=candidates, confidence=confidence)
        if len(larger.member_rows(log)) < len(work) / 2:  # lost what was reported: bystanders send little
            return group
        group = larger
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
    pairs = np.unique(label[own] * log.n_accounts + log.account[own])
    accounts = np.bincount(pairs // log.n_accounts, minlength=n)
    enough = (theirs >= OURS_ROWS) & (accounts >= max(OURS_ACCOUNTS * len(group.members), 2))
    main = (theirs >= OURS * own.sum()) & (theirs >= OURS_IN_MAIN * size)
    mine: NDArray[np.bool_] = (label >= 0) & (enough & ((theirs >= OURS * size) | main))[label]
    return mine


# From the probabilities of being the operator's, (m,), to the log-likelihoods (m,) of the queue by its
# tightness, and of bystanders.
_Against = Callable[[Floats], tuple[Callable[[float], Floats], Floats]]


class _Work(NamedTuple):
    """What m candidates did in some rows.

    account, hour (r,): by row. inside, everything, exposure (m,): these rows, all rows, the sampled share.
    cells: rows by account and hour slot; days: the first and last of each account, (m,) each.
    """

    account: Ints
    hour: Ints
    inside: Floats
    everything: Floats
    exposure: Floats
    cells: Cells
    days: tuple[Ints, Ints]


class _Side(NamedTuple):
    """One way of telling an operator's accounts from bystanders.

    grid: how tight the queue may be. most: what this may say of one account.
    """

    against: _Against
    grid: tuple[float, ...]
    most: float = MOST

    def tightness(self, weight: Floats) -> float:
        """Return what fits the accounts best that are held to be the operator's."""
        if len(self.grid) == 1:
            return self.grid[0]
        queue, _ = self.against(weight)
        return max(self.grid, key=lambda value: float(weight @ queue(value)))


def _mixture(
    log: Traffic,
    rows: Ints,
    candidates: Ints,
    people: People,
    sent: Ints,
    known: Known | None = None,
) -> Floats:
    """Fit two kinds of accounts by expectation-maximisation and return (m,) the probability of the first.

    One queue: the hours of the crowd, a common share of the account's traffic, and of a known campaign a
    common rate and mix of topics. Bystanders: hours and topics of their own, shares and rates as they come;
    of a template that is the members' own, passers-by send a copy or two. sent: all rows of each account of
    the log, in the half or halves that `rows` are of.
    """
    work = _work(log, rows, candidates, sent)
    if known:  # newcomers, however many, do not outweigh those who were reported
        few = min(len(known.members) / len(candidates), 1)
        weight = np.where(np.isin(candidates, known.members), 0.9, 0.1 * few)
        sides = [
            _Side(_by_hours(log, rows, work, people), HOURS),
            _Side(_by_share(work), SHARES),
            _Side(_by_rate(work, people, known), RATES),
            _Side(_by_topics(rows, work, people, known), TOPICS_ALIKE),
        ]
    else:
        weight = np.full(len(candidates), 0.5)
        sides = [
            _Side(_by_hours(log, rows, work, people), (QUEUE_HOURS,), np.inf),
            _Side(_by_share(work), (QUEUE_SHARE,)),
        ]
    tight = [side.tightness(weight) for side in sides]  # as those are who were reported, whoever joins
    for _ in range(ROUNDS):
        logit = np.zeros(len(candidates))
        for side, value in zip(sides, tight, strict=True):
            queue, bystanders = side.against(weight)
            logit += np.clip(queue(value) - bystanders, -side.most, side.most)
        prior = float(np.clip(weight.mean(), 0.02, 0.98))
        before, weight = weight, 1 / (1 + np.exp(-np.clip(logit + np.log(prior / (1 - prior)), -30, 30)))
        if np.max(np.abs(before - weight)) < 1e-3:
            break
    return weight


def _work(log: Traffic, rows: Ints, candidates: Ints, sent: Ints) -> _Work:
    account, hour = log.places(candidates)[log.account[rows]], log.hour[rows]
    m = len(candidates)
    return _Work(
        account=account,
        hour=hour,
        inside=np.bincount(account, minlength=m).astype(float),
        everything=sent[candidates].astype(float),
        exposure=log.exposure[candidates],
        cells=_cells(account, hour, log.n_slots, m),
        days=lives(log, rows, candidates),
    )


def _by_hours(log: Traffic, rows: Ints, work: _Work, people: People) -> _Against:
    own = while_alive(work.cells, work.days, people.hours)
    bystanders = dirichlet_multinomial(work.cells, own, [people.rhythm / 2])[0]
    evenly = hour_shares(log, rows)

    def against(weight: Floats) -> tuple[Callable[[float], Floats], Floats]:
        busy = np.bincount(work.hour, weights=weight[work.account], minlength=log.n_slots).astype(float)
        crowd = while_alive(work.cells, work.days, smooth(busy, evenly, 50.0))
        return partial(_at, work.cells, crowd), bystanders

    return against


def _by_share(work: _Work) -> _Against:
    share = partial(_share, work.inside, work.everything)
    return lambda weight: (partial(share, weight), share(1 - weight, SHARE_OF_BYSTANDERS))


def _by_rate(work: _Work, people: People, known: Known) -> _Against:
    rate, shape = partial(_rate, work.inside, work.exposure), min(people.volume, 1.0)
    if known.template:
        copies = truncated_gamma_poisson(work.inside, np.ones(len(work.inside)), COPIES, shape)
        return lambda weight: (partial(rate, weight), copies)
    return lambda weight: (partial(rate, weight), rate(1 - weight, shape))


def _by_topics(rows: Ints, work: _Work, people: People, known: Known) -> _Against:
    topic, n = known.topics[rows], len(people.topics)
    asked = _cells(work.account, topic, n, len(work.inside))
    wide = smooth(np.bincount(topic, minlength=n).astype(float), people.topics, 50.0)
    bystanders = dirichlet_multinomial(asked, wide[asked.bin], [people.tasks / 2])[0]

    def against(weight: Floats) -> tuple[Callable[[float], Floats], Floats]:
        theirs = np.bincount(topic, weights=weight[work.account], minlength=n).astype(float)
        mix = smooth(theirs, wide, 50.0)
        return partial(_at, asked, mix[asked.bin]), bystanders

    return against


def _at(data: Cells, base: Floats, concentration: float) -> Floats:
    return dirichlet_multinomial(data, base, [concentration])[0]


def _cells(account: Ints, hour: Ints, n_slots: int, m: int) -> Cells:
    keys, counts = np.unique(account * n_slots + hour, return_counts=True)
    totals = np.bincount(account, minlength=m).astype(float)
    none = np.zeros(len(keys))
    return Cells(keys // n_slots, keys % n_slots, none, counts.astype(float), np.zeros(m), totals)


def _share(inside: Floats, everything: Floats, weight: Floats, concentration: float) -> Floats:
    """Return (m,) beta-binomial log-likelihoods (without the coefficient) around the weighted mean share."""
    mean = float(np.clip((weight @ inside) / max(float(weight @ everything), 1.0), 0.02, 0.98))
    a, b = concentration * mean, concentration * (1 - mean)
    return betaln(inside + a, everything - inside + b) - betaln(a, b)


def _rate(inside: Floats, exposure: Floats, weight: Floats, shape: float) -> Floats:
    """Return (m,) log-likelihoods of rows at rates of the given shape around the weighted mean rate."""
    mean = (float(weight @ inside) + 0.1) / (float(weight @ exposure) + 0.1)
    return truncated_gamma_poisson(inside, exposure, max(mean, 0.1), shape)
