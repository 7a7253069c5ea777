"""Planted traffic for the tests of campaigns/: people with sessions of their own, operators without."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from campaigns.groups import Group
from campaigns.traffic import Traffic

START = datetime(2026, 6, 1, tzinfo=UTC)
DAYS = 7


def person(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return n times in hours: sessions of about four rows, around hours of the person's own."""
    home = rng.integers(24)
    times: list[float] = []
    while len(times) < n:
        start = rng.integers(DAYS) * 24 + (home + rng.normal(0, 2.5)) % 24
        times.extend(start + np.cumsum(rng.exponential(0.08, rng.geometric(0.25))))
    return np.clip(times[:n], 0, DAYS * 24 - 1e-6)


def operator(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return n times in hours, flat round the clock."""
    return rng.uniform(0, DAYS * 24, n)


def habit(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return n times in hours, one by one on any day, around an hour of the person's own."""
    return rng.integers(DAYS, size=n) * 24 + rng.normal(rng.integers(24), 3.5, n) % 24


def office(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return n times in hours, every day around one in the afternoon."""
    return rng.integers(DAYS, size=n) * 24 + rng.normal(13, 2.5, n) % 24


def plant(seed: int, crowds: list[tuple[str, int, str, str, range]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return rows and accounts; a crowd is (name, accounts, volumes, hours, topics).

    volumes: "even" (Poisson of 24), "brisk" (Poisson of 40), "heavy" (gamma-mixed) or "capped" (heavy, up to
    20); hours: "people", "habit", "flat" or "office" (the same for all). Every row's topic is its full-view
    cluster as well, so clusters mean what the crowd asked about.
    """
    rng = np.random.default_rng(seed)
    account, hour, topic, first_topic = [], [], [], 0
    for name, accounts, volumes, hours, topics in crowds:
        for i in range(accounts):
            rate = {"even": 24, "brisk": 40}.get(volumes) or rng.gamma(0.8, 30)
            n = 1 + min(rng.poisson(rate), 20 if volumes == "capped" else 10**6)
            own = rng.choice(topics, min(3, len(topics)), replace=False) if hours == "people" else topics
            kinds = {"people": person, "habit": habit, "flat": operator, "office": office}
            hour.append(kinds[hours](rng, n))
            topic.append(rng.choice(own, n))
            account += [f"{name}{i:04}"] * n
    hours_of = np.concatenate(hour)
    n = len(account)
    rows = pl.DataFrame(
        {
            "request_id": [f"r{i:06}" for i in range(n)],
            "account_id": account,
            "timestamp": [START + timedelta(hours=float(h)) for h in hours_of],
            "weight": np.ones(n),
            "text": np.arange(n, dtype=np.uint32),
            "held_out": rng.random(n) < 0.5,
            "cluster_full": np.concatenate(topic).astype(np.int32) + first_topic,
        }
    )
    return rows, accounts_of(rows)


def accounts_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the accounts of rows that are all there are."""
    return rows.group_by("account_id").agg(n_total=pl.len(), n_sampled=pl.len()).sort("account_id")


def numbers(log: Traffic, name: str) -> np.ndarray:
    """Return the numbers of the accounts whose names begin so."""
    return np.flatnonzero(log.accounts["account_id"].str.starts_with(name).to_numpy())


def group_of(log: Traffic, accounts: np.ndarray) -> Group:
    """Return some accounts and all that they sent as a group."""
    rows = np.flatnonzero(np.isin(log.account, accounts))
    return Group(clusters=(), rows=rows, candidates=accounts, confidence=np.ones(len(accounts)))


def rows_at(events: list[tuple[str, int, int]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return rows and accounts of (account, hour, text) events; every second row is held out."""
    rows = pl.DataFrame(
        {
            "request_id": [f"r{i:06}" for i in range(len(events))],
            "account_id": [account for account, _, _ in events],
            "timestamp": [START + timedelta(hours=float(hour), minutes=5) for _, hour, _ in events],
            "weight": np.ones(len(events)),
            "text": np.array([text for _, _, text in events], dtype=np.uint32),
            "held_out": np.random.default_rng(99).random(len(events)) < 0.5,
        }
    )
    return rows, accounts_of(rows)
