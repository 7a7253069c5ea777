"""Two kinds of accounts told apart by what they do: an operator's and bystanders."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, expit, logit

from campaigns.aspects import hour_shares, lives, smooth, while_alive
from campaigns.laws import Cells, Floats, Ints, cells, dirichlet_multinomial
from campaigns.people import People, Reading
from campaigns.traffic import Traffic

ROUNDS = 15
SOBER = 0.6  # of the log-odds: of accounts said .96 so, .85 were right on tuning logs
SHARE_OF_BYSTANDERS = 2.0
COPIES = 1.5  # requests of somebody who tries another's template
ASTRAY = 0.02  # of anybody's requests fall to another's template

# Takes the current membership probabilities (m,). Returns the log-likelihood (m,) of each candidate as an
# operator's account, a function of how tight the queue is, and as anybody else's.
Against = Callable[[Floats], tuple[Callable[[float], Floats], Floats]]


class Work(NamedTuple):
    """What m candidates of g groups did in some rows; who is of two groups is a candidate twice.

    group (m,): of each candidate, ascending. rows (r,): their numbers in the log, group by group; account,
    hour (r,): by row. inside, everything, exposure (m,): these rows, all rows, the sampled share. evenly
    (g, slots): the shares of the hour slots in each group's rows. cells: rows by candidate and hour slot;
    days: the first and last of each candidate, (m,) each.
    """

    group: Ints
    rows: Ints
    account: Ints
    hour: Ints
    inside: Floats
    everything: Floats
    exposure: Floats
    evenly: Floats
    cells: Cells
    days: tuple[Ints, Ints]

    def sums(self, bins: Ints, among: NDArray[np.bool_] | slice, n: int) -> Callable[[Floats], Floats]:
        """Return what makes weights (m,) their sums (g, n) over each group's rows `among` by bin."""
        account = self.account[among]
        at, size = self.group[account] * n + bins, len(self.evenly) * n

        def summed(weight: Floats) -> Floats:
            return np.bincount(at, weights=weight[account], minlength=size).reshape(-1, n).astype(float)

        return summed

    def each(self, values: Floats) -> Floats:
        """Return (g,) the sums of values (m,) over each group's candidates."""
        return np.bincount(self.group, weights=values, minlength=len(self.evenly)).astype(float)


class Side(NamedTuple):
    """One way of telling an operator's accounts from bystanders.

    grid: values of tightness; in every round each group takes the one that fits its current members best.
    most: bound on the absolute log-likelihood ratio of one account; least: where it is another on the side of
    bystanders.
    """

    against: Against
    grid: tuple[float, ...]
    most: float = np.inf
    least: float | None = None


def mixture(
    work: Work, sides: Sequence[Side], weight: Floats, known: NDArray[np.bool_] | None = None
) -> Floats:
    """Fit two kinds of accounts by expectation-maximisation and return (m,) the probability of the first.

    Each group for itself, until nobody in it changes. weight (m,): the probability that each candidate is of
    the first kind, to begin with. known (m,): of whom alone that kind is learnt, and the other of all else,
    where some are known to be of it: or one newcomer who differs a little brings the next, until a crowd has
    taken its place. What is returned is as sure as it should be: the sides overlap, so that their sum says
    more than they know.
    """
    sizes = work.each(np.ones_like(weight))
    moving = np.ones(len(sizes), dtype=bool)
    for _ in range(ROUNDS):
        prior = logit(np.clip(work.each(weight) / np.maximum(sizes, 1), 0.02, 0.98))
        learnt = weight if known is None else weight * known
        after = expit(np.clip(_said(work, sides, learnt) + prior[work.group], -30, 30))
        change = np.zeros(len(sizes))
        np.maximum.at(change, work.group, np.abs(after - weight))
        weight = np.where(moving[work.group], after, weight)
        moving &= change >= 1e-3
        if not moving.any():
            break
    return np.asarray(expit(SOBER * logit(weight)), dtype=np.float64)


def nearest(work: Work, sides: Sequence[Side], claims: NDArray[np.bool_], known: NDArray[np.bool_]) -> Ints:
    """Return (m,) which of the operators that claim a candidate it does most as, the first of equals.

    work: of one group. claims, known (k, m): whom each operator claims, and whom it has beyond doubt, to
    begin with.
    """
    theirs = known
    for _ in range(ROUNDS):
        fit = np.array([_said(work, sides, one.astype(float)) for one in theirs])
        home: Ints = np.where(claims, fit, -np.inf).argmax(axis=0)
        before, theirs = theirs, claims & (home == np.arange(len(claims))[:, None])
        if np.array_equal(before, theirs):
            break
    return home


def _said(work: Work, sides: Sequence[Side], weight: Floats) -> Floats:
    """Return (m,) what all sides together say for each candidate being of the first kind.

    Of each side at the tightness that fits those best who are held to be the operator's.
    """
    said = np.zeros(len(weight))
    for side in sides:
        queue, bystanders = side.against(weight)
        each = np.array([queue(tight) for tight in side.grid])
        best = np.array([work.each(weight * law) for law in each]).argmax(axis=0)
        ratio = each[best[work.group], np.arange(len(weight))] - bystanders
        said += np.clip(ratio, -(side.most if side.least is None else side.least), side.most)
    return said


