"""Rows an account: one rate for all as from a queue, rates of their own, or rates under a quota."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product

import numpy as np
from scipy.special import betainc, gammaln, ndtr
from scipy.stats import gamma

from campaigns.groups import Group
from campaigns.laws import BYSTANDERS, Floats, log_mean_exp, perhaps_with_bystanders, with_bystanders
from campaigns.people import MEANS, People, Reading, at_least, in_between
from campaigns.traffic import Traffic

OPERATOR_SHAPES = (20.0, 60.0)  # and one rate for all
PEOPLE_SHAPES = (0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.5, 10.0)
LOOSE = 1.0  # shape of the rates of bystanders
AT_CAP = (0.05, 0.2, 0.4, 0.6)  # share of a tool's users who reach their quota
BY_DAYS = 16.0  # shape of volumes under a quota a day: as many as the days, some five of a week
NODES = 12  # rates below the cap that stand for all
CAPS = np.array([0.85, 1.0, 1.15, 1.35, 1.6, 2.0, 3.0])  # the cap, in plain averages
TIGHT = (0.03, 0.3)  # variance over mean of counts that somebody counts, some rows of which linking missed
NEARLY = 1 - 1e-12
HALF = 0.5  # of an account's rows are in the linking half
LEVELS = (0.5, 0.75, 0.9, 1.0)  # quantiles of the accounts, at which such a count is looked for


@dataclass(frozen=True, kw_only=True)
class Volumes:
    """Two readings of the members' row counts, and how even people may be in each.

    The first is over the window, where the exposure is the sampled share of the account; the second between
    its first row and its last, where it is the days between. bounds: the largest gamma shape of people's
    rates.
    """

    readings: tuple[Reading, Reading]
    bounds: tuple[float, float]

    @cached_property
    def _laws(self) -> list[tuple[Floats, Floats]]:
        """Log-likelihoods of each account in each reading, under bystanders and operators.

        Gamma shapes are 1 for bystanders, (means, m); 20, 60 and infinity for operators, (3, means, m).
        """
        found = []
        for reading in self.readings:
            loose, *queue = _by_shape(reading, (LOOSE, *OPERATOR_SHAPES))
            found.append((loose, np.array([*queue, *_by_shape(reading, (np.inf,))])))
        return found

    @cached_property
    def _people(self) -> list[Floats]:
        """The same under people, whose gamma shapes are all up to the bound, (s, means, m)."""
        return [
            _by_shape(reading, _people_shapes(bound))
            for reading, bound in zip(self.readings, self.bounds, strict=True)
        ]

    @cached_property
    def one_rate(self) -> float:
        """The log-likelihood of the group under an operator, a few of the accounts being bystanders."""
        return _mean([law for laws in self._operators for law in laws])

    @property
    def one_rate_by_chance(self) -> float:
        """The same for an operator whose rows fall to accounts by chance."""
        return _mean([law for laws in self._by_chance for law in laws])

    @cached_property
    def _by_chance(self) -> list[list[Floats]]:
        """Log-likelihoods of the group in each reading where an operator's rows fall to accounts by chance.

        An array for each share of bystanders.
        """
        return [
            [_best(with_bystanders(queue, loose, share)) for share in BYSTANDERS]
            for loose, queue in self._laws
        ]

    @cached_property
    def _operators(self) -> list[list[Floats]]:
        """The same, and for an operator that deals each account a fixed number of rows (`_counted`)."""
        each = []
        for (loose, _), chance, counted in zip(self._laws, self._by_chance, self._counted, strict=True):
            plain = loose[MEANS == 1]
            each.append([*chance, *(_best(with_bystanders(counted, plain, share)) for share in BYSTANDERS)])
        return each

    @cached_property
    def _counted(self) -> list[Floats]:
        """What is said of each account where somebody counts out its rows, (t, levels, m) in each reading.

        Who is counted out has as many rows however few its days are.
        """
        whole = self.readings[0]
        levels = _levels(whole)
        seen = np.log(_counted_seen(whole, levels))
        counted = np.array([_counted(whole, levels, tight) - seen for tight in TIGHT])
        return [counted, counted[..., np.round(whole.rows) > 2]]  # rows between a first and a last

    @cached_property
    def _ratios(self) -> list[float]:
        """The log-likelihood ratio of one rate to people's in each reading; the mean is fitted under each."""
        ratios = []
        for (loose, _), people, operator in zip(self._laws, self._people, self._operators, strict=True):
            each = perhaps_with_bystanders(people, loose)
            ratios.append(_mean(operator) - max(float(_best(law).max()) for law in each))
        return ratios

    @property
    def log_ratio_at_most(self) -> float:
        """A bound on `log_ratio` that costs less: bystanders are people too, of one of the shapes."""
        laws = zip(self._laws, self._operators, strict=True)
        at_most = [_mean(operator) - float(_best(loose)) for (loose, _), operator in laws]
        return float(log_mean_exp(np.array(at_most)))

    @property
    def log_ratio(self) -> float:
        """The log-likelihood ratio of one rate to people's: the mean of both, which count other rows."""
        return float(log_mean_exp(np.array(self._ratios)))

    @property
    def over_quota(self) -> float:
        """The log-likelihood ratio of one rate to people's rates, cut off by a quota or not."""
        return self.log_ratio if self.log_ratio <= 0 else self._over_quotas[0]

    @property
    def over_count(self) -> float:
        """The same where a quota counts to a number: all rows are there, and nobody is above it."""
        return self.log_ratio if self.log_ratio <= 0 else self._over_quotas[1]

    @cached_property
    def _over_quotas(self) -> tuple[float, float]:
        """The ratios of one rate to people, or a quota at all, and to one of which all rows are seen."""
        shapes = [_people_shapes(bound)[::-2] for bound in self.bounds]  # every other, from the tightest
        whole, lived = self.readings
        some, every = _under_quota(whole, shapes[0], whole=True)
        some_a_day, _ = _under_quota(lived, shapes[1], whole=False)
        said = np.array([_mean(operator) for operator in self._operators])
        loose, _ = self._laws[1]
        every_a_day = _counted_out(self._people[1][::-2], loose[MEANS == 1], self._counted[1])
        over_some = said - [some, some_a_day]
        over_count = np.minimum(said - [every, every_a_day], self._ratios)
        return float(log_mean_exp(np.minimum(over_some, over_count))), float(log_mean_exp(over_count))


