"""What ordinary people write: their interests, popular prompts, free text, templates of their own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.random import Generator

from campaigns.simulation.generator import Pools, fill_any, load_table, made_up
from campaigns.simulation.pack import Ints, Pack
from campaigns.simulation.people import People

SWITCH = 0.15  # of rows leave the session's interest
MOST_PIECES = 7
AT_ONCE = 1 << 20  # texts that are joined at a time: ten million must not be in memory twice
LONG_TEMPLATE = 0.06  # of own templates carry pages of examples


@dataclass(frozen=True, kw_only=True)
class Wording:
    """Texts by number: those of the pack first, then those composed here."""

    texts: pl.Series
    number: Ints  # (n,) the text of each row
    family: Ints  # (n,) the family of each row


def free_writing(people: People, who: Ints, session: Ints, pack: Pack, rng: Generator) -> Wording:
    """Write a prompt for each row: who (n,) account, session (n,) ascending inside an account."""
    family = _families(people, who, session, rng)
    rank = _rank_within(family, rng)
    n_free = pack.n_free[family]
    number = pack.free(family, rank)
    popular = rng.random(len(who)) < people.popular[who]
    zipf = np.floor(pack.popular[family] * rng.random(len(who)) ** 2.5).astype(np.int64)
    number[popular] = (pack.start[family] + np.minimum(zipf, pack.size[family] - 1))[popular]
    extra = np.minimum(rng.poisson(people.verbosity[who]), MOST_PIECES - 1)
    extra = np.where(popular, 0, np.maximum(extra, (rank >= n_free).astype(np.int64)))
    template = np.where(popular & (people.scripted[who] == 0), -1, people.template[who])
    texts, number = _compose(pack, family, rank, number, extra, template, rng)
    number, texts = _follow_ups(people, who, session, pack, texts, number, rng)
    again = (rng.random(len(who)) < people.again[who]) & (np.diff(who, prepend=-1) == 0)
    number[again] = number[np.flatnonzero(again) - 1]
    return Wording(texts=texts, number=number, family=family)


def _families(people: People, who: Ints, session: Ints, rng: Generator) -> Ints:
    """Draw the family of each row: one interest a session, now and then another."""
    n_sessions = int(session.max()) + 1 if len(session) else 0
    u = np.where(rng.random(len(who)) < SWITCH, rng.random(len(who)), rng.random(n_sessions)[session])
    interest = (np.log(np.maximum(u, 1e-9)) / np.log(0.5)).astype(np.int64) % people.n_interests[who]
    return people.interests[who, interest]


def _rank_within(family: Ints, rng: Generator) -> Ints:
    """Count up the rows of each family in random order, so that free text is drawn without replacement."""
    shuffle = rng.permutation(len(family))
    order = shuffle[np.argsort(family[shuffle], kind="stable")]
    counts = np.bincount(family) if len(family) else np.empty(0, np.int64)
    rank = np.empty(len(family), np.int64)
    rank[order] = np.arange(len(family)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank


def _compose(
    pack: Pack, family: Ints, rank: Ints, number: Ints, extra: Ints, template: Ints, rng: Generator
) -> tuple[pl.Series, Ints]:
    """Join further pieces and own templates to the first text; distinct from the pack where changed."""
    changed = np.flatnonzero((extra > 0) | (template >= 0))
    if not len(changed):
        return pack.texts, number
    lap = rank[changed] // pack.n_free[family[changed]]
    pieces = [number[changed]]
    for i in range(1, MOST_PIECES):
        step = np.where(i == 1, lap + 1, rng.integers(0, 1 << 30, len(changed)))
        piece = pack.free(family[changed], rank[changed] + step)
        pieces.append(np.where(extra[changed] >= i, piece, -1))
    before, after = own_templates(int(template.max()) + 1, template[changed], rng)
    made = [
        _joined(
            pack,
            [piece[at : at + AT_ONCE] for piece in pieces],
            before[at : at + AT_ONCE],
            after[at : at + AT_ONCE],
        )
        for at in range(0, len(changed), AT_ONCE)
    ]
    number = number.copy()
    number[changed] = pack.texts.len() + np.arange(len(changed))
    return pl.concat([pack.texts, *made]), number


def _joined(pack: Pack, pieces: Sequence[Ints], before: pl.Series, after: pl.Series) -> pl.Series:
    """Write texts: what stands before, the pieces by number in the pack (-1 for none), what stands after."""
    texts = [
        pack.texts.gather(pl.Series(piece).replace(-1, None)).alias(str(i)) for i, piece in enumerate(pieces)
    ]
    body = pl.concat_str(*texts, separator="\n", ignore_nulls=True)
    made = pl.select(pl.concat_str(before, body, after, ignore_nulls=True)).to_series()
    return made.alias(pack.texts.name)


def own_templates(n: int, which: Ints, rng: Generator) -> tuple[pl.Series, pl.Series]:
    """Write the templates that are in use among n: what stands before and after each row's text, or null."""
    used, row = np.unique(which[which >= 0], return_inverse=True)
    pools = template_pools(rng)
    before = compose_template(len(used), pools, rng)
    after = fill_any(load_table("words.toml")["template"]["format"], pools, len(used), rng)
    after = pl.select(
        pl.when(pl.Series(rng.random(len(used)) < 0.35) & (after != "")).then("\n" + after)
    ).to_series()
    index = np.full(len(which), -1)
    index[which >= 0] = row
    picked = pl.Series(index).replace(-1, None)
    return before.gather(picked).alias("before"), after.gather(picked).alias("after")


