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


def constant_total(log: Traffic, group: Group) -> Finding:
    """Weigh the hourly totals of the members' held-out rows: steady, or as clumped as the accounts are.

    Statistic: variance of the totals over the sum of the accounts' own variances (design of SynchroTrap's
    opposite: below 1 is anti-phase). Null: accounts place their clumps of rows independently, so totals are
    overdispersed by the mean clump (negative binomial). Alternative: Poisson totals of the same profile.
    """
    rows = group.member_rows(log)
    held, seen = rows[log.held_out[rows]], rows[~log.held_out[rows]]
    if not len(seen) or not len(held):
        return not_tested(Signal.CONSTANT_TOTAL, "no rows in one of the halves")
    shares = hour_shares(log, seen)
    totals = np.bincount(log.hour[held], minlength=log.n_slots).astype(float)
    expected = shares * totals.sum()
    clump = _clump(log, held, shares)
    if clump < CLUMPED:
        return not_tested(Signal.CONSTANT_TOTAL, "accounts send one request at a time: no turns to take")
    fano = float(((totals - expected) ** 2).sum() / totals.sum())
    ratio = float(_poisson(totals, expected).sum() - _clumped(totals, expected, clump).sum())
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


def _clump(log: Traffic, rows: Ints, shares: Floats) -> float:
    """Return the accounts' own variance over their mean, added up: 1 where rows come singly, at any rate."""
    cells, counts = np.unique(log.account[rows] * log.n_slots + log.hour[rows], return_counts=True)
    n = np.bincount(log.account[rows], minlength=log.n_accounts).astype(float)
    expected = n[cells // log.n_slots] * shares[cells % log.n_slots]
    squares = (counts**2).sum() - 2 * (counts * expected).sum() + (n**2).sum() * (shares**2).sum()
    return float(squares / len(rows))


def _poisson(totals: Floats, expected: Floats) -> Floats:
    return totals * np.log(expected) - expected - gammaln(totals + 1)


def _clumped(totals: Floats, expected: Floats, clump: float) -> Floats:
    """Return negative binomial log-probabilities with mean `expected` and variance clump times the mean."""
    shape = expected / (clump - 1)
    return (
        gammaln(totals + shape)
        - gammaln(shape)
        - gammaln(totals + 1)
        - shape * np.log(clump)
        + totals * np.log1p(-1 / clump)
    )