def volumes(log: Traffic, group: Group, people: People) -> Volumes:
    """Count the members' rows of a group, by its least of linking-half rows: every law is cut off there.

    Who shares a little work was found the more easily the more it sent, of that and of all else: counts of
    all that members sent are weighted by size. The gamma law so weighted is one of a shape that is larger by
    the rows it took (Patil and Rao 1978), and so are the bounds.
    """
    members, rows = group.members, group.sent(log).member_rows(log)
    linking = np.bincount(log.account[rows[~log.held_out[rows]]], minlength=log.n_accounts)[members]
    least, members = group.least, members[linking >= group.least]
    place = log.places(members)[log.account[rows]]
    counts = np.bincount(place[place >= 0], minlength=len(members)).astype(float)
    known = counts / np.maximum(log.sent[members], 1) * (1 - log.exposure[members])
    whole = Reading(counts, log.exposure[members], least, HALF).with_chance(1 - known)
    lived = in_between(log, rows[place >= 0], members, known)
    if least > 1:
        lived = replace(lived, least=least - 1, among=HALF)  # an end of a life is linking
    more = group.least if group.whole else 0
    return Volumes(readings=(whole, lived), bounds=(people.volume + more, people.daily + more))


def _people_shapes(bound: float) -> list[float]:
    """Return the gamma shapes that people's volumes may have."""
    return [shape for shape in PEOPLE_SHAPES if shape <= bound]


def _by_shape(seen: Reading, shapes: Sequence[float]) -> Floats:
    """Return (s, means, m) log-likelihoods; the shapes (s,) are all finite or all infinite."""
    means = seen.means
    each = seen.log_likelihood(means, np.array(shapes)[:, None, None])
    return each.reshape(len(shapes), len(means), -1)


def _mean(each: list[Floats]) -> float:
    """Average likelihoods, logs of which are given and returned, less what one fitted mean is worth."""
    return float(log_mean_exp(np.concatenate(each)) - np.log(2))


def _best(each: Floats) -> Floats:
    """Return (s,) log-likelihoods of all accounts at the best mean; each is (s, means, m)."""
    best: Floats = each.sum(axis=-1).max(axis=-1)
    return best


