"""The one law that everybody's accounts obey: ordinary people, operators and look-alikes alike."""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.random import Generator

from campaigns.simulation.pack import Floats, Ints, Pack, each_once

MOST_INTERESTS = 6
MOST_ADDRESSES = 3
CANDIDATES = 25  # drawn for each account of a crew, of whom one of the right volume is taken
FULL_RATE = 1500.0  # rows a day that no ordinary account exceeds
# country, hours from UTC, first language, weight
COUNTRIES = (
    ("US", -5, "en", 18), ("US", -8, "en", 10), ("GB", 0, "en", 8), ("IN", 5.5, "en", 9), ("CA", -5, "en", 4),
    ("AU", 10, "en", 3), ("NG", 1, "en", 3), ("SG", 8, "en", 2), ("DE", 1, "de", 6), ("FR", 1, "fr", 5),
    ("ES", 1, "es", 4), ("MX", -6, "es", 4), ("AR", -3, "es", 2), ("BR", -3, "pt", 7), ("PT", 0, "pt", 1),
    ("CN", 8, "zh", 5), ("TW", 8, "zh", 2), ("JP", 9, "ja", 6), ("RU", 3, "ru", 4), ("SA", 3, "ar", 3),
    ("EG", 2, "ar", 2), ("KR", 9, "ko", 4), ("IN", 5.5, "hi", 3), ("ID", 7, "id", 3), ("TH", 7, "th", 2),
    ("FI", 2, "fi", 1), ("IN", 5.5, "te", 1), ("KE", 3, "sw", 1), ("IR", 3.5, "fa", 2), ("BD", 6, "bn", 2),
    ("VN", 7, "vi", 2), ("GR", 2, "el", 1), ("NL", 1, "en", 2), ("SE", 1, "en", 2), ("PH", 8, "en", 3),
)  # fmt: skip
MODELS = ("sonde-2-large", "sonde-2-small", "sonde-1", "sonde-2-code")
MODEL_SHARES = (0.42, 0.34, 0.1, 0.14)
ENDPOINTS = ("chat", "messages", "batch")
PLANS = ("free", "pro", "team", "pay-as-you-go")
PLAN_SHARES = (0.35, 0.3, 0.1, 0.25)
N_AGENTS = 60
CLOUDS, CARRIERS, TUNNELS, HOMES = 0, 20, 40, 60  # where the kinds of networks begin among the numbers


@dataclass(frozen=True, kw_only=True)
class People:
    """Accounts as arrays over m people; times in days from the start of the window.

    rate: rows a day; scripted: a program rather than a person; first, last: active span; zone: hours from
    UTC; peak, spread: local hour of use and its width in hours (spread 0: all hours alike); weekend: factor
    of use at weekends; interests (m, 6) family numbers, n_interests; verbosity: mean number of further
    pieces pasted into a prompt; popular: share of prompts that many ask; again: share that repeat the one
    before; follow: share of a session's later prompts that only follow up; opens: share of rows that open a
    session; template: number of an own template or -1; address (m, 3), n_addresses: network x 65536 + host;
    roaming: another address each half day.
    """

    rate: Floats
    scripted: Ints
    first: Floats
    last: Floats
    zone: Floats
    peak: Floats
    spread: Floats
    weekend: Floats
    interests: Ints
    n_interests: Ints
    verbosity: Floats
    popular: Floats
    again: Floats
    follow: Floats
    opens: Floats
    template: Ints
    org: Ints
    address: Ints
    n_addresses: Ints
    roaming: Ints
    country: Ints
    agent: Ints
    model: Ints
    endpoint: Ints
    plan: Ints
    created: Floats

    def __len__(self) -> int:
        return len(self.rate)


