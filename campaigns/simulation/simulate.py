"""Make a prompt log with truth: ordinary people, campaigns, look-alikes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Literal

import numpy as np
import polars as pl
from numpy.random import Generator
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from campaigns.simulation.assemble import Part, Simulated, assemble
from campaigns.simulation.generator import generate_pack
from campaigns.simulation.library import DECOYS, SCENARIOS
from campaigns.simulation.ordinary import Wording, free_writing
from campaigns.simulation.pack import Floats, Ints, Pack, load_pack
from campaigns.simulation.people import People, draw_crew, draw_people, settle
from campaigns.simulation.rhythm import day_counts, session_times
from campaigns.simulation.scenario import Scenario
from campaigns.simulation.tasks import Lengths, Shelf
from campaigns.simulation.work import crew_size, do_work

LARGEST_OWN_PACK = 400_000
LAST = datetime(9999, 12, 30, tzinfo=UTC)  # the last day that every reader of Parquet can show


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SimulationSettings:
    """What kind of log to make."""

    accounts: int = Field(default=4000, ge=1, description="Ordinary accounts.")
    days: int = Field(default=7, ge=1, le=366, description="Length of the window in days.")
    rate: float = Field(default=1.35, gt=0, description="Mean requests of an ordinary account and day.")
    seed: int = Field(default=0, ge=0, description="Seed of every random draw.")
    start: str = Field(default="2026-06-01", description="First day of the window, UTC.")
    campaigns: tuple[str, ...] = Field(
        default=("fixed_preamble", "reasoning_suffix", "benchmark_sweep"), description="Campaigns, by name."
    )
    decoys: tuple[str, ...] = Field(
        default=("own_key_tool", "homework_class"), description="Look-alikes, by name."
    )
    split: Literal["tuning", "heldout"] = Field(
        default="tuning", description="Half of families and wordings to use."
    )


def simulate(pack: pl.DataFrame | None, settings: SimulationSettings) -> Simulated:
    """Make a log of the campaigns and look-alikes that the settings name.

    pack: prompts with columns prompt, family, role and perhaps lang; None for the project's own generator.
    Raises ValueError when a name is unknown or the pack cannot be used.
    """
    for name, known in [(n, SCENARIOS) for n in settings.campaigns] + [(n, DECOYS) for n in settings.decoys]:
        if name not in known:
            raise ValueError(f"there is no scenario {name!r}; there are {', '.join(sorted(known))}")
    if settings.days > (LAST - _start(settings)).days:
        raise ValueError(f"{settings.days} days from {settings.start} end after {LAST:%Y-%m-%d}")
    return play(
        pack, settings, [SCENARIOS[n] for n in settings.campaigns], [DECOYS[n] for n in settings.decoys]
    )


def play(
    pack: pl.DataFrame | None, settings: SimulationSettings,
    campaigns: Sequence[Scenario], decoys: Sequence[Scenario],
) -> Simulated:  # fmt: skip
    """Make a log of any declared scenarios; the names in the settings are not looked at."""
    rng = np.random.default_rng([settings.seed, 7])
    cast = [*campaigns, *decoys]
    if pack is None:
        expected = settings.accounts * settings.days * settings.rate
        pack = generate_pack(int(np.clip(1.6 * expected, 20_000, LARGEST_OWN_PACK)), settings.seed)
    texts = load_pack(pack, rng)
    people, members = _everybody(cast, texts, settings, rng)
    _one_organisation(people, cast, members)
    who, time, wording = _ordinary(people, cast, members, texts, settings, rng)
    lengths = _lengths(who, wording, rng)
    weekday = _start(settings).weekday()
    shelf = Shelf(texts, np.zeros(texts.texts.len(), np.bool_), lengths, settings.split, {})
    works = [
        do_work(s, people, crew, shelf, settings.days, weekday, rng.spawn(1)[0])
        for s, crew in zip(cast, members, strict=True)
    ]
    parts = [Part(*part) for part in zip(_kinds(campaigns, decoys), cast, members, works, strict=True)]
    return assemble(people, who, time, wording, texts, parts, _start(settings), settings.seed, rng)


def _everybody(
    cast: Sequence[Scenario], pack: Pack, settings: SimulationSettings, rng: Generator
) -> tuple[People, list[Ints]]:
    """Draw ordinary accounts and crews by the one law, crews given their volume; members by number."""
    parts = [draw_people(settings.accounts, pack, settings.days, settings.rate, rng)]
    for scenario in cast:
        busy, size = scenario.per_day / scenario.share, crew_size(scenario, settings.days)
        parts.append(draw_crew(size, busy, pack, settings.days, settings.rate, rng))
    edges = np.cumsum([len(p) for p in parts])
    return settle(parts, rng), [np.arange(a, b) for a, b in pairwise(edges)]


def _lengths(who: Ints, wording: Wording, rng: Generator) -> Lengths:
    """Sample the characters of ordinary prompts, account by account, which operators' tasks match."""
    counts = np.bincount(who) if len(who) else np.zeros(1, np.int64)
    usual = np.flatnonzero(counts >= 10)
    models = rng.choice(usual, min(len(usual), 2000), replace=False) if len(usual) else usual
    rows = np.flatnonzero(np.isin(who, models))
    if not len(rows):
        return Lengths(start=np.zeros(1, np.int64), size=np.ones(1, np.int64), characters=np.array([60]))
    size = counts[np.sort(models)]
    characters = wording.texts.gather(wording.number[rows]).str.len_chars().to_numpy().astype(np.int64)
    return Lengths(start=np.cumsum(size) - size, size=size, characters=characters)


def _start(settings: SimulationSettings) -> datetime:
    moment = datetime.fromisoformat(settings.start)
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _kinds(campaigns: Sequence[Scenario], decoys: Sequence[Scenario]) -> list[str]:
    """Name the truth of each scenario; the second of a name gets a number."""
    names = [f"campaign:{s.name}" for s in campaigns] + [f"decoy:{s.name}" for s in decoys]
    return [n if n not in names[:i] else f"{n}-{names[:i].count(n) + 1}" for i, n in enumerate(names)]


def _one_organisation(people: People, cast: Sequence[Scenario], members: Sequence[Ints]) -> None:
    for scenario, crew in zip(cast, members, strict=True):
        if scenario.one_org:
            people.org[crew] = people.org[crew[0]]


def _ordinary(
    people: People, cast: Sequence[Scenario], members: Sequence[Ints], pack: Pack,
    settings: SimulationSettings, rng: Generator,
) -> tuple[Ints, Floats, Wording]:  # fmt: skip
    """Draw everybody's ordinary traffic: account, seconds and words.

    Members of a crew send what is left beside their work: its volume times (1 - share) / share.
    """
    rate = people.rate.copy()
    for scenario, crew in zip(cast, members, strict=True):
        beside = scenario.per_day * (1 - scenario.share) / scenario.share
        rate[crew] = beside * rng.gamma(2.0, 0.5, len(crew)) if scenario.share < 1 else 0.0
        people.n_interests[crew] = np.maximum(people.n_interests[crew] - (2 if scenario.beats else 1), 1)
    everyone = np.arange(len(people))
    counts = day_counts(people, everyone, rate, settings.days, rng)
    who, time, session = session_times(
        people, everyone, counts, settings.days, _start(settings).weekday(), rng
    )
    return who, time, free_writing(people, who, session, pack, rng)
