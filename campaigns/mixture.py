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

# From the probabilities of being the operator's, (m,), to the log-likelihoods (m,) of the queue by its
# tightness, and of bystanders.
Against = Callable[[Floats], tuple[Callable[[float], Floats], Floats]]


class Work(NamedTuple):
    """What m candidates did in some rows.

    rows (r,): their numbers in the log; account, hour (r,): by row. inside, everything, exposure (m,): these
    rows, all rows, the sampled share. cells: rows by account and hour slot; days: the first and last of each
    account, (m,) each.
    """

    rows: Ints
    account: Ints
    hour: Ints
    inside: Floats
    everything: Floats
    exposure: Floats
    cells: Cells
    days: tuple[Ints, Ints]


class Side(NamedTuple):
    """One way of telling an operator's accounts from bystanders.

    grid: how tight the queue may be, the best taken as accounts come and go; most: what this may say of one.
    """

    against: Against
    grid: tuple[float, ...]
    most: float = np.inf


def mixture(sides: Sequence[Side], weight: Floats) -> Floats:
    """Fit two kinds of accounts by expectation-maximisation and return (m,) the probability of the first.

    weight (m,): the probability that each account is of the first kind, to begin with. What is returned is
    as sure as it should be: the sides overlap, so that their sum says more than they know.
    """
    for _ in range(ROUNDS):
        prior = logit(np.clip(weight.mean(), 0.02, 0.98))
        before, weight = weight, expit(np.clip(_said(sides, weight) + prior, -30, 30))
        if np.max(np.abs(before - weight)) < 1e-3:
            break
    return np.asarray(expit(SOBER * logit(weight)), dtype=np.float64)


def nearest(sides: Sequence[Side], claims: NDArray[np.bool_], known: NDArray[np.bool_]) -> Ints:
    """Return (m,) which of the operators that claim an account it does most as, the first of equals.

    claims, known (k, m): whom each operator claims, and whom it has beyond doubt, to begin with.
    """
    theirs = known
    for _ in range(ROUNDS):
        fit = np.array([_said(sides, one.astype(float)) for one in theirs])
        home: Ints = np.where(claims, fit, -np.inf).argmax(axis=0)
        before, theirs = theirs, claims & (home == np.arange(len(claims))[:, None])
        if np.array_equal(before, theirs):
            break
    return home


def _said(sides: Sequence[Side], weight: Floats) -> Floats:
    """Return (m,) what all sides together say for each account being of the first kind."""
    said = np.zeros(len(weight))
    for side in sides:
        queue, bystanders = side.against(weight)
        tight = side.grid[0] if len(side.grid) == 1 else max(side.grid, key=_fit(queue, weight))
        said += np.clip(queue(tight) - bystanders, -side.most, side.most)
    return said


def _fit(queue: Callable[[float], Floats], weight: Floats) -> Callable[[float], float]:
    """Return how well each tightness fits the accounts that are held to be the operator's."""
    return lambda tight: float(weight @ queue(tight))


def work_of(log: Traffic, rows: Ints, candidates: Ints, sent: Ints) -> Work:
    """Count what candidates did in some rows; sent: all rows by account, of the same half or both."""
    account, hour = log.places(candidates)[log.account[rows]], log.hour[rows]
    m = len(candidates)
    return Work(
        rows=rows,
        account=account,
        hour=hour,
        inside=np.bincount(account, minlength=m).astype(float),
        everything=sent[candidates].astype(float),
        exposure=log.exposure[candidates],
        cells=cells(account, hour, np.ones(len(rows), dtype=bool), m, log.n_slots),
        days=lives(log, rows, candidates),
    )


def by_hours(log: Traffic, work: Work, people: People) -> Against:
    """Tell by hours: the crowd's, or hours of one's own."""
    own = while_alive(work.cells, work.days, people.hours)
    bystanders = dirichlet_multinomial(work.cells, own, [people.rhythm / 2])[0]
    evenly = hour_shares(log, work.rows)

    def against(weight: Floats) -> tuple[Callable[[float], Floats], Floats]:
        busy = np.bincount(work.hour, weights=weight[work.account], minlength=log.n_slots).astype(float)
        crowd = while_alive(work.cells, work.days, smooth(busy, evenly, 50.0))
        return partial(_at, work.cells, crowd), bystanders

    return against


def by_share(work: Work) -> Against:
    """Tell by the part of an account's traffic: common to all, or as it comes."""
    share = partial(_share, work.inside, work.everything)
    return lambda weight: (partial(share, weight), share(1 - weight, SHARE_OF_BYSTANDERS))


def by_rate(work: Work, people: People, *, template: bool) -> Against:
    """Tell by rates: one for all, or as they come; of a template passers-by send a copy or two."""
    rate, shape = partial(_rate, work.inside, work.exposure), min(people.volume, 1.0)
    if template:
        copies = Reading(work.inside, np.ones(len(work.inside)), least=1).log_likelihood(COPIES, shape)
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
    choice, n = chosen[work.rows], len(shares)
    account, choice = work.account[choice >= 0], choice[choice >= 0]
    asked = cells(account, choice, np.ones(len(choice), dtype=bool), len(work.inside), n)
    wide = smooth(np.bincount(choice, minlength=n).astype(float), shares, 50.0)
    bystanders = dirichlet_multinomial(asked, wide[asked.bin], [loose / 2])[0]

    def against(weight: Floats) -> tuple[Callable[[float], Floats], Floats]:
        theirs = np.bincount(choice, weights=weight[account], minlength=n).astype(float)
        mix = smooth(theirs, wide, 50.0)
        return partial(_at, asked, mix[asked.bin]), bystanders

    return against


def _at(data: Cells, base: Floats, concentration: float) -> Floats:
    return dirichlet_multinomial(data, base, [concentration])[0]


def _share(inside: Floats, everything: Floats, weight: Floats, concentration: float) -> Floats:
    """Return (m,) beta-binomial log-likelihoods (without the coefficient) around the weighted mean share."""
    mean = float(np.clip((weight @ inside) / max(float(weight @ everything), 1.0), 0.02, 0.98))
    a, b = concentration * mean, concentration * (1 - mean)
    return betaln(inside + a, everything - inside + b) - betaln(a, b)


def _rate(inside: Floats, exposure: Floats, weight: Floats, shape: float) -> Floats:
    """Return (m,) log-likelihoods of rows at rates of the given shape around the weighted mean rate."""
    mean = (float(weight @ inside) + 0.1) / (float(weight @ exposure) + 0.1)
    return Reading(inside, exposure, least=1).log_likelihood(max(mean, 0.1), shape)
