"""Accounts that come and go in turns while their total keeps steady: somebody balances a load."""

import numpy as np
from scipy.special import gammaln

from campaigns.aspects import hour_shares
from campaigns.evidence.finding import Finding, log_e_value, not_tested
from campaigns.groups import Group
from campaigns.laws import Floats, Ints
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status

CLUMPED = 2.0  # accounts that send fewer rows than this at a time leave nothing to take turns with
LEAST = 1.01  # variance over mean: at 1 the negative binomial is the Poisson and has no shape


def constant_total(log: Traffic, group: Group) -> Finding:
    """Weigh the hourly totals of the members' held-out rows: steady, or as clumped as the accounts are.

    Statistic: variance of the totals over the sum of the accounts' own variances (design of SynchroTrap's
    opposite: below 1 is anti-phase). Both are taken from day to day at one hour, so that accounts with
    hours of their own, and jobs by the clock, are no surprise. Null: accounts place their clumps of rows
    independently, so totals are overdispersed by the mean clump (negative binomial). Alternative: Poisson
    totals of the same profile.
    """
    rows = group.member_rows(log)
    held, seen = rows[log.held_out[rows]], rows[~log.held_out[rows]]
    if not len(seen) or not len(held):
        return not_tested(Signal.CONSTANT_TOTAL, "no rows in one of the halves")
    if log.n_slots < 3 * 24:
        return not_tested(Signal.CONSTANT_TOTAL, "fewer than three days to compare")
    clumps = _clumps(log, held)
    totals = np.bincount(log.hour[held], minlength=log.n_slots).astype(float)
    each = clumps[np.arange(log.n_slots) % 24]
    clump = float(each @ totals / totals.sum())
    if clump < CLUMPED:
        return not_tested(Signal.CONSTANT_TOTAL, "accounts send one request at a time: no turns to take")
    expected = hour_shares(log, seen) * totals.sum()
    fano = float(((totals - expected) ** 2).sum() / totals.sum())
    ratio = float(_poisson(totals, expected).sum() - _clumped(totals, expected, each).sum())
    return Finding(
        Signal.CONSTANT_TOTAL,
        Status.TESTED,
        None,
        fano / clump,
        fano,
        "independent accounts: hourly totals as clumped as the accounts (negative binomial)",
        log_e_value(ratio),
        len(held),
        f"Accounts send {clump:.1f} requests at a time, yet the group's hourly total varies only {fano:.1f} "
        "times as much as that of single requests."
        if fano < clump / 2
        else f"The group's hourly total is as uneven as accounts of their own make it ({fano:.1f}).",
    )


def _clumps(log: Traffic, rows: Ints) -> Floats:
    """Return (24,) the accounts' variance from day to day at each hour over their mean, at least 1.

    1 is rows that come singly. An account's rows at an hour are expected to fall on days as the whole
    group's do. By the hour, so that one busy account is not taken for a habit of all.
    """
    day, hour = np.divmod(log.hour[rows], 24)
    share = np.bincount(day) / len(rows)
    series, place = np.unique(log.account[rows] * 24 + hour, return_inverse=True)
    n = np.bincount(place).astype(float)
    cells, counts = np.unique(place * len(share) + day, return_counts=True)
    missed = -2 * counts * n[cells // len(share)] * share[cells % len(share)]
    spread = float((share**2).sum())
    squares = np.bincount(cells // len(share), weights=counts**2 + missed) + n**2 * spread
    of_hour = np.bincount(hour, minlength=24).astype(float)
    clumps = np.bincount(series % 24, weights=squares, minlength=24) / (of_hour * (1 - spread) + 1e-9)
    return np.maximum(clumps, LEAST)


def _poisson(totals: Floats, expected: Floats) -> Floats:
    return totals * np.log(expected) - expected - gammaln(totals + 1)


def _clumped(totals: Floats, expected: Floats, clump: Floats) -> Floats:
    """Return negative binomial log-probabilities with mean `expected` and variance clump times the mean."""
    shape = expected / (clump - 1)
    return (
        gammaln(totals + shape)
        - gammaln(shape)
        - gammaln(totals + 1)
        - shape * np.log(clump)
        + totals * np.log1p(-1 / clump)
    )
