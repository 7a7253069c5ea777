"""Accounts, what they send and when, by laws of their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flows.source import REQUIRED

Hours = NDArray[np.float64]  # since the start of the window
Ints = NDArray[np.int64]
DAYS = 7
ZONES = (-8.0, -5.0, 0.0, 1.0, 3.0, 5.5, 8.0, 9.0)
AGENTS = ("python-requests/2.31", "curl/8", "node-fetch", *(f"app/{i}" for i in range(30)))
MODELS = ("large", "small", "code")
PROGRAMS, MARKED = 0.25, 0.6  # of the accounts; of the programs, whose requests begin with words of their own
CAME_OR_WENT = 0.2  # of the accounts


class Account(NamedTuple):
    """Who sends: name, organisation, network number, addresses, user agent, shares of the models."""

    name: str
    org: str
    asn: int
    addresses: list[str]
    agent: str
    models: Hours


@dataclass
class World:
    """A log in the making: texts by family of people and of harvests, what was sent, and who is who."""

    people: list[list[str]]
    harvests: list[list[str]]
    rng: np.random.Generator
    sent: list[tuple[Account, Hours, list[str]]] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)

    def account(self, kind: str, org: str = "", asn: int = -1, addresses: Sequence[str] = ()) -> Account:
        """Open an account; what is not given is its own."""
        rng, name = self.rng, f"u{self.rng.integers(1 << 62):016x}"
        self.kinds[name] = kind
        asn = asn if asn >= 0 else int(rng.zipf(1.3) % 400)
        own = [self.address(asn) for _ in range(1 + rng.poisson(1.0))]
        agent = AGENTS[min(int(rng.zipf(1.4)), len(AGENTS)) - 1]
        return Account(name, org or name, asn, list(addresses) or own, agent, rng.dirichlet([0.6, 0.6, 0.3]))

    def address(self, asn: int) -> str:
        """Return an address of a network."""
        return ".".join(map(str, (asn % 223 + 1, *self.rng.integers(256, size=3))))

    def send(self, account: Account, hours: Hours, text: Callable[[], str]) -> None:
        """Send a text at each of the hours that lie in the window."""
        inside = hours[(hours >= 0) & (hours < 24 * DAYS)]
        self.sent.append((account, inside, [text() for _ in inside]))

    def any_of(self, families: Sequence[list[str]]) -> str:
        """Return some text of some family."""
        family = families[int(self.rng.integers(len(families)))]
        return family[int(self.rng.integers(len(family)))]

    def sittings(self, n: int, zone: float) -> Hours:
        """Return n hours of a person: some days, mornings or evenings, minutes between requests."""
        rng = self.rng
        weights = rng.beta(2, 2, DAYS) * np.where(np.arange(DAYS) >= 5, rng.uniform(0.1, 1.2), 1.0)
        times, morning = np.empty(0), rng.beta(1, 1)
        while len(times) < n:
            early = rng.random() < morning
            hour = rng.normal(10, 1.5) if early else rng.normal(20, 2.0)
            gaps = np.exp(rng.normal(-3.3, 1.1, rng.geometric(0.3)))
            day = rng.choice(DAYS, p=weights / weights.sum())
            times = np.append(times, 24 * day + (hour - zone) % 24 + np.cumsum(gaps))
        return times[:n]

    def program(self, n: int) -> Hours:
        """Return n hours of a program: any, nightly, in a few batches, or at its minute."""
        rng, kind = self.rng, self.rng.integers(4)
        anywhere = rng.uniform(0, 24 * DAYS, n)
        if kind == 1:
            return rng.integers(DAYS, size=n) * 24 + rng.uniform(0, 24) + rng.exponential(0.3, n)
        if kind == 2:
            batches = rng.uniform(0, 24 * DAYS, rng.integers(1, 5))
            return rng.choice(batches, n) + rng.exponential(1, n)
        return np.floor(anywhere) + rng.random() if kind == 3 else anywhere

    def live(
        self, account: Account, mean: float, spread: float = 1.5,
        text: Callable[[], str] | None = None, share: float = 0.0,
    ) -> None:  # fmt: skip
        """Send what ordinary accounts send, a share of it of one text; mean requests a day are log-normal."""
        rng = self.rng
        n = rng.poisson(mean * DAYS * np.exp(rng.normal(-(spread**2) / 2, spread)))
        script = rng.random() < PROGRAMS
        times = self.program(n) if script else self.sittings(n, rng.choice(ZONES))
        if rng.random() < CAME_OR_WENT:
            first, last = np.sort(rng.uniform(0, 24 * DAYS, 2))
            times = times[(times >= first) & (times < last)]
        pools = [self.people, self.people, self.harvests]
        picked = [pools[i] for i in rng.integers(3, size=1 + rng.poisson(1.5))]
        own = [pool[rng.integers(len(pool))] for pool in picked]
        begins = f"Project {rng.integers(1 << 20)}. " if script and rng.random() < MARKED else ""
        again, last_text = rng.beta(1, 6) * (rng.random() < 0.6), ""

        def write() -> str:
            nonlocal last_text
            if not last_text or rng.random() >= again:
                theirs = text is not None and rng.random() < share
                last_text = text() if text and theirs else begins + self.any_of(own)
            return last_text

        self.send(account, times, write)

    def log(self, *, text_only: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the traffic, and the truth."""
        rng, start = self.rng, pl.datetime(2026, 6, 1, time_unit="us")
        rows = [
            (a.name, hour, text, a.addresses[rng.integers(len(a.addresses))], a.asn, a.agent, a.org,
             MODELS[rng.choice(len(MODELS), p=a.models)])
            for a, hours, texts in self.sent
            for hour, text in zip(hours.tolist(), texts, strict=True)
        ]  # fmt: skip
        names = ["account_id", "hour", "prompt", "ip", "asn", "user_agent", "org_id", "model"]
        frame = pl.DataFrame(rows, schema=names, orient="row").sort("hour").with_row_index("request_id")
        since = (pl.col("hour") * 3.6e9).cast(pl.Int64).cast(pl.Duration("us"))
        frame = frame.with_columns(
            pl.format("q{}", "request_id").alias("request_id"), timestamp=start + since
        )
        truth = pl.DataFrame(list(self.kinds.items()), schema=["account_id", "kind"], orient="row")
        return frame.select(REQUIRED) if text_only else frame.drop("hour"), truth
