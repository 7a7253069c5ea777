"""The optional columns of a prompt log, by one law for everybody."""

import numpy as np
import polars as pl
from numpy.random import Generator

from campaigns.simulation.cache import cached_tokens
from campaigns.simulation.pack import Floats, Ints
from campaigns.simulation.people import (
    COUNTRIES,
    ENDPOINTS,
    HOMES,
    MODEL_SHARES,
    MODELS,
    N_AGENTS,
    PLANS,
    TUNNELS,
    People,
)

IDLE = 1800.0  # seconds after which a new session begins
LIMITS = (6, 15, 40, 60)  # requests an account and minute by plan, beyond which it is told to wait
STAY = 43_200.0  # seconds that people stay where they are
NEW_MODEL = "sonde-3"
_AGENTS = (
    "python-sdk",
    "node-sdk",
    "curl",
    "web",
    "ios",
    "android",
    "java-sdk",
    "go-sdk",
    "gateway",
    "editor",
)


def session_numbers(account: Ints, time: Floats) -> tuple[Ints, Ints]:
    """Return each row's session (n,) and that session's place in its account (n,); rows sorted by time."""
    order = np.lexsort((time, account))
    a, t = account[order], time[order]
    fresh = np.diff(a, prepend=-1) != 0
    opens = fresh | (np.diff(t, prepend=-np.inf) > IDLE)
    number = np.cumsum(opens) - 1
    first = number[fresh][np.cumsum(fresh) - 1] if len(a) else number
    session, place = np.empty_like(number), np.empty_like(number)
    session[order], place[order] = number, number - first
    return session, place


def addresses(
    people: People, account: Ints, time: Floats, session: Ints, override: Ints, rng: Generator
) -> Ints:
    """Draw the address of each row, (n,) network x 65536 + host: one for half a day.

    override (n,): -1 for the law for everybody, -2 for a proxy that changes each session, else an address.
    """
    n_sessions = int(session.max()) + 1 if len(session) else 0
    stay = account * 1000 + (time // STAY).astype(np.int64)
    stay = np.unique(stay, return_inverse=True)[1]  # half days by number, so that what they draw is shared
    n_stays = int(stay.max()) + 1 if len(stay) else 0
    which = np.minimum(
        (rng.random(n_stays) ** 2.2 * 3).astype(np.int64)[stay], people.n_addresses[account] - 1
    )
    own = people.address[account, which]
    tunnel = ((TUNNELS + rng.integers(0, 12, n_stays)) * 65536 + rng.integers(0, 400, n_stays))[stay]
    proxy = ((HOMES + rng.integers(0, 400, n_sessions)) * 65536 + rng.integers(0, 65536, n_sessions))[session]
    law = np.where(people.roaming[account] == 1, tunnel, own)
    return np.where(override == -2, proxy, np.where(override >= 0, override, law))


def _pick(names: list[str], index: Ints) -> pl.Series:
    return pl.Series(names).gather(index)


def _hex(number: Ints, prefix: str) -> pl.Series:
    """Write 64-bit numbers as prefixed strings of 16 hexadecimal digits, mixed so that order is lost."""
    x = number.astype(np.uint64)
    with np.errstate(over="ignore"):  # splitmix64, a bijection
        x = (x + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    shifts = np.arange(60, -4, -4, dtype=np.uint64)
    out = np.empty((len(x), 17), np.uint8)
    out[:, 0] = ord(prefix)
    for i, shift in enumerate(shifts):
        out[:, i + 1] = digits[((x >> shift) & np.uint64(15)).astype(np.int64)]
    return pl.Series(out.reshape(-1).view("S17").astype(str) if len(x) else [], dtype=pl.String)


def identities(n: int, seed: int, prefix: str) -> pl.Series:
    """Return n distinct ids that tell nothing of their order."""
    return _hex(np.arange(n) + (seed << 40), prefix)


def tokens(texts: pl.Series) -> Ints:
    """Count tokens of each text roughly: four characters of a Latin script, three bytes otherwise."""
    chars, size = texts.str.len_chars().to_numpy(), texts.str.len_bytes().to_numpy()
    return np.maximum(np.where(size > 1.2 * chars, size / 3, chars / 4), 1).astype(np.int64)


def limited(people: People, account: Ints, time: Floats) -> Ints:
    """Mark rows beyond the limit of an account's plan: HTTP 429, else 200, (n,) in order of time."""
    frame = pl.DataFrame({"a": account, "m": (time // 60).astype(np.int64)})
    rank = frame.select(pl.int_range(pl.len()).over("a", "m")).to_series().to_numpy()
    return np.where(rank >= np.array(LIMITS)[people.plan[account]], 429, 200)


def optional_columns(
    people: People, account: Ints, time: Floats, texts: pl.Series, number: Ints,
    address: Ints, model: Ints, seed: int, rng: Generator,
) -> pl.DataFrame:  # fmt: skip
    """Write every optional column but account_created; rows sorted by time.

    number (n,): each row's place in `texts`; address as for `addresses`; model (n,): -1 for the account's.
    """
    n = len(account)
    session, place = session_numbers(account, time)
    where = addresses(people, account, time, session, address, rng)
    network, host = where // 65536, where % 65536
    asked = np.where(rng.random(n) < 0.88, people.model[account], rng.choice(len(MODELS), n, p=MODEL_SHARES))
    asked = np.where(model >= 0, model, asked)
    agent = np.where(rng.random(n) < 0.93, people.agent[account], (people.agent[account] * 7 + 3) % N_AGENTS)
    size = tokens(texts)[number]
    status = np.where(rng.random(n) < 0.002, 500, limited(people, account, time))
    answered = np.where(status == 200, np.exp(rng.normal(5.2, 1.0, n)).astype(np.int64) + 1, 0)
    same = rng.random(n) < 0.3
    n_texts = texts.len()
    output = np.where(same, number * 8 + asked, n_texts * 8 + np.arange(n))
    names = [f"{_AGENTS[i % 10]}/{1 + i // 10}.{i % 7}" for i in range(N_AGENTS)]
    home = np.array([c[0] for c in COUNTRIES])
    abroad = (network - HOMES) // 12
    country = np.where((network >= HOMES) & (abroad < len(COUNTRIES)), abroad, people.country[account])
    return pl.DataFrame(
        {
            "org_id": identities(int(people.org.max()) + 1 if n else 0, seed + 1, "o").gather(
                people.org[account]
            ),
            "session_id": _hex(account * 65536 + place + ((seed + 2) << 44), "s"),
            "ip": _dotted(network, host),
            "asn": (network * 37 + 1009).astype(np.int64),
            "country": _pick(list(home), country),
            "user_agent": _pick(names, agent),
            "tls_fingerprint": _pick([f"t13d{1500 + 17 * (i % 23)}" for i in range(N_AGENTS)], agent),
            "model": _pick([*MODELS, NEW_MODEL], asked),
            "endpoint": _pick(list(ENDPOINTS), people.endpoint[account]),
            "plan": _pick(list(PLANS), people.plan[account]),
            "output_hash": _hex(output + ((seed + 3) << 44), "h"),
            "input_tokens": size,
            "cached_tokens": cached_tokens(texts, number, size, people.org[account], time),
            "output_tokens": answered,
            "status": status.astype(np.int64),
        }
    )


def _dotted(network: Ints, host: Ints) -> pl.Series:
    """Write addresses as IPv4 strings."""
    parts = [
        pl.Series(str(i), x)
        for i, x in enumerate((11 + network // 256, network % 256, host // 256, host % 256))
    ]
    return pl.select(pl.concat_str(*parts, separator=".")).to_series()
