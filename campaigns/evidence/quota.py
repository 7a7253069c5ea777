"""Volumes under a cap: a quota makes those who reach it even, and leaves the others as they are."""

from collections.abc import Iterator
from functools import cache

import numpy as np
from scipy.special import gammaln
from scipy.stats import gamma

from campaigns.evidence.evenness import Volumes, log_ratio, one_rate, people_shapes, volumes
from campaigns.evidence.finding import Finding, log_e_value
from campaigns.groups import Group
from campaigns.laws import Floats
from campaigns.people import People
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status

AT_CAP = (0.05, 0.2, 0.4, 0.6)  # share of a tool's users who reach their quota
NODES = 12  # rates below the cap that stand for all
CAPS = np.array([0.85, 1.0, 1.15, 1.35, 1.6, 2.0, 3.0])  # the cap, in plain averages


def quota(log: Traffic, group: Group, people: People) -> Finding:
    """Weigh the members' row counts: one common rate against rates of people that are cut off by a quota.

    Statistic: share of the accounts within a quarter of the median. Null: each account's rate is the lesser
    of its own (gamma, shape up to the log's own bound) and the quota, which at most three in five reach; the
    best of those is taken. That most accounts of a free tier use all of it is no surprise, that none of
    sixty stays below it is one. Both readings as for evenness.
    """
    seen = volumes(log, group, people)
    ratio = _ratio(seen)
    rates = seen.counts / seen.exposures[0]
    near = float((np.abs(rates / np.median(rates) - 1) <= 0.25).mean())
    return Finding(
        Signal.QUOTA,
        Status.TESTED,
        None,
        near,
        float((rates < 0.5 * np.median(rates)).mean()),
        f"people's volumes up to a quota that at most {AT_CAP[-1]:.0%} of them reach",
        log_e_value(ratio),
        len(seen.counts),
        f"{near:.0%} of the accounts sent within a quarter of the median; under a quota those who do not "
        "reach it keep volumes of their own.",
        ratio,
    )


def _ratio(seen: Volumes) -> float:
    uncapped = log_ratio(seen)
    if uncapped <= 0:  # a quota explains more than none
        return uncapped
    innocent = max(
        float(_log_likelihood(seen.counts, exposure, rates, weights).sum())
        for exposure, bound in zip(seen.exposures, seen.bounds, strict=True)
        for rates, weights in _laws(float(seen.counts.sum() / exposure.sum()), people_shapes(bound))
    )
    return min(uncapped, one_rate(seen) - innocent)


def _laws(mean: float, shapes: list[float]) -> Iterator[tuple[Floats, Floats]]:
    """Yield rates (r,) and weights (r,) of people below a cap and at it."""
    for shape in shapes:
        for share in AT_CAP:
            rates, weights = _capped(shape, share)
            for cap in CAPS * mean:
                yield rates * cap, weights


@cache
def _capped(shape: float, share: float) -> tuple[Floats, Floats]:
    """Return rates (r,) of people in parts of the cap, the cap itself last, and their weights (r,)."""
    below = gamma.ppf((np.arange(NODES) + 0.5) / NODES * (1 - share), shape)
    rates = np.append(below / gamma.ppf(1 - share, shape), 1.0)
    return rates, np.append(np.full(NODES, (1 - share) / NODES), share)


def _log_likelihood(counts: Floats, exposure: Floats, rates: Floats, weights: Floats) -> Floats:
    """Return (m,) log-probabilities of counts of at least one, Poisson at a rate drawn by the weights."""
    expected = np.outer(exposure, rates) + 1e-12
    each = counts[:, None] * np.log(expected) - expected - gammaln(counts + 1)[:, None]
    top = each.max(axis=1, keepdims=True)
    drawn = top[:, 0] + np.log(np.exp(each - top) @ weights)
    some: Floats = -np.expm1(-expected) @ weights
    return drawn - np.log(some)
