"""Turn a declared scenario into rows: who sends which task, and when."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.random import Generator

from campaigns.simulation.pack import Floats, Ints, Pack, in_split
from campaigns.simulation.people import People
from campaigns.simulation.rhythm import DAY, session_times
from campaigns.simulation.scenario import Draw, Hours, Partition, Scenario, Shape
from campaigns.simulation.wrap import wrap, wrapper_length

MISROUTED = 0.02  # of a balancer's requests land elsewhere: timeouts and retries
RUN_LENGTH = 35  # requests until a sticky operator meets a limit and moves on
PERSONAL_RATE = 1.4  # sigma of heavy-tailed work, as of ordinary volumes
BAN_AT = 0.5  # of the window
ASKED_BY_MANY = 0.35  # of what a crowd sends to a tool


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
    scenario: Scenario, people: People, crew: Ints, pack: Pack, lengths: Ints,
    days: int, first_weekday: int, split: str, rng: Generator,
) -> Work:  # fmt: skip
    """Let a crew of accounts carry out a scenario.

    crew: account numbers, `crew_size` of them; lengths: characters of prompts in the log, which the
    tasks are chosen to match; split: the half of families and wordings to take from.
    """
    slot, time = _schedule(scenario, people, crew, days, first_weekday, rng)
    order = np.argsort(time, kind="stable")
    slot, time = slot[order], time[order]
    late = (time > days * DAY / 2).astype(np.int64) if scenario.pivot else np.zeros(len(time), np.int64)
    text, family = pl.Series("text", [], dtype=pl.String), np.empty(0, np.int64)
    for part in range(2 if scenario.pivot else 1):
        mine = late == part
        made, kind = _texts(scenario, slot[mine], time[mine], pack, lengths, split, rng)
        text, family = pl.concat([text, made]), np.concatenate([family, kind])
    generation, bans = _replacements(scenario, slot, time, days, rng)
    n_generations = _generations(scenario, days)
    account = crew[slot * n_generations + generation]
    banned = (
        (crew[np.arange(scenario.accounts) * n_generations], bans) if scenario.ban else (crew[:0], bans[:0])
    )
    return Work(account=account, time=time, text=text, family=family, late=late, bans=banned)


def _schedule(
    scenario: Scenario, people: People, crew: Ints, days: int, first_weekday: int, rng: Generator
) -> tuple[Ints, Floats]:
    """Draw slot (an account's place in the crew) and second of each request."""
    m = scenario.accounts
    rate = np.full(m, scenario.per_day * days)
    if scenario.partition is Partition.HEAVY:
        rate *= np.exp(rng.normal(0, PERSONAL_RATE, m) - PERSONAL_RATE**2 / 2)
    if scenario.hours is Hours.HUMAN:
        first = crew[np.arange(m) * _generations(scenario, days)]
        slot, time, _ = session_times(people, first, rng.poisson(rate), days, first_weekday, rng)
        return slot, time
    n = rng.poisson(rate.sum())
    time = np.sort(_moments(scenario.hours, n, days, first_weekday, rng))
    return _split(scenario.partition, n, m, rate / rate.sum(), rng), time


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
    """Number the generation of the account that serves each request; also the second of each slot's end."""
    m = scenario.accounts
    if scenario.ban:
        ends = BAN_AT * days * DAY + rng.exponential(2 * 3600, m)
        return (time > ends[slot]).astype(np.int64), ends
    if not scenario.lifetime:
        return np.zeros(len(slot), np.int64), np.zeros(m)
    offset = rng.uniform(0, scenario.lifetime, m)
    age = (time / DAY + offset[slot]) / scenario.lifetime
    return np.minimum(age.astype(np.int64), _generations(scenario, days) - 1), offset


def _texts(
    scenario: Scenario, slot: Ints, time: Floats, pack: Pack, lengths: Ints, split: str, rng: Generator
) -> tuple[pl.Series, Ints]:
    """Write the requests of a scenario (or of one side of its pivot), in order of time, and their families."""
    variant = int(rng.integers(0, 1 << 16))
    extra = wrapper_length(scenario, variant, pack, split)
    number, once = _tasks(scenario, slot, time, pack, lengths, extra, split, rng)
    task = _distinct(pack, number) if once else pack.texts.gather(number)
    return wrap(task.alias("text"), scenario, variant, pack, split, rng), pack.family[number]


def _tasks(
    scenario: Scenario, slot: Ints, time: Floats, pack: Pack, lengths: Ints, extra: int, split: str, rng: Generator
) -> tuple[Ints, bool]:  # fmt: skip
    """Draw the number of each request's task, and whether each is to be asked once."""
    n = len(slot)
    if scenario.shape is Shape.TRANSLATION and scenario.draw is Draw.ONCE:  # one set in many languages
        number = _choose(scenario, scenario.bank, pack, lengths, extra, split, rng)
        return number[(np.arange(n) // 20) % len(number)], False
    if scenario.draw in (Draw.BANK, Draw.RERUN):
        bank = _choose(scenario, scenario.bank, pack, lengths, extra, split, rng)
        which = rng.integers(0, len(bank), n)
        if scenario.draw is Draw.RERUN:
            day = (time // DAY).astype(np.int64)
            which = (np.arange(n) - np.searchsorted(day, day)) % len(bank)
        return bank[which], False
    number = _choose(scenario, n, pack, lengths, extra, split, rng)
    if scenario.partition is Partition.CONTIGUOUS:  # the set in its own order, a shard an account
        number[np.lexsort((time, slot))] = np.sort(number)
    if scenario.draw is not Draw.PEOPLE:
        return number, True
    family = pack.family[number]
    popular = pack.start[family] + (pack.popular[family] * rng.random(n) ** 2.5).astype(np.int64)
    popular = np.minimum(popular, pack.start[family] + pack.size[family] - 1)
    return np.where(rng.random(n) < ASKED_BY_MANY, popular, number), False


def _distinct(pack: Pack, number: Ints) -> pl.Series:
    """Return the texts, a second and later use of one joined to its neighbour so that no task repeats."""
    order = np.argsort(number, kind="stable")
    lap = np.empty(len(number), np.int64)
    counts = np.unique(number, return_counts=True)[1]
    lap[order] = np.arange(len(number)) - np.repeat(np.cumsum(counts) - counts, counts)
    other = pack.texts.gather((number + 2 * lap) % pack.texts.len())
    text = pack.texts.gather(number)
    return pl.select(pl.when(pl.Series(lap > 0)).then(text + "\n" + other).otherwise(text)).to_series()


def _choose(
    scenario: Scenario, n: int, pack: Pack, lengths: Ints, extra: int, split: str, rng: Generator
) -> Ints:
    """Choose n task texts of the scenario's roles and split, of lengths like those of the log."""
    pool = pack.tasks(_families(scenario, n, pack, split, rng))
    if not len(pool):
        pool = np.arange(pack.texts.len())
    pool = pool[np.argsort(pack.length[pool] + rng.random(len(pool)), kind="stable")]
    target = np.maximum(rng.choice(lengths, n) - extra, 1)
    place = np.sort(np.searchsorted(pack.length[pool], target))
    if n <= len(pool):  # move on to the next text not yet taken
        step = np.arange(n)
        place = np.minimum(np.maximum.accumulate(place - step) + step, len(pool) - n + step)
    return rng.permutation(pool[np.minimum(place, len(pool) - 1)])


def _families(scenario: Scenario, n: int, pack: Pack, split: str, rng: Generator) -> Ints:
    """Choose families of the scenario's roles and split until they hold twice the tasks that are needed."""
    roles = np.isin(pack.roles, scenario.roles)
    mine = np.array([in_split(name, split) for name in pack.names])
    languages = np.array([lang == "en" for lang in pack.langs])
    candidates = np.flatnonzero(roles & mine & languages)
    if not len(candidates):
        candidates = np.flatnonzero(roles) if roles.any() else np.arange(len(pack.size))
    weight = np.sqrt(pack.size[candidates])
    order = rng.choice(candidates, len(candidates), replace=False, p=weight / weight.sum())
    capacity = np.cumsum((pack.size - pack.popular)[order] // 2)
    needed = int(np.searchsorted(capacity, 2 * n)) + 1
    return order[: max(scenario.families, needed)]
