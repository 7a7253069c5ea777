"""How loose the people of this log are: the laws that a group has to break."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import betainc, gammainc, gammaln, xlogy

from campaigns.aspects import Aspect, aspect, hour_shares, tightness
from campaigns.laws import Floats, Ints
from campaigns.traffic import Traffic

SAMPLE = 2_000  # accounts that the laws are fitted on
MEANS = np.array([0.5, 0.7, 0.85, 1.0, 1.2])  # times the plain average
SHORTEST = 1 / 24  # days: a life that is shorter is a session
NO_ROWS = np.empty(0, dtype=np.int64)
MARGIN = 4.0  # how much tighter than the whole log an ordinary interest group may be


class People(NamedTuple):
    """Upper bounds on how tight people are; infinity is one queue.

    volume, daily: gamma shapes of rows an account, and of rows a day of its life. rhythm, tasks, choice:
    Dirichlet concentrations of hours, topics and models. hours (slots,), topics (t,), models (k,): the shares
    of the whole log, no models where it does not name them.
    """

    volume: float
    daily: float
    rhythm: float
    tasks: float
    choice: float
    hours: Floats
    topics: Floats
    models: Floats


@dataclass(frozen=True)
class Reading:
    """Row counts of m accounts and their exposures, as a likelihood of even or uneven rates sees them.

    counts, exposure (m,) float64: both are divided by `chance`. chance, one or (m,): the variance over the
    mean of an account's count before that, at one rate, so that what is left is Poisson. least: an account is
    there only with so many rows in a random share `among` of its rows, and likelihoods are conditional on
    that; 0 for no such truncation.
    """

    counts: Floats
    exposure: Floats
    least: int
    among: float = 1.0
    chance: float | Floats = 1.0

    @property
    def mean(self) -> float:
        """Rows over what they are measured by; 1 where nothing was seen."""
        return float((self.counts.sum() + 1e-9) / (self.exposure.sum() + 1e-9))

    @property
    def means(self) -> Floats:
        """A few means to choose from, (means, 1): truncation biases the plain average."""
        return (self.mean * MEANS)[:, None]

    @property
    def rows(self) -> Floats:
        """The rows themselves, (m,)."""
        return self.counts * self.chance

    def with_chance(self, chance: Floats) -> "Reading":
        """Return the same for counts of which the variance is a part of their mean, (m,).

        Where an account's total is known, and how much of it was sampled, sampling adds less chance than to
        rows at large: of an account all whose rows count, none.
        """
        return replace(self, counts=self.counts / chance, exposure=self.exposure / chance, chance=chance)

    def log_likelihood(self, mean: float | Floats, shape: float | Floats) -> Floats:
        """Return log-probabilities of the counts where rates are Gamma(shape) with the given mean.

        mean and shape broadcast against the counts.
        """
        law = gamma_poisson(self.counts, self.exposure, mean, shape) - np.log(self.chance)
        if not self.least:
            return law
        exposure, place = self._exposures
        return law - np.log(at_least(self.least, mean * exposure, shape))[..., place]

    @cached_property
    def _exposures(self) -> tuple[Floats, Ints]:
        """The different exposures, (k,), and which of them each account has: what is cut off is costly."""
        return np.unique(self.among * self.chance * self.exposure, return_inverse=True)


def volume_shape(seen: Reading) -> float:
    """Return the gamma shape of an account's rate at the likeliest of a few means, between 0.1 and 100."""
    means = seen.means

    def loss(log_shape: float) -> float:
        return -float(seen.log_likelihood(means, np.exp(log_shape)).sum(axis=-1).max())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.1), np.log(100)), method="bounded").x))


def gamma_poisson(counts: Floats, exposure: Floats, mean: float | Floats, shape: float | Floats) -> Floats:
    """Return log-probabilities of counts; rates are Gamma(shape) with the given mean.

    counts (m,) are whole rows, exposure (m,) the share of an account's time or rows that was seen; mean and
    shape broadcast against them. Infinite shapes are one common rate (Poisson), all of them or none.
    """
    expected = mean * exposure
    if np.isinf(shape).all():
        return xlogy(counts, expected) - expected - gammaln(counts + 1)
    return (
        gammaln(shape + counts)
        - gammaln(shape)
        - gammaln(counts + 1)
        - shape * np.log1p(expected / shape)
        + xlogy(counts, expected / (expected + shape))
    )


