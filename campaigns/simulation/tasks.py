"""Choose the tasks of a scenario: of its families, of lengths as people's are, each once or as declared."""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from campaigns.simulation.pack import Floats, Ints, Pack, each_once, in_split
from campaigns.simulation.rhythm import DAY
from campaigns.simulation.scenario import Draw, Partition, Scenario, Shape
from campaigns.simulation.wrap import wrap, wrapper_length

MOST_BEATS = 4
ASKED_BY_MANY = 0.35  # of what a crowd sends to a tool
MOST_PIECES = 7


class Lengths(NamedTuple):
    """Characters of the prompts of some ordinary accounts, one account after the other: start, size (m,)."""

    start: Ints
    size: Ints
    characters: Ints

    def draw(self, model: Ints, rng: Generator) -> Ints:
        """Draw a length of each model account's, (n,)."""
        return self.characters[self.start[model] + rng.integers(0, self.size[model])]


class Shelf(NamedTuple):
    """What tasks are taken from.

    The pack, which of its texts (n,) are taken already, the lengths of ordinary accounts' prompts, which
    each account's tasks match, the half of families and wordings, and the number of the next wording of a
    shape: two operators of one shape have words of their own.
    """

    pack: Pack
    taken: NDArray[np.bool_]
    lengths: Lengths
    split: str
    wording: dict[Shape, int]


def write_requests(
    scenario: Scenario, slot: Ints, time: Floats, shelf: Shelf, rng: Generator
) -> tuple[pl.Series, Ints]:
    """Write the requests of a scenario (or of one side of its pivot), in order of time, and their families.

    slot, time (n,): which account of the crew sends when.
    """
    variant = shelf.wording.setdefault(scenario.shape, int(rng.integers(0, 1 << 16)))
    shelf.wording[scenario.shape] += 1
    extra = wrapper_length(scenario, variant, shelf.pack, shelf.split)
    if _banked(scenario):
        target = shelf.lengths.draw(rng.integers(0, len(shelf.lengths.size), scenario.bank), rng) - extra
        families = _families(scenario, scenario.bank, shelf, rng)
        bank = match(shelf, families, np.full(scenario.bank, -1), target, rng)
        number = _from_bank(scenario, time, bank, rng)
        task = shelf.pack.texts.gather(number)
    else:
        model = rng.integers(0, len(shelf.lengths.size), scenario.accounts)
        target = shelf.lengths.draw(model[slot], rng) - extra
        number, task = _from_families(scenario, slot, time, target, shelf, rng)
    if scenario.draw is Draw.ONCE:
        shelf.taken[number] = True
    family = shelf.pack.family[number]
    return wrap(task.alias("text"), family, scenario, variant, shelf.pack, shelf.split, rng), family


def _banked(scenario: Scenario) -> bool:
    one_set = scenario.shape is Shape.TRANSLATION and scenario.draw is Draw.ONCE
    return one_set or scenario.draw in (Draw.BANK, Draw.RERUN)


def _from_families(
    scenario: Scenario, slot: Ints, time: Floats, target: Ints, shelf: Shelf, rng: Generator
) -> tuple[Ints, pl.Series]:
    """Draw a task for each request from the scenario's families: its number in the pack and its text."""
    pack = shelf.pack
    families = _families(scenario, len(slot), shelf, rng)
    number = match(shelf, families, _beats(scenario, slot, families, pack, rng), target, rng)
    if scenario.partition is Partition.CONTIGUOUS:  # the set in its own order, a shard an account
        number[np.lexsort((time, slot))] = np.sort(number)
        return number, _distinct(pack, number)
    own = _batched(pack, number, target, _distinct(pack, number), rng)
    if scenario.draw is not Draw.PEOPLE:
        return number, own
    family = pack.family[number]
    popular = pack.start[family] + (pack.popular[family] * rng.random(len(slot)) ** 2.5).astype(np.int64)
    popular = np.minimum(popular, pack.start[family] + pack.size[family] - 1)
    asked = rng.random(len(slot)) < ASKED_BY_MANY
    text = pl.select(pl.when(pl.Series(asked)).then(pack.texts.gather(popular)).otherwise(own)).to_series()
    return np.where(asked, popular, number), text


def _batched(pack: Pack, number: Ints, target: Ints, text: pl.Series, rng: Generator) -> pl.Series:
    """Append further tasks of the family where a text is far shorter than people's prompts are."""
    family = pack.family[number]
    more = np.round(target / np.maximum(pack.length[number], 1)).astype(np.int64) - 1
    more = np.clip(more, 0, MOST_PIECES - 1)
    parts = [text.alias("0")]
    for i in range(1, int(more.max(initial=0)) + 1):
        piece = pack.texts.gather(pack.task(family, rng.integers(0, 1 << 30, len(family))))
        parts.append(pl.select(pl.when(pl.Series(more >= i)).then(piece)).to_series().alias(str(i)))
    return pl.select(pl.concat_str(*parts, separator="\n", ignore_nulls=True)).to_series()


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


def match(shelf: Shelf, families: Ints, beat: Ints, target: Ints, rng: Generator) -> Ints:
    """Choose a task text for each request: of its family (-1: of any), its length near the target, once.

    beat (n,) indexes `families`, target (n,) characters. Texts repeat only where a family has too few.
    """
    pack, number = shelf.pack, np.empty(len(beat), np.int64)
    for i in np.unique(beat):
        rows = np.flatnonzero(beat == i)
        pool = pack.tasks(families if i < 0 else families[i : i + 1])
        pool = pool if len(pool) else pack.tasks(families)
        pool = pool if len(pool) else np.arange(pack.texts.len())
        fresh = pool[~shelf.taken[pool]]
        pool = fresh if len(fresh) > len(rows) else pool
        pool = pool[np.argsort(pack.length[pool] + rng.random(len(pool)), kind="stable")]
        rows = rows[np.argsort(target[rows] + rng.random(len(rows)), kind="stable")]
        place = np.searchsorted(pack.length[pool], target[rows])
        if len(rows) <= len(pool):
            place = each_once(place, len(pool))
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


def _families(scenario: Scenario, n: int, shelf: Shelf, rng: Generator) -> Ints:
    """Choose families of the scenario's roles and split until they hold twice the tasks that are needed."""
    pack = shelf.pack
    roles = np.isin(pack.roles, scenario.roles)
    mine = np.array([in_split(name, shelf.split) for name in pack.names])
    languages = np.array([lang == "en" for lang in pack.langs])
    candidates = np.flatnonzero(roles & mine & languages)
    if not len(candidates):
        candidates = np.flatnonzero(roles) if roles.any() else np.arange(len(pack.size))
    weight = np.sqrt(pack.size[candidates])
    order = rng.choice(candidates, len(candidates), replace=False, p=weight / weight.sum())
    capacity = np.cumsum((pack.size - pack.popular)[order] // 2)
    needed = int(np.searchsorted(capacity, 2 * n)) + 1
    return order[: max(scenario.families, needed)]
