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
    part = dataclasses.replace(group, confidence=_mixture(log, rows, group.candidates, people, ~log.held_out))
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
        exact = [view for view in MARKS if view in found and found[view][work].mean() >= COVERED]
        if exact:  # not what else its accounts have in common
            label = labels[exact[0]]
            inside |= found[exact[0]] & np.isin(label, label[work]) & ~taken
        else:
            inside |= np.any([found[view] for view in found if view != NETWORK], axis=0) & ~taken
        rows = np.flatnonzero(inside)
        candidates = np.unique(log.account[rows])
        everything = np.ones(len(log.account), dtype=bool)
        known = Known(group.members, bool(exact), labels[TOPICS])
        confidence = _mixture(log, rows, candidates, people, everything, known)
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


def _mixture(
    log: Traffic,
    rows: Ints,
    candidates: Ints,
    people: People,
    half: NDArray[np.bool_],
    known: Known | None = None,
) -> Floats:
    """Fit two kinds of accounts by expectation-maximisation and return (m,) the probability of the first.

    One queue: the hours of the crowd, a common share of the account's traffic, and of a known campaign a
    common rate and mix of topics. Bystanders: hours and topics of their own, shares and rates as they come;
    of a template that is the members' own, passers-by send a copy or two.
    """
    place = log.places(candidates)
    account, hour = place[log.account[rows]], log.hour[rows]
    inside = np.bincount(account, minlength=len(candidates)).astype(float)
    everything = np.bincount(log.account[half], minlength=log.n_accounts)[candidates].astype(float)
    exposure = log.exposure[candidates]
    loose = _cells(account, hour, log.n_slots, len(candidates))
    days = lives(log, rows, candidates)
    bystander = dirichlet_multinomial(loose, while_alive(loose, days, people.hours), people.rhythm / 2)
    evenly = hour_shares(log, rows)
    weight = np.full(len(candidates), 0.5)
    if known:  # newcomers, however many, do not outweigh those who were reported
        few = min(len(known.members) / len(candidates), 1)
        weight = np.where(np.isin(candidates, known.members), 0.9, 0.1 * few)
        topic = known.topics[rows]
        asked = _cells(account, topic, len(people.topics), len(candidates))
        wide = smooth(np.bincount(topic, minlength=len(people.topics)).astype(float), people.topics, 50.0)
        own_topics = dirichlet_multinomial(asked, wide[asked.bin], people.tasks / 2)
    tight: dict[str, float] = {} if known else {"hours": QUEUE_HOURS, "share": QUEUE_SHARE}

    def queue(name: str, fit: Callable[[float], Floats], grid: tuple[float, ...]) -> Floats:
        if name not in tight:  # as tight as those are who were reported, whoever joins
            tight[name] = max(grid, key=lambda value: float(weight @ fit(value)))
        return fit(tight[name])

    for _ in range(ROUNDS):
        busy = np.bincount(hour, weights=weight[account], minlength=log.n_slots).astype(float)
        crowd = while_alive(loose, days, smooth(busy, evenly, 50.0))
        logit = queue("hours", partial(dirichlet_multinomial, loose, crowd), HOURS) - bystander
        if known:
            logit = np.clip(logit, -MOST, MOST)
        logit = logit + np.clip(
            queue("share", partial(_share, inside, everything, weight), SHARES)
            - _share(inside, everything, 1 - weight, SHARE_OF_BYSTANDERS),
            -MOST,
            MOST,
        )
        if known:
            logit = logit + np.clip(
                queue("rate", partial(_rate, inside, exposure, weight), RATES)
                - _passing(inside, exposure, None if known.template else 1 - weight, min(people.volume, 1.0)),
                -MOST,
                MOST,
            )
            theirs = np.bincount(topic, weights=weight[account], minlength=len(wide)).astype(float)
            mix = smooth(theirs, wide, 50.0)
            alike = queue("topics", partial(dirichlet_multinomial, asked, mix[asked.bin]), TOPICS_ALIKE)
            logit = logit + np.clip(alike - own_topics, -MOST, MOST)
        prior = float(np.clip(weight.mean(), 0.02, 0.98))
        before, weight = weight, 1 / (1 + np.exp(-np.clip(logit + np.log(prior / (1 - prior)), -30, 30)))
        if np.max(np.abs(before - weight)) < 1e-3:
            break
    return weight


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


def _passing(inside: Floats, exposure: Floats, weight: Floats | None, shape: float) -> Floats:
    """Return (m,) log-likelihoods of rows of bystanders, of passers-by where no weight is given."""
    if weight is None:
        return truncated_gamma_poisson(inside, np.ones(len(inside)), COPIES, shape)
    return _rate(inside, exposure, weight, shape)


def _rate(inside: Floats, exposure: Floats, weight: Floats, shape: float) -> Floats:
    """Return (m,) log-likelihoods of rows at rates of the given shape around the weighted mean rate."""
    mean = (float(weight @ inside) + 0.1) / (float(weight @ exposure) + 0.1)
    return truncated_gamma_poisson(inside, exposure, max(mean, 0.1), shape)