def _under_quota(seen: Reading, shapes: list[float], *, whole: bool) -> tuple[float, float]:
    """Return the log-likelihoods of people under a quota, and a few bystanders, at the best of their laws.

    The first where some rows are seen of those who reach it, so many by chance; the second where all are, and
    counts are whole. Accounts of the same count and exposure are alike, and looked at once.
    """
    mean, levels = seen.mean, _levels(seen)
    each = np.round(np.broadcast_arrays(seen.counts, seen.exposure, seen.chance), 9)
    (counts, exposure, chance), times = np.unique(each, axis=1, return_counts=True)
    seen = replace(seen, counts=counts, exposure=exposure, chance=chance)
    loose = seen.log_likelihood(mean, LOOSE)
    counted = [_counted(seen, levels, tight) for tight in TIGHT] if whole else []

    def fit(law: Floats) -> float:
        return max(float((each @ times).max()) for each in perhaps_with_bystanders(law, loose))

    a_day = seen.log_likelihood(seen.means, BY_DAYS)
    some, every = [fit(a_day)], [-np.inf]
    share = np.reshape(AT_CAP, (-1, 1, 1))
    for shape in shapes:
        rates, weights = _capped(shape)
        capped, none = _mixed_poisson(seen, (CAPS * mean)[:, None] * rates, weights)
        some.append(fit(capped - np.log1p(-none)))
        if counted:
            below, none = _mixed_poisson(seen, levels[:, None] * rates[..., :-1], weights[..., :-1])
            none = none + share * (1 - _counted_seen(seen, levels))
            laws = (np.logaddexp(below, np.log(share) + hard) - np.log1p(-none) for hard in counted)
            every += [fit(law) for law in laws]
    return max(some), max(every)


def _counted_out(people: Floats, loose: Floats, counted: Floats) -> float:
    """Return the log-likelihood of rows by the day of people, some of whom are counted out, at the best law.

    people (s, means, m), loose (1, m): log-likelihoods of accounts as people's and bystanders'; counted
    (t, levels, m): as of one that is counted out.
    """
    best = -np.inf
    for each_mean, share in product(people, AT_CAP):
        fitted = each_mean[each_mean.sum(axis=1).argmax()]
        law = np.logaddexp(np.log1p(-share) + fitted, np.log(share) + counted)
        best = max(best, *(float(_best(each).max()) for each in perhaps_with_bystanders(law, loose)))
    return best


@cache
def _capped(shape: float) -> tuple[Floats, Floats]:
    """Return rates (q, 1, r) of people in parts of the cap, the cap itself last, and their weights.

    For each of the q shares of them that may reach it.
    """
    share = np.reshape(AT_CAP, (-1, 1, 1))
    below = gamma.ppf((np.arange(NODES) + 0.5) / NODES * (1 - share), shape)
    rates = np.append(below / gamma.ppf(1 - share, shape), np.ones_like(share), axis=-1)
    return rates, np.append(np.repeat((1 - share) / NODES, NODES, axis=-1), share, axis=-1)


def _mixed_poisson(seen: Reading, rates: Floats, weights: Floats) -> tuple[Floats, Floats | float]:
    """Return log-probabilities of counts, Poisson at one of the rates (q, c, r) drawn by weights (q, 1, r).

    And the probabilities of too few to be looked at; (q, c, m) both.
    """
    exposure = np.maximum(seen.exposure, 1e-12)[:, None]
    rates, weights = rates[..., None, :], weights[..., None]
    expected = rates * exposure
    each = seen.counts[:, None] * (np.log(rates) + np.log(exposure)) - expected
    top = each.max(axis=-1)
    each -= top[..., None]
    drawn = np.log((np.exp(each, out=each) @ weights)[..., 0])
    drawn += top - gammaln(seen.counts + 1) - np.log(seen.chance)
    if not seen.least:
        return drawn, 0.0
    among = np.reshape(seen.among * seen.chance, (-1, 1))
    none = (1 - at_least(seen.least, among * expected)) @ weights
    return drawn, np.minimum(none[..., 0], NEARLY)


def _levels(seen: Reading) -> Floats:
    """Return (l,) the counts, by full exposure, that a quota or a dealer in turn may have counted to."""
    rates = seen.counts / np.maximum(seen.exposure, 1e-9)
    return (np.quantile(rates, LEVELS) if len(rates) else np.ones(len(LEVELS))) + 1e-9


def _counted(seen: Reading, levels: Floats, tight: float) -> Floats:
    """Return (l, m) log-probabilities of counts that are a level (l,), give or take: a discretised normal.

    tight: the variance over the mean, where all of an account's rows are seen.
    """
    mean = levels[:, None] * seen.exposure
    spread = np.sqrt(mean * (tight * seen.exposure + 1 - seen.exposure))
    upper, lower = (ndtr((seen.counts + edge - mean) / spread) for edge in (0.5, -0.5))
    return np.log(np.maximum(upper - lower, 1e-300)) - np.log(seen.chance)


def _counted_seen(seen: Reading, levels: Floats) -> Floats:
    """Return (l, m) the probability that who sends a level (l,) has rows enough to be looked at: binomial."""
    spare = np.maximum(levels[:, None] * seen.exposure - seen.least + 1, 0.5)
    return np.maximum(betainc(seen.least, spare, seen.among * seen.chance), 1e-12)
