"""Make a prompt log with truth: ordinary people, campaigns, look-alikes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.random import Generator
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from campaigns.simulation.columns import identities, optional_columns
from campaigns.simulation.generator import generate_pack
from campaigns.simulation.library import DECOYS, SCENARIOS
from campaigns.simulation.ordinary import Wording, free_writing
from campaigns.simulation.pack import Floats, Ints, Pack, load_pack
from campaigns.simulation.people import CLOUDS, MODELS, People, draw_crew, draw_people, settle
from campaigns.simulation.rhythm import day_counts, session_times
from campaigns.simulation.scenario import Addresses, Scenario
from campaigns.simulation.tasks import Lengths, Shelf
from campaigns.simulation.work import Work, crew_size, do_work

SHARED_HOSTS = 4
LARGEST_OWN_PACK = 400_000


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SimulationSettings:
    """What kind of log to make."""

    accounts: int = Field(default=4000, ge=1, description="Ordinary accounts.")
    days: int = Field(default=7, ge=1, le=366, description="Length of the window in days.")
    rate: float = Field(default=1.75, gt=0, description="Mean requests of an ordinary account and day.")
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


class Simulated(NamedTuple):
    """A log (columns of the contract), its truth (account_id, kind), the bans, and the labels of rows.

    labels: request_id, kind, and role and family of the text.
    """

    traffic: pl.DataFrame
    truth: pl.DataFrame
    enforcement: pl.DataFrame
    labels: pl.DataFrame


def simulate(pack: pl.DataFrame | None, settings: SimulationSettings) -> Simulated:
    """Make a log of the campaigns and look-alikes that the settings name.

    pack: prompts with columns prompt, family, role and perhaps lang; None for the project's own generator.
    Raises ValueError when a name is unknown or the pack cannot be used.
    """
    for name, known in [(n, SCENARIOS) for n in settings.campaigns] + [(n, DECOYS) for n in settings.decoys]:
        if name not in known:
            raise ValueError(f"there is no scenario {name!r}; there are {', '.join(sorted(known))}")
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
    shelf = Shelf(texts, np.zeros(texts.texts.len(), np.bool_), lengths, settings.split)
    works = [
        do_work(s, people, crew, shelf, settings.days, weekday, rng.spawn(1)[0])
        for s, crew in zip(cast, members, strict=True)
    ]
    kinds = _kinds(campaigns, decoys)
    return _assemble(people, who, time, wording, texts, cast, members, works, kinds, settings, rng)


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
        people.created[crew] -= people.first[crew]
        people.first[crew], people.last[crew] = 0.0, float(settings.days)
    everyone = np.arange(len(people))
    counts = day_counts(people, everyone, rate, settings.days, rng)
    who, time, session = session_times(
        people, everyone, counts, settings.days, _start(settings).weekday(), rng
    )
    return who, time, free_writing(people, who, session, pack, rng)


def _addresses(scenario: Scenario, work: Work, rng: Generator) -> Ints:
    """Say where a scenario's rows come from: -1 by the law, -2 rotating, else one of a few addresses."""
    n = len(work.account)
    if scenario.addresses is Addresses.ROTATING:
        return np.full(n, -2)
    if scenario.addresses is Addresses.SHARED:
        base = (CLOUDS + rng.integers(0, 8)) * 65536 + rng.integers(0, 65000)
        return base + rng.integers(0, SHARED_HOSTS, n)
    return np.full(n, -1)


def _models(scenario: Scenario, work: Work, rng: Generator) -> Ints:
    """Say which model a scenario's rows ask: -1 by the law."""
    n = len(work.account)
    if scenario.model == "new":
        return np.where(rng.random(n) < 0.8, len(MODELS), -1)
    if scenario.model == "one":
        return np.where((work.late == 1) & (rng.random(n) < 0.9), 3, np.where(work.late == 0, 0, -1))
    return np.full(n, -1)