def template_pools(rng: Generator) -> Pools:
    """Return the pools that templates are filled from."""
    words = load_table("words.toml")["template"]
    pools = made_up(rng) | {"job": pl.Series(words["job"])}
    topic = [noun for t in load_table("words.toml")["en"]["topics"].values() for noun in t["noun"]]
    verbs = [verb for t in load_table("words.toml")["en"]["topics"].values() for verb in t["verb"]]
    pools |= {"noun": pl.Series(topic), "verb": pl.Series(verbs)}
    return pools | {"prose": fill_any(load_table("words.toml")["en"]["prose"]["patterns"], pools, 4000, rng)}


def compose_template(n: int, pools: Pools, rng: Generator, clauses: int | None = None) -> pl.Series:
    """Write n templates of a role, one to nine instructions and a mark; a few carry pages of examples.

    `clauses` fixes the number of instructions. Operators take theirs from here too.
    """
    words = load_table("words.toml")["template"]
    parts = [fill_any(words["role"], pools, n, rng).alias("role")]
    count = np.clip(np.exp(rng.normal(0.9, 0.8, n)).astype(np.int64), 1, 9)
    count = count if clauses is None else np.full(n, clauses)
    instructions = pl.Series(words["instruction"])
    order = np.argsort(rng.random((n, instructions.len())), axis=1)
    for i in range(int(count.max()) if n else 0):
        text = instructions.gather(order[:, i])
        parts.append(pl.select(pl.when(pl.Series(count > i)).then(text)).to_series().alias(str(i)))
    long = (rng.random(n) < LONG_TEMPLATE) & (clauses is None)
    pages = [
        " ".join(pools["prose"].gather(rng.integers(0, 4000, 70)).to_list()) if x else None for x in long
    ]
    parts.append(pl.Series("pages", pages, dtype=pl.String))
    mark = "\n" + pl.Series(words["mark"]).gather(rng.integers(0, len(words["mark"]), n)) + "\n"
    joined = pl.concat_str(*parts, separator=" ", ignore_nulls=True).str.strip_chars()
    return pl.select(joined + mark).to_series().alias("before")


def _follow_ups(
    people: People, who: Ints, session: Ints, pack: Pack, texts: pl.Series, number: Ints, rng: Generator
) -> tuple[Ints, pl.Series]:
    """Turn some later rows of people's sessions into short follow-ups in the language of their interest."""
    phrases = load_table("words.toml")["follow_up"]
    later = (np.diff(session, prepend=-1) == 0) & (rng.random(len(who)) < people.follow[who])
    rows = np.flatnonzero(later & (people.scripted[who] == 0))
    langs = np.array(pack.langs)[people.interests[who[rows], 0]]
    for lang, words in phrases.items():
        mine = rows[langs == lang]
        number[mine] = texts.len() + rng.integers(0, len(words), len(mine))
        texts = pl.concat([texts, pl.Series(texts.name, words)])
    return number, texts
