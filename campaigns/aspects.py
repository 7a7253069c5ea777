"""The rows of a group seen along one axis, hours or tasks; each account against the crowd."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from campaigns.laws import (
    BYSTANDERS,
    Cells,
    Floats,
    Ints,
    cells,
    dirichlet_multinomial,
    log_mean_exp,
    perhaps_with_bystanders,
    with_bystanders,
)
from campaigns.traffic import Traffic

OPERATOR = (
    64.0,
    256.0,
    np.inf,
)  # concentrations of accounts fed from one queue: nearly or wholly the crowd's
OWN_PRIOR = 5.0  # rows of the whole log that a crowd is taken to have beside its own
LOOSE = 2.0  # concentration of bystanders: hours and topics of their own
MOST_EACH = 2.0  # what one account may add to a log ratio
LIFE = 0.9  # how sure it is at most that an account writes within the days it was seen on
PEOPLE = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 48.0, 64.0)  # a grid for the log's own law of people


class Aspect(NamedTuple):
    """Counts of the members' rows by (account, bin), and what the crowd and the whole log do in each cell."""

    data: Cells
    crowd: Floats
    log_wide: Floats


def smooth(counts: Floats, prior: Floats, strength: float) -> Floats:
    """Return shares (..., b) of counts shrunk towards the shares `prior` by `strength` rows."""
    return (counts + strength * prior) / (counts.sum(axis=-1, keepdims=True) + strength)


def aspect(log: Traffic, rows: Ints, members: Ints, bins: Ints, shares: Floats) -> Aspect:
    """Count the members' rows; bins (n,) int64 by row of the log, -1 for none, shares (b,) of the bins.

    An account's crowd is all the other members, by linking-half rows: a busy account must not be found to
    do what the crowd does because it is most of the crowd.
    """
    place = log.places(members)
    rows = rows[(place[log.account[rows]] >= 0) & (bins[rows] >= 0)]
    data = cells(place[log.account[rows]], bins[rows], log.held_out[rows], len(members), len(shares))
    seen = np.bincount(bins[rows[~log.held_out[rows]]], minlength=len(shares)).astype(float)
    others = seen[data.bin] - data.seen + OWN_PRIOR * shares[data.bin]
    crowd = others / (seen.sum() - data.n_seen[data.account] + OWN_PRIOR)
    return Aspect(data, crowd, shares[data.bin])


def hour_shares(log: Traffic, rows: Ints) -> Floats:
    """Return (slots,) the share of each hour slot of the window in the given rows.

    The product of an hour-of-day and a day profile, each with a row added: a group of a few hundred rows
    cannot fill one slot an hour. A last day that is not whole keeps its share, in the hours that it has.
    """
    day, hour = np.divmod(log.hour[rows], 24)
    days = np.bincount(day, minlength=log.n_days) + 1.0
    hours = np.bincount(hour, minlength=24) + 1.0
    shares = np.outer(days / days.sum(), hours / hours.sum())
    there = log.n_slots - 24 * (len(shares) - 1)
    shares[-1:, :there] /= shares[-1:, :there].sum() / shares[-1:].sum()
    return shares.ravel()[: log.n_slots]


def lives(log: Traffic, rows: Ints, account: Ints, m: int) -> tuple[Ints, Ints]:
    """Return (m,) the first and last day, from the start of the window, of each account in the given rows.

    account (r,): 0 to m - 1, by row. The whole window for accounts without a row.
    """
    day, n_days = log.hour[rows] // 24, log.n_days
    first, last = np.full(m, n_days), np.full(m, -1)
    np.minimum.at(first, account, day)
    np.maximum.at(last, account, day)
    return np.where(last < 0, 0, first), np.where(last < 0, n_days - 1, last)


def surely_alive(n_seen: Floats) -> Floats:
    """Return (m,) how sure it is that accounts write within the days on which so many rows (m,) were seen.

    Between the first and last of n moments that are drawn evenly lie (n - 1) / (n + 1) of all on average.
    """
    return np.clip((n_seen - 1) / (n_seen + 1), 0.0, LIFE)


class OthersHours(NamedTuple):
    """What the rows of all other members say of each cell's hour slot, (c,) expected shares each.

    profile: the product of their days and hours; bursts: half of that and half the slots themselves, in which
    bursts show. days (m, days), hours (m, 24): the one and the other alone, by account.
    """

    profile: Floats
    bursts: Floats
    days: Floats
    hours: Floats


