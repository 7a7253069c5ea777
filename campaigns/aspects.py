"""The rows of a group seen along one axis: hours, tasks, addresses; each account against the crowd."""

from typing import NamedTuple

import numpy as np

from campaigns.laws import Cells, Floats, Ints, cells, dirichlet_multinomial, log_mean_exp
from campaigns.traffic import Traffic

OPERATOR = (
    64.0,
    256.0,
    np.inf,
)  # concentrations of accounts fed from one queue: nearly or wholly the crowd's
PEOPLE = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # a grid for the log's own law of people


class Aspect(NamedTuple):
    """Counts of the members' rows by (account, bin), and what the crowd and the whole log do in each cell."""

    data: Cells
    crowd: Floats
    log_wide: Floats


def smooth(counts: Floats, prior: Floats, strength: float) -> Floats:
    """Return shares (b,) of counts shrunk towards the shares `prior` by `strength` rows."""
    return (counts + strength * prior) / (counts.sum() + strength)


def aspect(log: Traffic, rows: Ints, members: Ints, bins: Ints, shares: Floats, crowd: Floats) -> Aspect:
    """Count the members' rows; bins (n,) int64 by row of the log, shares and crowd (b,) of the bins."""
    place = np.full(log.n_accounts, -1)
    place[members] = np.arange(len(members))
    rows = rows[(place[log.account[rows]] >= 0) & (bins[rows] >= 0)]
    data = cells(place[log.account[rows]], bins[rows], log.held_out[rows], len(members), len(shares))
    return Aspect(data, crowd[data.bin], shares[data.bin])


def hour_shares(log: Traffic, rows: Ints) -> Floats:
    """Return (slots,) the share of each hour slot of the window in the given rows.

    The product of an hour-of-day and a day profile, each with a row added: a group of a few hundred rows
    cannot fill one slot an hour.
    """
    day, hour = np.divmod(log.hour[rows], 24)
    days = np.bincount(day, minlength=-(-log.n_slots // 24)) + 1.0
    hours = np.bincount(hour, minlength=24) + 1.0
    shares = np.outer(days, hours).ravel()[: log.n_slots]
    return shares / shares.sum()


def log_ratio(view: Aspect, people: float) -> float:
    """Return the log-likelihood ratio of "one queue" to "people", on held-out rows given the linking half.

    People may be as tight as the concentration `people` and follow either the crowd or the whole log; the
    best of those is taken, so the ratio's expectation under any of them is at most one (a universal
    inference argument: the numerator is fixed by the linking half).
    """
    operator = [dirichlet_multinomial(view.data, view.crowd, c).sum() for c in OPERATOR]
    loose = [c for c in PEOPLE if c <= people] or [PEOPLE[0]]
    innocent = max(
        dirichlet_multinomial(view.data, base, c).sum() for c in loose for base in (view.crowd, view.log_wide)
    )
    return log_mean_exp(np.array(operator)) - float(innocent)


def tightness(view: Aspect) -> float:
    """Return the concentration in the grid that predicts the held-out rows best; infinity for one queue."""
    grid = [*PEOPLE, *OPERATOR[1:]]
    return grid[int(np.argmax([dirichlet_multinomial(view.data, view.crowd, c).sum() for c in grid]))]