def work_of(log: Traffic, some: Sequence[tuple[Ints, Ints]], sent: Ints) -> Work:
    """Count what candidates did: the rows (r,) and the candidates (m,) of each of some groups.

    sent: all rows by account, of the same half or both.
    """
    sizes = np.array([len(candidates) for _, candidates in some])
    starts = np.cumsum(sizes) - sizes
    rows, candidates = (np.concatenate(each) for each in zip(*some, strict=True))
    account = np.concatenate(
        [
            start + log.places(theirs)[log.account[of]]
            for start, (of, theirs) in zip(starts, some, strict=True)
        ]
    )
    hour, m = log.hour[rows], len(candidates)
    return Work(
        group=np.repeat(np.arange(len(some)), sizes),
        rows=rows,
        account=account,
        hour=hour,
        inside=np.bincount(account, minlength=m).astype(float),
        everything=sent[candidates].astype(float),
        exposure=log.exposure[candidates],
        evenly=np.array([hour_shares(log, of) for of, _ in some]),
        cells=cells(account, hour, np.ones(len(rows), dtype=bool), m, log.n_slots),
        days=lives(log, rows, account, m),
    )


def by_hours(log: Traffic, work: Work, people: People) -> Against:
    """Tell by hours: the crowd's, or hours of one's own."""
    data, n = work.cells, log.n_slots
    alive = while_alive(data, work.days, n)
    bystanders = dirichlet_multinomial(data, alive(people.hours), [people.rhythm / 2])[0]
    group, busy = work.group[data.account], work.sums(work.hour, slice(None), n)

    def against(weight: Floats) -> tuple[Callable[[float], Floats], Floats]:
        crowd = smooth(busy(weight), work.evenly, 50.0)
        return partial(_at, data, alive(crowd, group)), bystanders

    return against


def by_share(work: Work) -> Against:
    """Tell by the part of an account's traffic: common to all, or as it comes."""
    share = partial(_share, work)
    return lambda weight: (partial(share, weight), share(1 - weight, SHARE_OF_BYSTANDERS))


def by_rate(work: Work, people: People, *, template: bool) -> Against:
    """Tell by rates in one group: one for all, or any; of a template a copy or two, and what goes astray."""
    rate, shape = partial(_rate, work.inside, work.exposure), min(people.volume, 1.0)
    if template:
        expected = COPIES + ASTRAY * work.everything
        copies = Reading(work.inside, expected, least=1).log_likelihood(1.0, shape)
        return lambda weight: (partial(rate, weight), copies)
    return lambda weight: (partial(rate, weight), rate(1 - weight, shape))


def by_topics(topics: Ints, work: Work, people: People) -> Against:
    """Tell by topics, (n,) int64 by row of the log: one mix for all, or one's own."""
    return _by_choice(topics, work, people.topics, people.tasks)


def by_models(log: Traffic, work: Work, people: People) -> Against:
    """Tell by the models that are asked, in a log that names them: one mix for all, or one's own."""
    return _by_choice(log.codes("model"), work, people.models, people.choice)


def _by_choice(chosen: Ints, work: Work, shares: Floats, loose: float) -> Against:
    """Tell by what is chosen, (n,) int64 by row of the log, -1 for none; shares (k,) of the whole log."""
    choice, n, m = chosen[work.rows], len(shares), len(work.inside)
    chose = choice >= 0
    account, choice = work.account[chose], choice[chose]
    asked = cells(account, choice, np.ones(len(choice), dtype=bool), m, n)
    group = work.group[asked.account]
    theirs = work.sums(choice, chose, n)
    wide = smooth(theirs(np.ones(m)), shares, 50.0)
    bystanders = dirichlet_multinomial(asked, wide[group, asked.bin], [loose / 2])[0]

    def against(weight: Floats) -> tuple[Callable[[float], Floats], Floats]:
        mix = smooth(theirs(weight), wide, 50.0)
        return partial(_at, asked, mix[group, asked.bin]), bystanders

    return against


def _at(data: Cells, base: Floats, concentration: float) -> Floats:
    return dirichlet_multinomial(data, base, [concentration])[0]


def _share(work: Work, weight: Floats, concentration: float) -> Floats:
    """Return (m,) beta-binomial log-likelihoods (without the coefficient) around the weighted mean share."""
    inside, rest = work.inside, work.everything - work.inside
    whole = np.maximum(work.each(weight * work.everything), 1.0)
    mean = np.clip(work.each(weight * inside) / whole, 0.02, 0.98)
    a, b = ((concentration * share)[work.group] for share in (mean, 1 - mean))
    return betaln(inside + a, rest + b) - betaln(a, b)


def _rate(inside: Floats, exposure: Floats, weight: Floats, shape: float) -> Floats:
    """Return (m,) log-likelihoods of rows at rates of the given shape around the weighted mean rate."""
    mean = (float(weight @ inside) + 0.1) / (float(weight @ exposure) + 0.1)
    return Reading(inside, exposure, least=1).log_likelihood(max(mean, 0.1), shape)
