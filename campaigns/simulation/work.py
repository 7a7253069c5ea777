"""Turn a declared scenario into rows: who sends which task, and when."""

from dataclasses import dataclass
from typing import NamedTuple

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
MOST_BEATS = 4
ASKED_BY_MANY = 0.35  # of what a crowd sends to a tool


class Lengths(NamedTuple):
    """Characters of the prompts of some ordinary accounts, one account after the other: start, size (m,)."""

    start: Ints
    size: Ints
    characters: Ints

    def draw(self, model: Ints, rng: Generator) -> Ints:
        """Draw a length of each model account's, (n,)."""
        return self.characters[self.start[model] + rng.integers(0, self.size[model])]


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
    scenario: Scenario, people: People, crew: Ints, pack: Pack, lengths: Lengths,
    days: int, first_weekday: int, split: str, rng: Generator,
) -> Work:  # fmt: skip
    """Let a crew of accounts carry out a scenario.

    crew: account numbers, `crew_size` of them; lengths: of ordinary accounts' prompts, which each account's
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
    scenario: Scenario, slot: Ints, time: Floats, pack: Pack, lengths: Lengths, split: str, rng: Generator
) -> tuple[pl.Series, Ints]:
    """Write the requests of a scenario (or of one side of its pivot), in order of time, and their families."""
    variant = int(rng.integers(0, 1 << 16))
    extra = wrapper_length(scenario, variant, pack, split)
    number, once = _tasks(scenario, slot, time, pack, lengths, extra, split, rng)
    task = _distinct(pack, number) if once else pack.texts.gather(number)
    family = pack.family[number]
    return wrap(task.alias("text"), family, scenario, variant, pack, split, rng), family


def _tasks(
    scenario: Scenario, slot: Ints, time: Floats, pack: Pack, lengths: Lengths, extra: int, split: str, rng: Generator
) -> tuple[Ints, bool]:  # fmt: skip
    """Draw the number of each request's task, and whether each is to be asked once."""
    n = len(slot)
    banked = scenario.draw in (Draw.BANK, Draw.RERUN) or (
        scenario.shape is Shape.TRANSLATION and scenario.draw is Draw.ONCE
    )
    size = scenario.bank if banked else n
    model = rng.integers(0, len(lengths.size), scenario.accounts)
    families = _families(scenario, size, pack, split, rng)
    if banked:
        target = lengths.draw(rng.integers(0, len(lengths.size), size), rng) - extra
        return _from_bank(
            scenario, time, match(pack, families, np.full(size, -1), target, rng), rng
        ), False
    target = lengths.draw(model[slot], rng) - extra
    beat = _beats(scenario, slot, families, pack, rng)
    number = match(pack, families, beat, target, rng)
    if scenario.partition is Partition.CONTIGUOUS:  # the set in its own order, a shard an account
        number[np.lexsort((time, slot))] = np.sort(number)
    if scenario.draw is not Draw.PEOPLE:
        return number, True
    family = pack.family[number]
    popular = pack.start[family] + (pack.popular[family] * rng.random(n) ** 2.5).astype(np.int64)
    popular = np.minimum(popular, pack.start[family] + pack.size[family] - 1)
    return np.where(rng.random(n) < ASKED_BY_MANY, popular, number), False


def _from_bank(scenario: Scenario, time: Floats, bank: Ints, rng: Generator) -> Ints:
    """Draw each request's task from a bank: at random, night by night in order, or one set by languages."""
    n = len(time)
    if scenario.shape is Shape.TRANSLATION:
        return bank[(np.arange(n) // 20) % len(bank)]
    if scenario.draw is Draw.RERUN:
        day = (time // DAY).astype(np.int64)
        return bank[(np.arange(n) - np.searchsorted(day, day)) % len(bank)]
    return bank[rng.integers(0, len(bank), n)]


def _beats(scenario: Scenario, slot: Ints, families: Ints, pack: Pack, rng: Generator) -> Ints:
    """Draw which of the families each request is of, -1 for any; accounts with beats keep to one to five."""
    if not scenario.beats:
        return np.full(len(slot), -1)
    weight = pack.size[families] / pack.size[families].sum()
    beats = rng.choice(len(families), (scenario.accounts, MOST_BEATS), p=weight)
    n_beats = 1 + np.minimum(rng.poisson(1.2, scenario.accounts), MOST_BEATS - 1)
    rank = (np.log(np.maximum(rng.random(len(slot)), 1e-9)) / np.log(0.5)).astype(np.int64)
    return beats[slot, rank % n_beats[slot]]


def match(pack: Pack, families: Ints, beat: Ints, target: Ints, rng: Generator) -> Ints:
    """Choose a task text for each request: of its family (-1: of any), its length near the target, once.

    beat (n,) indexes `families`, target (n,) characters. Texts repeat only where a family has too few.
    """
    number = np.empty(len(beat), np.int64)
    for i in np.unique(beat):
        rows = np.flatnonzero(beat == i)
        pool = pack.tasks(families if i < 0 else families[i : i + 1])
        pool = pool if len(pool) else pack.tasks(families)
        pool = pool if len(pool) else np.arange(pack.texts.len())
        pool = pool[np.argsort(pack.length[pool] + rng.random(len(pool)), kind="stable")]
        rows = rows[np.argsort(target[rows] + rng.random(len(rows)), kind="stable")]
        place = np.searchsorted(pack.length[pool], target[rows])
        if len(rows) <= len(pool):  # move on to the next text not yet taken
            step = np.arange(len(rows))
            place = np.minimum(np.maximum.accumulate(place - step) + step, len(pool) - len(rows) + step)
        number[rows] = pool[np.minimum(place, len(pool) - 1)]
    return number


def _distinct(pack: Pack, number: Ints) -> pl.Series:
    """Return the texts, a second and later use of one joined to its neighbour so that no task repeats."""
    order = np.argsort(number, kind="stable")
    lap = np.empty(len(number), np.int64)
    counts = np.unique(number, return_counts=True)[1]
    lap[order] = np.arange(len(number)) - np.repeat(np.cumsum(counts) - counts, counts)
    other = pack.texts.gather((number + 2 * lap) % pack.texts.len())
    text = pack.texts.gather(number)
    return pl.select(pl.when(pl.Series(lap > 0)).then(text + "\n" + other).otherwise(text)).to_series()


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
