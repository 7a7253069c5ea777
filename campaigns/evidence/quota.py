"""Volumes under a cap: a quota makes those who reach it even, and leaves the others as they are."""

import numpy as np

from campaigns.evidence.finding import Finding, log_e_value, not_tested
from campaigns.vocabulary import Signal, Status
from campaigns.volumes import AT_CAP, Volumes

HALF = 0.5  # of the accounts: where fewer are near the median, it is no quota that makes them so


def quota(seen: Volumes) -> Finding:
    """Weigh the members' row counts: one common rate against rates of people that are cut off by a quota.

    Statistic: share of the accounts within a quarter of the median. Null: each account's rate is the lesser
    of its own (gamma, shape up to the log's own bound) and the quota, which at most three in five reach; the
    best of those is taken. That most accounts of a free tier use all of it is no surprise, that none of
    sixty stays below it is one. Both readings as for evenness.
    """
    rates = seen.readings[0].counts / seen.readings[0].exposure
    if len(rates) < 2:
        return not_tested(Signal.QUOTA, "fewer than two accounts with rows enough to compare")
    ratio, median = seen.over_quota, np.median(rates)
    near = float((np.abs(rates - median) <= 0.25 * median).mean())
    return Finding(
        Signal.QUOTA,
        Status.TESTED,
        None,
        near,
        float((rates < 0.5 * median).mean()),
        f"people's volumes up to a quota that at most {AT_CAP[-1]:.0%} of them reach",
        log_e_value(ratio),
        len(rates),
        f"{near:.0%} of the accounts sent within a quarter of the median; {_said(ratio, near)}.",
        ratio,
    )


def _said(ratio: float, near: float) -> str:
    if ratio > 0:
        return "a quota would leave those who do not reach it volumes of their own"
    if near >= HALF:
        return "a quota that most of them use up explains as much"
    return "the rest have volumes of their own, as people do"
