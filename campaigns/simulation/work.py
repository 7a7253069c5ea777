"""Turn a declared scenario into rows: who sends which task, and when."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.random import Generator

from campaigns.simulation.pack import Floats, Ints
from campaigns.simulation.people import People
from campaigns.simulation.rhythm import DAY, session_times
from campaigns.simulation.scenario import Hours, Partition, Scenario
from campaigns.simulation.tasks import Shelf, write_requests

MISROUTED = 0.02  # of a balancer's requests land elsewhere: timeouts and retries
RUN_LENGTH = 35  # requests until a sticky operator meets a limit and moves on
PERSONAL_RATE = 1.4  # sigma of heavy-tailed work, as of ordinary volumes
BAN_AT = 0.5  # of the window


@dataclass(frozen=True, kw_only=True)
class Work:
    """The rows of one scenario: account number, seconds from the start, text, and what overrides the law.

    family (n,): of the task. late (n,) bool: after the pivot. bans: account number and second of each ban.
    """

    account: Ints
    time: Floats
    text: pl.Series
    family: Ints
    late: Ints
    bans: tuple[Ints, Floats]


def crew_size(scenario: Scenario, days: int) -> int:
    """Return how many accounts a scenario needs in the whole window, with successors."""
    return scenario.accounts * _generations(scenario, days)


def _generations(scenario: Scenario, days: int) -> int:
    if scenario.ban:
        return 2
    return int(np.ceil(days / scenario.lifetime)) + 1 if scenario.lifetime else 1


def do_work(
    scenario: Scenario,
    people: People,
    crew: Ints,
    shelf: Shelf,
    days: int,
    first_weekday: int,
    rng: Generator,
) -> Work:
    """Let a crew of accounts carry out a scenario.

    crew: account numbers, `crew_size` of them; shelf: what the tasks are taken from.
    """
    slot, time = _schedule(scenario, people, crew, days, first_weekday, rng)
    order = np.argsort(time, kind="stable")
    slot, time = slot[order], time[order]
    late = (time > days * DAY / 2).astype(np.int64) if scenario.pivot else np.zeros(len(time), np.int64)
    text, family = pl.Series("text", [], dtype=pl.String), np.empty(0, np.int64)
    for part in range(2 if scenario.pivot else 1):
        mine = late == part
        made, kind = write_requests(scenario, slot[mine], time[mine], shelf, rng)
        text, family = pl.concat([text, made]), np.concatenate([family, kind])
    generation, bans = _replacements(scenario, slot, time, days, rng)
    n_generations = _generations(scenario, days)
    account = crew[slot * n_generations + generation]
    shown = _again(people, account, rng)
    banned = crew[np.arange(scenario.accounts) * n_generations] if scenario.ban else crew[:0]
    return Work(
        account=account,
        time=time,
        text=text.gather(shown),
        family=family[shown],
        late=late,
        bans=(banned, bans[: len(banned)]),
    )


def _again(people: People, account: Ints, rng: Generator) -> Ints:
    """Say which row's text each row carries: its own, or that of the account's row before, by habit."""
    order = np.argsort(account, kind="stable")
    again = rng.random(len(account)) < people.again[account[order]]
    again &= np.diff(account[order], prepend=-1) == 0
    carried = order.copy()
    carried[again] = order[np.flatnonzero(again) - 1]
    shown = np.empty(len(account), np.int64)
    shown[order] = carried
    return shown


def _schedule(
    scenario: Scenario, people: People, crew: Ints, days: int, first_weekday: int, rng: Generator
) -> tuple[Ints, Floats]:
    """Draw slot (an account's place in the crew) and second of each request."""
    m = scenario.accounts
    rate = np.full(m, scenario.per_day * days)
    if scenario.partition is Partition.HEAVY:
        rate *= np.exp(rng.normal(0, PERSONAL_RATE, m) - PERSONAL_RATE**2 / 2)
    quota = scenario.partition is Partition.QUOTA
    if not quota and scenario.hours is not Hours.HUMAN:
        n = rng.poisson(rate.sum())
        time = np.sort(_moments(scenario.hours, n, days, first_weekday, rng))
        return _split(scenario.partition, n, m, rate / rate.sum(), rng), time
    if quota:
        wanted = rng.poisson(rate * np.exp(rng.normal(0, PERSONAL_RATE, m)))
        sent = np.minimum(wanted, int(scenario.per_day * days))
    else:
        sent = rng.poisson(rate)
    if scenario.hours is Hours.HUMAN:
        first = crew[np.arange(m) * _generations(scenario, days)]
        slot, time, _ = session_times(people, first, sent, days, first_weekday, rng)
        return slot, time
    return np.repeat(np.arange(m), sent), _moments(scenario.hours, sent.sum(), days, first_weekday, rng)


def _moments(hours: Hours, n: int, days: int, first_weekday: int, rng: Generator) -> Floats:
    """Draw n seconds of the window by the kind of hours."""
    window = days * DAY
    if hours is Hours.OFFICE:
        open_days = [d for d in range(days) if (d + first_weekday) % 7 < 5] or [0]
        hour = np.clip(rng.normal(13.5, 2.6, n), 7.5, 20) - rng.choice([-8.0, -5.0, 0.0, 1.0])
        return ((rng.choice(open_days, n) + hour / 24) * DAY) % window
    if hours is Hours.BURST:
        starts = rng.uniform(0, window - 3 * 3600, max(2, days // 2))
        return rng.choice(starts, n) + rng.uniform(0, 3 * 3600, n)
    if hours is Hours.NIGHTLY:
        return (rng.integers(0, days, n) + 2 / 24) * DAY + rng.exponential(1800, n).clip(0, 7200)
    if hours is Hours.WAVE:
        return (rng.uniform(0.1, 0.4) * window + rng.exponential(0.6 * DAY, n)) % window
    if hours is Hours.DEADLINE:
        end = (np.floor(days * 0.8) + 22 / 24) * DAY % window
        day_back = rng.geometric(0.45, n) - 1
        hour_back = rng.gamma(2.0, 2.5, n).clip(0, 14)
        return (end - day_back * DAY - hour_back * 3600) % window
    if hours is Hours.LESSONS:
        return (rng.integers(0, days, n) + rng.uniform(18, 20, n) / 24) * DAY
    if hours is Hours.CLOCK:
        return (rng.integers(0, days * 6, n) / 6) * DAY + rng.exponential(20, n).clip(0, 300)
    return rng.uniform(0, window, n)


def _split(partition: Partition, n: int, m: int, weight: Floats, rng: Generator) -> Ints:
    """Share n requests, in order of time, among m accounts."""
    if partition is Partition.ROUND_ROBIN:
        slot = np.arange(n) % m
        return np.where(rng.random(n) < MISROUTED, rng.integers(0, m, n), slot)
    if partition is Partition.STICKY:
        runs = rng.poisson(RUN_LENGTH, n // max(RUN_LENGTH // 2, 1) + 2) + 1
        turn = np.concatenate([rng.permutation(m) for _ in range(len(runs) // m + 1)])[: len(runs)]
        return np.repeat(turn, runs)[:n]
    return rng.choice(m, n, p=weight)


def _replacements(
    scenario: Scenario, slot: Ints, time: Floats, days: int, rng: Generator
) -> tuple[Ints, Floats]:
    """Return the generation of the account that serves each request, and the second of each slot's end."""
    m = scenario.accounts
    if scenario.ban:
        ends = BAN_AT * days * DAY + rng.exponential(2 * 3600, m)
        return (time > ends[slot]).astype(np.int64), ends
    if not scenario.lifetime:
        return np.zeros(len(slot), np.int64), np.zeros(m)
    offset = rng.uniform(0, scenario.lifetime, m)
    age = (time / DAY + offset[slot]) / scenario.lifetime
    return np.minimum(age.astype(np.int64), _generations(scenario, days) - 1), offset