def draw_people(n: int, pack: Pack, days: float, mean_rate: float, rng: Generator) -> People:
    """Draw n accounts by the one law.

    Volumes are log-normal with sigma 1.4, programs three times as busy as people; the mean over everybody
    is `mean_rate` rows a day.
    """
    country = _countries(n, pack, rng)
    scripted = (rng.random(n) < 0.28).astype(np.int64)
    rate = np.exp(rng.normal(0, 1.4, n)) * (1 + 2 * scripted)
    rate = np.minimum(rate * mean_rate / np.exp(1.4**2 / 2) / 1.56, FULL_RATE)
    new, gone = rng.random(n) < 0.16, rng.random(n) < 0.1
    first = np.where(new, rng.uniform(0, days, n), 0.0)
    last = np.where(gone, first + (days - first) * rng.random(n), days)
    interests, n_interests = _interests(country, scripted, pack, rng)
    return People(
        rate=rate,
        scripted=scripted,
        first=first,
        last=last,
        zone=np.array([c[1] for c in COUNTRIES], float)[country],
        peak=np.where(
            scripted == 1, rng.uniform(0, 24, n), rng.choice([10.5, 14.5, 20.5], n) + rng.normal(0, 1.5, n)
        ),
        spread=np.where(scripted == 1, rng.choice([0.0, 0.0, 0.3, 3.0], n), rng.uniform(1.8, 4.5, n)),
        weekend=np.where(scripted == 1, rng.choice([1.0, 0.2], n), rng.gamma(3.0, 0.25, n)),
        interests=interests,
        n_interests=n_interests,
        verbosity=rng.gamma(0.5, 1.4, n),
        popular=_habit(scripted, 0.65, 0.25, 0.8, 3.5, rng),
        again=_habit(scripted, 0.5, 0.25, 0.8, 12, rng),
        follow=np.where(scripted == 1, 0.0, _habit(scripted, 1, 0.3, 1.2, 8, rng)),
        opens=np.where(scripted == 1, rng.choice([1.0, 1.0, 0.5, 0.15], n), rng.beta(6, 10, n)),
        template=np.where(rng.random(n) < np.where(scripted == 1, 0.65, 0.08), np.arange(n), -1),
        org=np.arange(n),
        address=np.zeros((n, MOST_ADDRESSES), np.int64),
        n_addresses=1 + np.minimum(rng.poisson(0.7, n), MOST_ADDRESSES - 1),
        roaming=(rng.random(n) < 0.05).astype(np.int64),
        country=country,
        agent=np.minimum(rng.zipf(1.35, n) - 1, N_AGENTS - 1),
        model=rng.choice(len(MODELS), n, p=MODEL_SHARES),
        endpoint=np.where(scripted == 1, rng.choice([1, 1, 2], n), rng.choice([0, 0, 0, 1], n)),
        plan=rng.choice(len(PLANS), n, p=PLAN_SHARES),
        created=np.where(new, first - rng.exponential(0.05, n), _long_ago(n, rng)),
    )


def take_people(people: People, index: Ints) -> People:
    """Return the accounts of an index, in its order; own templates keep their numbers."""
    return People(**{f.name: getattr(people, f.name)[index] for f in fields(People)})


def settle(parts: list[People], rng: Generator) -> People:
    """Put accounts one after the other, own templates kept apart, and give them firms and addresses.

    Firms are drawn over everybody, so that an operator's account may sit among ordinary ones.
    """
    templates = np.cumsum([0, *[int(p.template.max(initial=-1)) + 1 for p in parts]])
    joined = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(People)}
    shift = np.repeat(templates[:-1], [len(p) for p in parts])
    joined["template"] = np.where(joined["template"] >= 0, joined["template"] + shift, -1)
    joined["org"] = _organisations(len(shift), rng)
    joined["address"] = _addresses(joined["org"], joined["country"], joined["scripted"], rng)
    return People(**joined)


def draw_crew(n: int, rate: float, pack: Pack, days: float, mean_rate: float, rng: Generator) -> People:
    """Draw n accounts by the law for everybody, given that they are about as busy as `rate` rows a day.

    They are different candidates, or twins would give them away, and there for the whole window, as old as
    accounts that were there before.
    """
    many = draw_people(CANDIDATES * n, pack, days, mean_rate, rng)
    order = np.argsort(many.rate, kind="stable")
    place = np.searchsorted(many.rate[order], rate * np.exp(rng.normal(0, 0.3, n)))
    place = each_once(np.sort(np.clip(place + rng.integers(-n, n + 1, n), 0, len(order) - 1)), len(order))
    crew = take_people(many, rng.permutation(order[place]))
    return replace(
        crew,
        template=np.where(crew.template >= 0, np.arange(n), -1),
        first=np.zeros(n),
        last=np.full(n, float(days)),
        created=_long_ago(n, rng),
    )


