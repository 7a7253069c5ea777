"""Who of a group's candidates takes part: two kinds of accounts, told apart by how they behave."""

import dataclasses

import numpy as np
from scipy.special import betaln

from campaigns.aspects import hour_shares, smooth
from campaigns.groups import Group
from campaigns.laws import Cells, Floats, Ints, dirichlet_multinomial
from campaigns.people import People, truncated_gamma_poisson
from campaigns.traffic import Traffic

ROUNDS = 15
OPERATOR_CONCENTRATION = 128.0
OPERATOR_SHAPE = 8.0
# How alike accounts are in the group's share of their traffic: a queue mixes evenly, people do not.
SHARE_OF_OPERATORS, SHARE_OF_BYSTANDERS = 20.0, 2.0
OURS, OURS_ROWS = 0.3, 5  # a good part, and the rows that make it more than an accident
OURS_IN_MAIN = 0.1  # least part of a label that holds much of what the members wrote
LISTED = 0.05  # a passer-by less likely to take part than this is not listed
MOST = 6.0  # no single way of telling them apart may settle an account on its own


def parts(log: Traffic, group: Group, people: People, min_accounts: int) -> list[Group]:
    """Return the group as it is, and the part of it that behaves like one queue, where there is such a part.

    Who belongs to the part is seen from linking-half rows alone, volumes left out: the evidence is weighed on
    held-out rows and volumes that have not been looked at. Both are groups of their own to whoever controls
    false discoveries.
    """
    whole = dataclasses.replace(group, confidence=np.full(len(group.candidates), 0.5))
    rows = group.rows[~log.held_out[group.rows]]
    part = dataclasses.replace(
        group, confidence=_mixture(log, rows, group.candidates, people, False, ~log.held_out)
    )
    if len(part.members) < min_accounts:
        return [whole]
    return [part] if len(part.members) == len(group.candidates) else [whole, part]


def grown(log: Traffic, group: Group, people: People, labels: list[Ints]) -> Group:
    """Take in what else the members worked on and whoever else works on it, from all rows and volumes.

    labels: clusters of every view, and topics, (n,) int64 by row each, -1 for none. A label of which the
    members wrote a good part, or which holds a good part of what they wrote, is the campaign's; everybody
    with a row in it is a candidate. What decides is behaviour: the confidence is the probability of taking
    part, given that the campaign is real.
    """
    for _ in range(2):
        inside = np.zeros(len(log.account), dtype=bool)
        inside[group.member_rows(log)] = True
        member = np.isin(log.account, group.members)
        for label in labels:
            theirs = np.bincount(label[member & (label >= 0)], minlength=label.max(initial=0) + 1)
            part = theirs / np.maximum(np.bincount(label[label >= 0], minlength=len(theirs)), 1)
            main = theirs >= OURS * member.sum()
            inside |= (label >= 0) & (
                (theirs >= OURS_ROWS) & ((part >= OURS) | (main & (part >= OURS_IN_MAIN)))
            )[label]
        rows = np.flatnonzero(inside)
        candidates = np.unique(log.account[rows])
        everything = np.ones(len(log.account), dtype=bool)
        confidence = _mixture(log, rows, candidates, people, True, everything, group.members)
        larger = dataclasses.replace(group, rows=rows, candidates=candidates, confidence=confidence)
        if len(larger.members) < len(group.members) / 2:
            return group
        group = larger
    listed = group.confidence >= LISTED
    return dataclasses.replace(
        group, candidates=group.candidates[listed], confidence=group.confidence[listed]
    )


def _mixture(
    log: Traffic,
    rows: Ints,
    candidates: Ints,
    people: People,
    volumes: bool,
    half: np.ndarray,
    start: Ints | None = None,
) -> Floats:
    """Fit two kinds of accounts by expectation-maximisation and return (m,) the probability of the first.

    One queue: the hours of the crowd, a common share of the account's traffic, a common rate. Bystanders:
    hours of their own, shares and rates as they come.
    """
    place = np.full(log.n_accounts, -1)
    place[candidates] = np.arange(len(candidates))
    account, hour = place[log.account[rows]], log.hour[rows]
    inside = np.bincount(account, minlength=len(candidates)).astype(float)
    everything = np.bincount(log.account[half], minlength=log.n_accounts)[candidates].astype(float)
    loose = _cells(account, hour, log.n_slots, len(candidates))
    bystander = dirichlet_multinomial(loose, people.hours[loose.bin], people.rhythm / 2)
    evenly = hour_shares(log, rows)
    weight = (
        np.full(len(candidates), 0.5) if start is None else np.where(np.isin(candidates, start), 0.9, 0.1)
    )
    for _ in range(ROUNDS):
        busy = np.bincount(hour, weights=weight[account], minlength=log.n_slots).astype(float)
        crowd = smooth(busy, evenly, 50.0)
        logit = dirichlet_multinomial(loose, crowd[loose.bin], OPERATOR_CONCENTRATION) - bystander
        logit = logit + np.clip(
            _share(inside, everything, weight, SHARE_OF_OPERATORS)
            - _share(inside, everything, 1 - weight, SHARE_OF_BYSTANDERS),
            -MOST,
            MOST,
        )
        if volumes:
            logit = logit + np.clip(_rate(inside, log.exposure[candidates], weight, people), -MOST, MOST)
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


def _rate(inside: Floats, exposure: Floats, weight: Floats, people: People) -> Floats:
    """Return (m,) log-likelihood ratios of a common rate to people's rates of the same candidates."""
    in_mean = float(weight @ inside) / max(float(weight @ exposure), 1e-9)
    out_mean = float((1 - weight) @ inside + 1) / max(float((1 - weight) @ exposure + 1), 1e-9)
    return truncated_gamma_poisson(
        inside, exposure, max(in_mean, 0.1), OPERATOR_SHAPE
    ) - truncated_gamma_poisson(inside, exposure, max(out_mean, 0.1), min(people.volume, 1.0))
