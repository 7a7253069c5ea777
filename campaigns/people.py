"""How loose the people of this log are: the laws that a group has to break."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from campaigns.aspects import Aspect, aspect, hour_shares, tightness
from campaigns.laws import Floats, Ints
from campaigns.traffic import Traffic

SAMPLE = 2_000  # accounts that the laws are fitted on
MARGIN = 4.0  # how much tighter than the whole log an ordinary interest group may be


class People(NamedTuple):
    """Upper bounds on how tight people are; infinity is one queue.

    volume, daily: gamma shapes of rows an account, and of rows a day of its life. rhythm, tasks, addresses:
    Dirichlet concentrations of hours, topics and addresses. hours (slots,), topics (t,): the shares of the
    whole log.
    """

    volume: float
    daily: float
    rhythm: float
    tasks: float
    addresses: float
    hours: Floats
    topics: Floats


def volume_shape(counts: Floats, exposure: Floats) -> float:
    """Return the gamma shape of zero-truncated Poisson counts by maximum likelihood, between 0.1 and 100.

    counts, exposure (m,): rows and what they are measured by.
    """
    mean = float(counts.sum() / exposure.sum())

    def loss(log_shape: float) -> float:
        return -float(truncated_gamma_poisson(counts, exposure, mean, np.exp(log_shape)).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.1), np.log(100)), method="bounded").x))


def truncated_gamma_poisson(
    counts: Floats, exposure: Floats, mean: float | Floats, shape: float | Floats
) -> Floats:
    """Return log-probabilities of counts of at least one; rates are Gamma(shape) with the given mean.

    counts (m,) are whole rows, exposure (m,) the share of an account's time or rows that was seen; mean and
    shape broadcast against them. Infinite shapes are one common rate (Poisson), all of them or none.
    """
    expected = mean * exposure
    if np.isinf(shape).all():
        return counts * np.log(expected) - expected - gammaln(counts + 1) - np.log(-np.expm1(-expected))
    log_none = -shape * np.log1p(expected / shape)
    return (
        gammaln(shape + counts)
        - gammaln(shape)
        - gammaln(counts + 1)
        + log_none
        + counts * np.log(expected / (expected + shape))
        - np.log(-np.expm1(log_none))
    )


def days_of_life(log: Traffic, rows: Ints) -> Floats:
    """Return (m,) every account's days between first and last of the rows, at least half a day."""
    first = np.full(log.n_accounts, np.iinfo(np.int64).max)
    last = np.zeros(log.n_accounts, dtype=np.int64)
    np.minimum.at(first, log.account[rows], log.hour[rows])
    np.maximum.at(last, log.account[rows], log.hour[rows])
    return np.maximum((last - np.minimum(first, last)) / 24.0, 0.5)


def people(log: Traffic, topics: Ints, seed: int) -> People:
    """Fit the laws on accounts drawn at random from the whole log; topics (n,) int64 by row.

    Campaigns are a few per cent of the accounts, so the fit is the law of people; the margin covers crowds
    that are more alike than the log as a whole, and calibration on null logs shows whether it is enough.
    """
    counts = np.bincount(log.account, minlength=log.n_accounts)
    busy = np.flatnonzero(counts >= 4)
    chosen = np.sort(np.random.default_rng(seed).permutation(busy)[:SAMPLE])
    rows = np.flatnonzero(np.isin(log.account, chosen))
    hours = hour_shares(log, np.arange(len(log.account)))
    shares = (np.bincount(topics, minlength=1) + 1.0) / (len(topics) + topics.max(initial=0) + 1.0)
    totals = log.accounts["n_total"].to_numpy().astype(float)
    life = days_of_life(log, np.arange(len(log.account)))

    def bound(bins: Ints, of: Floats) -> float:
        view: Aspect = aspect(log, rows, chosen, bins, of)
        return MARGIN * min(tightness(view), 16.0) if len(view.data.held) else MARGIN

    return People(
        volume=float(np.clip(2 * volume_shape(totals, np.ones(len(totals))), 2.0, 6.0)),
        daily=float(np.clip(3 * volume_shape(counts.astype(float), life), 3.0, 5.0)),
        rhythm=bound(log.hour, hours),
        tasks=bound(topics, shares),
        addresses=MARGIN,
        hours=hours,
        topics=shares,
    )
