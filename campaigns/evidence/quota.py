"""Volumes under a cap: a quota makes those who reach it even, and leaves the others as they are."""

from functools import cache
from itertools import product

import numpy as np
from scipy.special import gammaln
from scipy.stats import gamma

from campaigns.evidence.evenness import LOOSE, Volumes, people_shapes
from campaigns.evidence.finding import Finding, log_e_value
from campaigns.laws import Floats, perhaps_with_bystanders
from campaigns.people import Reading
from campaigns.vocabulary import Signal, Status

AT_CAP = (0.05, 0.2, 0.4, 0.6)  # share of a tool's users who reach their quota
NODES = 12  # rates below the cap that stand for all
CAPS = np.array([0.85, 1.0, 1.15, 1.35, 1.6, 2.0, 3.0])  # the cap, in plain averages


def quota(seen: Volumes) -> Finding:
    """Weigh the members' row counts: one common rate against rates of people that are cut off by a quota.

    Statistic: share of the accounts within a quarter of the median. Null: each account's rate is the lesser
    of its own (gamma, shape up to the log's own bound) and the quota, which at most three in five reach; the
    best of those is taken. That most accounts of a free tier use all of it is no surprise, that none of
    sixty stays below it is one. Both readings as for evenness.
    """
    ratio = _ratio(seen)
    rates = seen.readings[0].counts / seen.readings[0].exposure
    near = float((np.abs(rates / np.median(rates) - 1) <= 0.25).mean())
    return Finding(
        Signal.QUOTA,
        Status.TESTED,
        None,
        near,
        float((rates < 0.5 * np.median(rates)).mean()),
        f"people's volumes up to a quota that at most {AT_CAP[-1]:.0%} of them reach",
        log_e_value(ratio),
        len(rates),
        f"{near:.0%} of the accounts sent within a quarter of the median; under a quota those who do not "
        "reach it keep volumes of their own.",
        ratio,
    )


def _ratio(seen: Volumes) -> float:
    uncapped = seen.log_ratio
    if uncapped <= 0:  # a quota explains more than none
        return uncapped
    innocent = max(
        _best(reading, people_shapes(bound))
        for reading, bound in zip(seen.readings, seen.bounds, strict=True)
    )
    return min(uncapped, seen.one_rate - innocent)


def _best(seen: Reading, shapes: list[float]) -> float:
    """Return the log-likelihood of people under a quota, and a few bystanders, at the best of their laws."""
    loose = seen.log_likelihood(seen.mean, LOOSE)
    best = -np.inf
    for shape, share in product(shapes, AT_CAP):
        rates, weights = _capped(shape, share)
        capped = _log_likelihood(seen, np.outer(CAPS * seen.mean, rates), weights)
        laws = perhaps_with_bystanders(capped, loose)
        best = max(best, *(float(each.sum(axis=-1).max()) for each in laws))
    return best


@cache
def _capped(shape: float, share: float) -> tuple[Floats, Floats]:
    """Return rates (r,) of people in parts of the cap, the cap itself last, and their weights (r,)."""
    below = gamma.ppf((np.arange(NODES) + 0.5) / NODES * (1 - share), shape)
    rates = np.append(below / gamma.ppf(1 - share, shape), 1.0)
    return rates, np.append(np.full(NODES, (1 - share) / NODES), share)


def _log_likelihood(seen: Reading, rates: Floats, weights: Floats) -> Floats:
    """Return (c, m) log-probabilities of counts, Poisson at one of the rates (c, r) drawn by weights (r,)."""
    expected = rates[:, None, :] * seen.exposure[:, None] + 1e-12
    each = seen.counts[:, None] * np.log(expected) - expected - gammaln(seen.counts + 1)[:, None]
    top = each.max(axis=-1)
    drawn: Floats = top + np.log(np.exp(each - top[..., None]) @ weights)
    return drawn - np.log(-np.expm1(-expected) @ weights) if seen.counted else drawn