def at_least(least: int, expected: Floats, shape: float | Floats = np.inf) -> Floats:
    """Return the probability of so many rows or more; rates are Gamma(shape) around the expected rows.

    Never below 1e-300. Infinite shapes are one common rate (Poisson), all of them or none.
    """
    if np.isinf(shape).all():  # of one row the incomplete gamma is an exponential, which is quicker
        return np.maximum(gammainc(least, expected) if least > 1 else -np.expm1(-expected), 1e-300)
    return np.maximum(betainc(least, shape, expected / (expected + shape)), 1e-300)


def in_between(log: Traffic, rows: Ints, accounts: Ints, known: Floats) -> Reading:
    """Count accounts' rows between the first and last of these that they sent, by the days between those two.

    Days count by the share of the account's rows that was sampled. known (m,): as for `chance_of_days`.
    At one rate they are Poisson whenever an account came and went: an account's life is not known, only its
    first and last row. Accounts with fewer than three rows are left out, and the laws cut off there.
    """
    days, place = (log.hour[rows] + log.minute[rows] / 60) / 24, log.places(accounts)[log.account[rows]]
    first, last = np.full(len(accounts), np.inf), np.zeros(len(accounts))
    np.minimum.at(first, place, days)
    np.maximum.at(last, place, days)
    counts = np.bincount(place, minlength=len(accounts)).astype(float) - 2
    alive = np.maximum(last - np.minimum(first, last), SHORTEST)
    seen = counts > 0
    reading = Reading(counts[seen], (alive * log.exposure[accounts])[seen], least=1)
    return reading.with_chance(chance_of_days(reading.counts + 2, known[seen]))


def chance_of_days(n: Floats, known: Floats) -> Floats:
    """Return what part of their mean the variance of rows between an account's first and last is, (m,).

    n (m,) its rows, three or more; known (m,) 0 where rows are all that is known, 1 where they are few of a
    known total: then chance is in the days alone, which are Beta(n - 1, 2) of the life.
    """
    return 1 - known * (1 - 2 * (n - 2) / ((n - 1) * (n + 2)))


def people(log: Traffic, topics: Ints, seed: int) -> People:
    """Fit the laws on accounts drawn at random from the whole log; topics (n,) int64 by row.

    Campaigns are a few per cent of the accounts, so the fit is the law of people; the margin covers crowds
    that are more alike than the log as a whole, and calibration on null logs shows whether it is enough.
    """
    busy = np.flatnonzero(log.sent >= 4)
    chosen = np.sort(np.random.default_rng(seed).permutation(busy)[:SAMPLE])
    rows = log.rows_of(chosen)
    rows = rows[log.opens[rows]]
    hours = hour_shares(log, np.arange(len(log.account)))
    shares = _shares(topics)
    model = log.codes("model") if log.has("model") else NO_ROWS
    models = _shares(model[model >= 0])
    totals = log.accounts["n_total"].to_numpy().astype(float)
    weight = log.rows["weight"].to_numpy()
    among = 1 / float(weight.min(initial=np.inf))  # accounts of which no row was sampled are not in the log
    whole = Reading(totals, np.ones(len(totals)), least=1, among=among)
    lived = in_between(log, np.arange(len(log.account)), np.arange(log.n_accounts), 1 - log.exposure)

    def bound(bins: Ints, of: Floats) -> float:
        view: Aspect = aspect(log, rows, chosen, bins, of)
        return MARGIN * min(tightness(view), 16.0) if len(view.data.held) else MARGIN

    return People(
        volume=float(np.clip(2 * volume_shape(whole), 2.0, 6.0)),
        daily=float(np.clip(3 * volume_shape(lived), 3.0, 5.0)),
        rhythm=bound(log.hour, hours),
        tasks=bound(topics, shares),
        choice=bound(model, models) if len(models) else MARGIN,
        hours=hours,
        topics=shares,
        models=models,
    )


def _shares(bins: Ints) -> Floats:
    """Return the share of each bin among rows (n,), a row added to each; none of no rows."""
    counts = np.bincount(bins) + 1.0
    return counts / counts.sum()
