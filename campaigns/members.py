"""Who of a group's candidates takes part: two kinds of accounts, told apart on the linking half."""

import dataclasses

import numpy as np

from campaigns.aspects import hour_shares, smooth
from campaigns.groups import Group
from campaigns.laws import Cells, Floats, dirichlet_multinomial
from campaigns.people import People
from campaigns.traffic import Traffic

ROUNDS = 15
OPERATOR_CONCENTRATION = 128.0


def with_members(log: Traffic, group: Group, people: People) -> Group:
    """Give each candidate a probability of taking part, from its linking-half rows alone.

    A mixture of two kinds, fitted by expectation-maximisation: one queue (the hours of the crowd, a common
    share of the account's traffic in the group) and bystanders (hours of their own, the share that chance
    and interest give). Volumes are left out: they are weighed later on the same accounts.
    """
    place = np.full(log.n_accounts, -1)
    place[group.candidates] = np.arange(len(group.candidates))
    seen = group.rows[~log.held_out[group.rows]]
    account = place[log.account[seen]]
    inside = np.bincount(account, minlength=len(group.candidates)).astype(float)
    everything = np.bincount(log.account[~log.held_out], minlength=log.n_accounts)[group.candidates]
    loose = _hours(account, log.hour[seen], people.hours, len(inside))
    bystander = dirichlet_multinomial(loose, people.hours[loose.bin], people.rhythm / 2)
    chance = max(float(inside.sum()) / len(log.account), 1e-4)
    weight = np.full(len(inside), 0.5)
    confidence = weight
    for _ in range(ROUNDS):
        crowd = smooth(
            np.bincount(log.hour[seen], weights=weight[account], minlength=log.n_slots).astype(float),
            hour_shares(log, seen),
            50.0,
        )
        taking_part = dirichlet_multinomial(loose, crowd[loose.bin], OPERATOR_CONCENTRATION)
        share = float(np.clip((weight * inside).sum() / max((weight * everything).sum(), 1), 0.02, 0.98))
        by_share = _binomial(inside, everything, share) - _binomial(
            inside, everything, min(chance, share / 2)
        )
        prior = float(np.clip(weight.mean(), 0.02, 0.98))
        logit = taking_part - bystander + np.clip(by_share, -3, 3) + np.log(prior / (1 - prior))
        confidence = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
        if np.max(np.abs(confidence - weight)) < 1e-3:
            break
        weight = confidence
    return dataclasses.replace(group, confidence=confidence)


def _hours(account: np.ndarray, hour: np.ndarray, shares: Floats, m: int) -> Cells:
    keys, counts = np.unique(account * len(shares) + hour, return_counts=True)
    totals = np.bincount(account, minlength=m).astype(float)
    return Cells(
        keys // len(shares),
        keys % len(shares),
        np.zeros(len(keys)),
        counts.astype(float),
        np.zeros(m),
        totals,
    )


def _binomial(inside: Floats, everything: np.ndarray, share: float) -> Floats:
    return inside * np.log(share) + (everything - inside) * np.log1p(-share)