def _long_ago(n: int, rng: Generator) -> Floats:
    """Draw when accounts were made that are older than the window, one to 900 days before its start."""
    return -np.exp(rng.uniform(0, 6.8, n))


def _habit(scripted: Ints, never: float, seldom: float, a: float, b: float, rng: Generator) -> Floats:
    """Draw a share per account: nought for `never` of programs and `seldom` of people, else beta(a, b)."""
    without = rng.random(len(scripted)) < np.where(scripted == 1, never, seldom)
    return np.where(without, 0.0, rng.beta(a, b, len(scripted)))


def _countries(n: int, pack: Pack, rng: Generator) -> Ints:
    """Draw each account's country, after the languages that the pack has texts in."""
    langs = [c[2] for c in COUNTRIES]
    have = {
        lang: sum(np.sqrt(s) for s, x in zip(pack.size, pack.langs, strict=True) if x == lang)
        for lang in set(langs)
    }
    weight = np.array([c[3] if have[c[2]] else 0.0 for c in COUNTRIES])
    if not weight.sum():
        weight = np.array([float(c[3]) for c in COUNTRIES])
    return rng.choice(len(COUNTRIES), n, p=weight / weight.sum())


def _interests(country: Ints, scripted: Ints, pack: Pack, rng: Generator) -> tuple[Ints, Ints]:
    """Give each account one to six families, three in four in its own language; a program has one or two."""
    n = len(country)
    count = np.where(
        scripted == 1, 1 + (rng.random(n) < 0.25), 1 + np.minimum(rng.poisson(1.7, n), MOST_INTERESTS - 1)
    )
    interests = rng.choice(len(pack.size), (n, MOST_INTERESTS), p=pack.weight)
    langs = np.array(pack.langs)
    own = rng.random((n, MOST_INTERESTS)) < 0.85
    for lang in sorted({c[2] for c in COUNTRIES}):
        weight = np.where(langs == lang, pack.weight, 0.0)
        speakers = np.isin(country, [i for i, c in enumerate(COUNTRIES) if c[2] == lang])
        if weight.sum() and speakers.any():
            cell = own & speakers[:, None]
            interests[cell] = rng.choice(len(weight), int(cell.sum()), p=weight / weight.sum())
    return interests, count


def _organisations(n: int, rng: Generator) -> Ints:
    """Draw organisations by number: nine in ten are of one account, the rest of heavy-tailed size."""
    sizes = np.where(rng.random(n) < 0.9, 1, np.minimum(rng.zipf(1.7, n) + 1, 80))
    return rng.permutation(np.repeat(np.arange(n), sizes)[:n])


def _addresses(org: Ints, country: Ints, scripted: Ints, rng: Generator) -> Ints:
    """Give each account up to three addresses: homes, offices (by organisation), carriers, clouds."""
    n = len(org)
    shape = (n, MOST_ADDRESSES)
    provider = HOMES + country[:, None] * 12 + np.minimum(rng.zipf(1.6, shape) - 1, 11)
    home = provider * 65536 + rng.integers(0, 65536, shape)
    office = (HOMES + country[:, None] * 12) * 65536 + (org[:, None] * 7919 + 13) % 65536
    carrier = (CARRIERS + rng.integers(0, 20, shape)) * 65536 + rng.integers(0, 24, shape)
    cloud = (CLOUDS + rng.integers(0, 8, shape)) * 65536 + rng.integers(0, 20000, shape)
    kind = rng.random(shape)
    address = np.where(kind < 0.62, home, np.where(kind < 0.8, office, carrier))
    return np.where((scripted == 1)[:, None] & (rng.random(shape) < 0.7), cloud, address)