def hours_of_others(
    log: Traffic, rows: Ints, members: Ints, data: Cells, days: tuple[Ints, Ints]
) -> OthersHours:
    """Estimate, from the rows of all other members, when an account's rows fall.

    rows (r,): linking-half rows of the members; days: first and last day (m,) of each. Shares of the days and
    of the hours of the day have a row added to each, and the days are moved to the account's own as far as
    `surely_alive` says.
    """
    place = log.places(members)
    whose, (day, hour) = place[log.account[rows]], np.divmod(log.hour[rows], 24)
    n_days = log.n_days
    by_day = _of_others(whose, day, len(members), n_days)
    by_hour = _of_others(whose, hour, len(members), 24)
    alive = (np.arange(n_days) >= days[0][:, None]) & (np.arange(n_days) <= days[1][:, None])
    sure = surely_alive(data.n_seen)[:, None]
    by_day *= alive * (sure / (by_day * alive).sum(axis=1, keepdims=True)) + (1 - sure)
    profile = by_day[data.account, data.bin // 24] * by_hour[data.account, data.bin % 24]
    slots = np.bincount(log.hour[rows], minlength=log.n_slots)[data.bin] - data.seen
    exact = slots / np.maximum(len(rows) - data.n_seen[data.account], 1.0)
    return OthersHours(profile, (profile + exact) / 2, by_day, by_hour)


def _of_others(whose: Ints, bins: Ints, m: int, n: int) -> Floats:
    """Return (m, n) shares of the bins among the rows of all but one account, a row added to each bin."""
    own = np.bincount(whose * n + bins, minlength=m * n).reshape(m, n)
    others = own.sum(axis=0) + 1.0 - own
    return others / others.sum(axis=1, keepdims=True)


def while_alive(
    data: Cells, days: tuple[Ints, Ints], n_slots: int, sure: Floats | float = LIFE
) -> Callable[..., Floats]:
    """Return a function that makes shares of hour slots the expected shares of each cell, (c,).

    It takes shares (slots,), or (g, slots) and the row (c,) for each cell. A part `sure` (one, or (m,) by
    account) of what an account sends lies between its first and last day, the rest as the shares are: that an
    account is new, or gone, says nothing of its rhythm.
    """
    first, last = (edge[data.account] for edge in days)
    sure = np.broadcast_to(sure, data.n_seen.shape)[data.account]
    day = np.arange(n_slots) // 24
    inside = (day[data.bin] >= first) & (day[data.bin] <= last)
    edges = np.append(np.arange(0, n_slots, 24), n_slots)

    def expected(shares: Floats, number: Ints | int = 0) -> Floats:
        shares = np.atleast_2d(shares)
        reached = np.pad(shares.cumsum(axis=1), ((0, 0), (1, 0)))[:, edges]
        alive = np.maximum(reached[number, last + 1] - reached[number, first], 1e-12)
        return shares[number, data.bin] * (inside * (sure / alive) + (1 - sure))

    return expected


def log_ratio(views: Sequence[Aspect], people: float, others: Floats | None = None) -> float:
    """Return the log-likelihood ratio of "one queue" to "people", on held-out rows given the linking half.

    People may be as tight as the concentration `people` and follow either the crowd or the whole log. The
    ratio to each of those is taken and the least returned, so its expectation under any of them is at most
    one (a universal inference argument: the numerator is fixed by the linking half). Each account's ratio is
    cut off at MOST_EACH, which can only lower the expectation: a few busy accounts do not make a queue.
    Either may have a few bystanders: in a crowd of thousands that would else speak for a queue. views: of the
    same cells, each with an idea of its own of what the crowd does; their ratios are averaged. others (g, m):
    log-likelihoods of the accounts under further laws that innocents may follow.
    """
    data, log_wide = views[0].data, views[0].log_wide
    bounded = [c for c in PEOPLE if c <= people]
    wide = dirichlet_multinomial(data, log_wide, [LOOSE, *bounded])
    bystander = wide[:1]
    innocent = perhaps_with_bystanders(wide[1:], bystander)
    if others is not None:
        innocent += perhaps_with_bystanders(others, bystander)
    ratios = []
    for view in views:
        like_crowd = dirichlet_multinomial(data, view.crowd, [*bounded, *OPERATOR])
        plain, queue = np.split(like_crowd, [len(bounded)])
        queue_says = np.concatenate([with_bystanders(queue, bystander, share) for share in BYSTANDERS])
        people_say = [*perhaps_with_bystanders(plain, bystander), *innocent]
        each = [np.minimum(queue_says - law[:, None], MOST_EACH).sum(axis=-1) for law in people_say]
        ratios.append(log_mean_exp(np.concatenate(each)).min())
    return float(log_mean_exp(np.array(ratios)))


def tightness(view: Aspect) -> float:
    """Return the concentration in the grid that predicts the held-out rows best; infinity for one queue."""
    grid = [*PEOPLE, *OPERATOR[1:]]
    return grid[int(np.argmax(dirichlet_multinomial(view.data, view.crowd, grid).sum(axis=1)))]
