"""Accounts that come and go in turns while their total keeps steady: somebody balances a load."""

import numpy as np
from scipy.special import gammaln

from campaigns.aspects import hour_shares
from campaigns.evidence.finding import Finding, log_e_value, not_tested
from campaigns.groups import Group
from campaigns.laws import Floats, Ints, log_mean_exp
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status

CLUMPED = 2.0  # variance over mean of turned totals below which there is nothing to take turns with
STEADIER = (0.25, 0.5)  # of that variance, where turns are of batches: a total is as uneven as these are
LEAST = 1.01  # variance over mean: at 1 the negative binomial is the Poisson and has no shape


def constant_total(log: Traffic, group: Group) -> Finding:
    """Weigh the hourly totals of the members' held-out rows: steady, or as clumped as the accounts are.

    Statistic: variance of the totals over that of the same accounts turned against one another by whole days
    (design of SynchroTrap's opposite: below 1 is anti-phase), so that accounts with hours of their own, and
    jobs by the clock, are no surprise. Null: accounts place their clumps of rows independently, so totals
    are overdispersed as the turned ones are (negative binomial). Alternatives of the same profile, their
    likelihoods averaged: Poisson totals, and totals a quarter or half as clumped, where turns are of batches
    and not all of a length.
    """
    rows = group.member_rows(log)
    held, seen = rows[log.held_out[rows]], rows[~log.held_out[rows]]
    if not len(seen) or not len(held):
        return not_tested(Signal.CONSTANT_TOTAL, "no rows in one of the halves")
    if log.n_days < 3:
        return not_tested(Signal.CONSTANT_TOTAL, "fewer than three days to compare")
    clumps = _clumps(log, group.members, held, seen)
    totals = np.bincount(log.hour[held], minlength=log.n_slots).astype(float)
    each = clumps[np.arange(log.n_slots) % 24]
    clump = float(each @ totals / totals.sum())
    if clump < CLUMPED:
        return not_tested(
            Signal.CONSTANT_TOTAL,
            "its accounts send few requests at a time: others would be as steady",
        )
    expected = hour_shares(log, seen) * totals.sum()
    fano = float(((totals - expected) ** 2).sum() / totals.sum())
    batches = [_clumped(totals, expected, np.maximum(share * each, LEAST)) for share in STEADIER]
    steady = np.array([_poisson(totals, expected), *batches]).sum(axis=1)
    ratio = float(log_mean_exp(steady) - _clumped(totals, expected, each).sum())
    return Finding(
        Signal.CONSTANT_TOTAL,
        Status.TESTED,
        None,
        fano / clump,
        fano,
        "independent accounts: hourly totals as clumped as the accounts (negative binomial)",
        log_e_value(ratio),
        len(held),
        f"The group's hourly total varies {fano:.1f} times as much as that of single requests; were its "
        f"accounts independent, it would vary {clump:.1f} times as much.",
    )


def _clumps(log: Traffic, members: Ints, held: Ints, seen: Ints) -> Floats:
    """Return (24,) the variance over mean of totals by the hour, were the accounts independent; at least 1.

    Each account's rows are turned by some days of its own, which leaves it as it is and makes it independent
    of the others; the turned totals are held against what their linking half tells, as the real ones are. So
    what one or two busy accounts are steady in by themselves is no surprise, nor what a profile of so many
    days can fit. That is the mean over all turns: of what each account has more than its linking half lets
    expect the variances add up, and so do the means.
    """
    n_days, m, place = log.n_days, len(members), log.places(members)
    hours = np.bincount(log.hour[seen] % 24, minlength=24) + 1.0
    a_row = len(held) * hours / hours.sum() / (len(seen) + n_days)  # expected, of a linking-half row of a day
    days = np.bincount(place[log.account[seen]] * n_days + log.hour[seen] // 24, minlength=m * n_days)
    cell, rows = np.unique(place[log.account[held]] * n_days * 24 + log.hour[held], return_counts=True)
    day, hour = np.divmod(cell, 24)
    squares = np.bincount(hour, rows * (rows - 2 * a_row[hour] * days[day]), minlength=24)
    squares += a_row**2 * (days**2).sum()
    more = np.bincount(day // n_days * 24 + hour, rows, minlength=m * 24).reshape(m, 24)
    more -= np.outer(days.reshape(m, n_days).sum(axis=1), a_row)
    squares += n_days * (more.sum(axis=0) / n_days - a_row) ** 2 - (more**2).sum(axis=0) / n_days
    return np.maximum(squares / np.maximum(np.bincount(hour, rows, minlength=24), 1), LEAST)


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
