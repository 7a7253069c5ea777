"""When people send: days, hours and sessions, by each account's own habits."""

import numpy as np
from numpy.random import Generator

from campaigns.simulation.pack import Floats, Ints
from campaigns.simulation.people import People

DAY = 86_400.0


def day_counts(people: People, who: Ints, rate: Floats, days: int, rng: Generator) -> Ints:
    """Draw how many rows each of the accounts `who` sends in the window, (k,): Poisson, gamma-mixed."""
    active = np.clip(people.last[who] - people.first[who], 0.02, days)
    return rng.poisson(rate * active * rng.gamma(2.0, 0.5, len(who)))


def session_times(
    people: People, who: Ints, counts: Ints, days: int, first_weekday: int, rng: Generator
) -> tuple[Ints, Floats, Ints]:
    """Place counts[i] rows of account who[i]: index into `who`, seconds from the window's start, session.

    Rows that fall beyond the window are dropped. Sessions are numbered from 0, rows inside one are seconds
    (programs) or minutes (people) apart.
    """
    index = np.repeat(np.arange(len(who)), counts)
    n = len(index)
    if not n:
        return index, np.empty(0), index
    opens = rng.random(n) < people.opens[who][index]
    opens[np.r_[0, np.cumsum(counts[counts > 0])[:-1]]] = True
    session = np.cumsum(opens) - 1
    start = _session_starts(people, who, index[opens], days, first_weekday, rng)
    scale = np.where(people.scripted[who] == 1, 9.0, 95.0)[index]
    gap = np.where(opens, 0.0, scale * np.exp(rng.normal(0, 1.0, n)))
    since = np.cumsum(gap)
    time = start[session] + since - since[opens][session]
    inside = (time >= 0) & (time < days * DAY)
    return index[inside], time[inside], session[inside]


def _session_starts(
    people: People, who: Ints, index: Ints, days: int, first_weekday: int, rng: Generator
) -> Floats:
    """Draw the second at which each session starts; index (s,) into `who`."""
    day = np.arange(days)
    weekend = np.where((day + first_weekday) % 7 >= 5, 1.0, 0.0)
    weight = rng.gamma(1.2, 1.0, (len(who), days)) + 1e-9
    weight *= 1 + weekend * (people.weekend[who, None] - 1)
    lived = np.minimum(people.last[who, None], day + 1) - np.maximum(people.first[who, None], day)
    weight *= np.clip(lived, 0, 1) + 1e-12
    chosen = choose(weight, index, rng)
    hour = np.where(
        people.spread[who][index] == 0,
        rng.uniform(0, 24, len(index)),
        people.peak[who][index] + people.spread[who][index] * rng.normal(0, 1, len(index)),
    )
    start = (chosen + (hour - people.zone[who][index]) % 24 / 24) * DAY
    born, gone = people.first[who][index] * DAY, people.last[who][index] * DAY
    early, late = start < born, start > gone
    squeezed = born + (gone - born) * rng.random(len(index))
    return np.where(early | late, squeezed, start)


def choose(weight: Floats, row: Ints, rng: Generator) -> Ints:
    """Draw a column for each entry of `row` with probability in proportion to weight[row], (k, d)."""
    edges = np.cumsum(weight, axis=1)
    edges /= edges[:, -1:]
    flat = (edges + np.arange(len(weight))[:, None]).ravel()
    hit = np.searchsorted(flat, rng.random(len(row)) + row, side="right") - row * weight.shape[1]
    return np.clip(hit, 0, weight.shape[1] - 1)