def _assemble(
    people: People, who: Ints, time: Floats, wording: Wording, pack: Pack, cast: Sequence[Scenario],
    members: Sequence[Ints], works: Sequence[Work], kinds: Sequence[str], settings: SimulationSettings,
    rng: Generator,
) -> Simulated:  # fmt: skip
    """Join ordinary rows and work, sort by time, and write columns, truth, bans and labels."""
    before = np.cumsum([wording.texts.len(), *[w.text.len() for w in works]])
    texts = pl.concat([wording.texts.alias("prompt"), *[w.text.alias("prompt") for w in works]])
    family = np.concatenate([wording.family, *[w.family for w in works]])
    account = np.concatenate([who, *[w.account for w in works]])
    seconds = np.concatenate([time, *[w.time for w in works]])
    number = np.concatenate(
        [wording.number, *[b + np.arange(w.text.len()) for b, w in zip(before, works, strict=False)]]
    )
    address = np.concatenate(
        [np.full(len(who), -1), *[_addresses(s, w, rng) for s, w in zip(cast, works, strict=True)]]
    )
    model = np.concatenate(
        [np.full(len(who), -1), *[_models(s, w, rng) for s, w in zip(cast, works, strict=True)]]
    )
    label = np.concatenate(
        [np.zeros(len(who), np.int64), *[np.full(len(w.account), i + 1) for i, w in enumerate(works)]]
    )
    order = np.argsort(seconds, kind="stable")
    account, seconds, number = account[order], seconds[order], number[order]
    label, family = label[order], family[order]
    number = _same_text_same_number(texts, number)
    optional = optional_columns(
        people,
        account,
        seconds,
        texts,
        number,
        address[order],
        model[order],
        settings.days,
        settings.seed,
        rng,
    )
    ids = identities(len(people), settings.seed, "a").gather(rng.permutation(len(people)))
    start = _start(settings)
    micro = int(start.timestamp() * 1e6)
    made = _created(people, account, seconds, _replaced(cast, members), rng)
    created = pl.Series((made * 86_400e6).astype(np.int64) + micro)
    traffic = pl.DataFrame(
        {
            "request_id": identities(len(account), settings.seed + 4, "r"),
            "timestamp": pl.Series((seconds * 1e6).astype(np.int64) + micro).cast(pl.Datetime("us", "UTC")),
            "account_id": ids.gather(account),
            "prompt": texts.gather(number),
        }
    ).hstack(optional)
    traffic = traffic.with_columns(account_created=created.gather(account).cast(pl.Datetime("us", "UTC")))
    group = np.zeros(len(people), np.int64)
    for i, crew in enumerate(members):
        group[crew] = i + 1
    names = pl.Series(["organic", *kinds])
    seen = np.unique(account)
    truth = pl.DataFrame({"account_id": ids.gather(seen), "kind": names.gather(group[seen])}).sort(
        "account_id"
    )
    labels = pl.DataFrame(
        {
            "request_id": traffic["request_id"],
            "kind": names.gather(label).cast(pl.Categorical),
            "role": pl.Series(pack.roles).gather(family).cast(pl.Categorical),
            "family": pl.Series(pack.names).gather(family).cast(pl.Categorical),
        }
    )
    return Simulated(traffic, truth, _enforcement(works, ids, micro), labels)


def _same_text_same_number(texts: pl.Series, number: Ints) -> Ints:
    """Give rows of the same text one number, so that what is a function of the text is one."""
    used, place = np.unique(number, return_inverse=True)
    frame = pl.DataFrame({"t": texts.gather(used), "u": used})
    return frame.select(pl.col("u").first().over("t")).to_series().to_numpy()[place]


def _replaced(cast: Sequence[Scenario], members: Sequence[Ints]) -> Ints:
    """Return the accounts of crews that are replaced: they are made when they are needed."""
    crews = [c for s, c in zip(cast, members, strict=True) if s.lifetime or s.ban]
    return np.concatenate([np.empty(0, np.int64), *crews])


def _created(people: People, account: Ints, seconds: Floats, replaced: Ints, rng: Generator) -> Floats:
    """Return when each account was made, in days from the start, never after its first row."""
    first = np.full(len(people), np.inf)
    np.minimum.at(first, account, seconds / 86_400)
    first = np.where(np.isfinite(first), first, 0.0)
    made = people.created.copy()
    made[replaced] = first[replaced] - rng.exponential(0.4, len(replaced))
    return np.minimum(made, first - 0.001)


def _enforcement(works: Sequence[Work], ids: pl.Series, micro: int) -> pl.DataFrame:
    """List the bans: account_id, timestamp, action."""
    account = np.concatenate([np.empty(0, np.int64), *[w.bans[0] for w in works]])
    second = np.concatenate([np.empty(0), *[w.bans[1] for w in works]])
    return pl.DataFrame(
        {
            "account_id": ids.gather(account),
            "timestamp": pl.Series((second * 1e6).astype(np.int64) + micro).cast(pl.Datetime("us", "UTC")),
            "action": pl.Series(["ban"] * len(account), dtype=pl.String),
        }
    ).sort("timestamp")
