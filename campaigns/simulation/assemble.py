"""Join ordinary rows and work into one log with its truth."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.random import Generator

from campaigns.simulation.columns import identities, optional_columns
from campaigns.simulation.ordinary import Wording
from campaigns.simulation.pack import Floats, Ints, Pack
from campaigns.simulation.people import CLOUDS, MODELS, People
from campaigns.simulation.scenario import Addresses, Scenario
from campaigns.simulation.work import Work

SHARED_HOSTS = 4


class Simulated(NamedTuple):
    """A log (columns of the contract), its truth (account_id, kind), the bans, and the labels of rows.

    labels: request_id, kind, and role and family of the text.
    """

    traffic: pl.DataFrame
    truth: pl.DataFrame
    enforcement: pl.DataFrame
    labels: pl.DataFrame


class Part(NamedTuple):
    """A scenario in a log: what the truth calls it, its declaration, its accounts, its rows."""

    kind: str
    scenario: Scenario
    crew: Ints
    work: Work


class Rows(NamedTuple):
    """Rows as arrays (n,) in order of time.

    number: of the text; part: 0 for ordinary rows; address, model: -1 where the law for everybody holds.
    """

    account: Ints
    seconds: Floats
    number: Ints
    part: Ints
    family: Ints
    address: Ints
    model: Ints


def assemble(
    people: People, who: Ints, time: Floats, wording: Wording, pack: Pack, parts: Sequence[Part],
    start: datetime, seed: int, rng: Generator,
) -> Simulated:  # fmt: skip
    """Sort ordinary rows (who, seconds, wording) and work by time and write columns, truth, bans, labels."""
    seed %= 1 << 18  # ids are made of numbers below 2 ** 63
    texts = pl.concat(
        [wording.texts.alias("prompt"), *[p.work.text.alias("prompt") for p in parts]], rechunk=True
    )  # in one piece, rows share its texts, in several each has a copy
    rows = _rows(who, time, wording, parts, texts, rng)
    ids = identities(len(people), seed, "a").gather(rng.permutation(len(people)))
    micro = int(start.timestamp() * 1e6)
    traffic = pl.DataFrame(
        {
            "request_id": identities(len(rows.account), seed + 4, "r"),
            "timestamp": _moments(rows.seconds, micro),
            "account_id": ids.gather(rows.account),
            "prompt": texts.gather(rows.number),
        }
    )
    traffic = traffic.hstack(
        optional_columns(
            people, rows.account, rows.seconds, texts, rows.number, rows.address, rows.model, seed, rng
        )
    )
    created = _moments(_created(people, rows.account, rows.seconds, parts, rng), micro)
    traffic = traffic.with_columns(account_created=created.gather(rows.account))
    names = pl.Series(["organic", *[p.kind for p in parts]])
    group = np.zeros(len(people), np.int64)
    for i, part in enumerate(parts):
        group[part.crew] = i + 1
    seen = np.unique(rows.account)
    truth = pl.DataFrame({"account_id": ids.gather(seen), "kind": names.gather(group[seen])})
    labels = pl.DataFrame(
        {
            "request_id": traffic["request_id"],
            "kind": names.gather(rows.part).cast(pl.Categorical),
            "role": pl.Series(pack.roles).gather(rows.family).cast(pl.Categorical),
            "family": pl.Series(pack.names).gather(rows.family).cast(pl.Categorical),
        }
    )
    return Simulated(traffic, truth.sort("account_id"), _enforcement(parts, ids, micro), labels)


def _rows(
    who: Ints, time: Floats, wording: Wording, parts: Sequence[Part], texts: pl.Series, rng: Generator
) -> Rows:
    works = [p.work for p in parts]
    before = np.cumsum([wording.texts.len(), *[w.text.len() for w in works]])
    n, law = len(who), np.full(len(who), -1)
    numbers = [b + np.arange(w.text.len()) for b, w in zip(before, works, strict=False)]
    seconds = np.concatenate([time, *[w.time for w in works]])
    order = np.argsort(seconds, kind="stable")
    number = np.concatenate([wording.number, *numbers])[order]
    return Rows(
        account=np.concatenate([who, *[w.account for w in works]])[order],
        seconds=seconds[order],
        number=_same_text_same_number(texts, number),
        part=np.repeat(np.arange(len(parts) + 1), [n, *[len(w.account) for w in works]])[order],
        family=np.concatenate([wording.family, *[w.family for w in works]])[order],
        address=np.concatenate([law, *[_addresses(p.scenario, p.work, rng) for p in parts]])[order],
        model=np.concatenate([law, *[_models(p.scenario, p.work, rng) for p in parts]])[order],
    )


def _moments(seconds: Floats, micro: int) -> pl.Series:
    """Turn seconds from the start into UTC times."""
    return pl.Series((seconds * 1e6).astype(np.int64) + micro).cast(pl.Datetime("us", "UTC"))


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


def _same_text_same_number(texts: pl.Series, number: Ints) -> Ints:
    """Give rows of the same text one number, so that what is a function of the text is one.

    Texts are the same where their hashes are: grouped by themselves, they would be in memory twice.
    """
    used, place = np.unique(number, return_inverse=True)
    _, first, same = np.unique(texts.gather(used).hash().to_numpy(), return_index=True, return_inverse=True)
    return used[first][same][place]


def _created(people: People, account: Ints, seconds: Floats, parts: Sequence[Part], rng: Generator) -> Floats:
    """Return when each account was made, in seconds from the start, never after its first row.

    The accounts of crews that are replaced are made when they are needed.
    """
    first = np.full(len(people), np.inf)
    np.minimum.at(first, account, seconds / 86_400)
    first = np.where(np.isfinite(first), first, 0.0)
    made = people.created.copy()
    for part in parts:
        if part.scenario.lifetime or part.scenario.ban:
            made[part.crew] = first[part.crew] - rng.exponential(0.4, len(part.crew))
    return np.minimum(made, first - 0.001) * 86_400


def _enforcement(parts: Sequence[Part], ids: pl.Series, micro: int) -> pl.DataFrame:
    """List the bans: account_id, timestamp, action."""
    account = np.concatenate([np.empty(0, np.int64), *[p.work.bans[0] for p in parts]])
    second = np.concatenate([np.empty(0), *[p.work.bans[1] for p in parts]])
    return pl.DataFrame(
        {
            "account_id": ids.gather(account),
            "timestamp": _moments(second, micro),
            "action": pl.Series(["ban"] * len(account), dtype=pl.String),
        }
    ).sort("timestamp")
