"""Write a prompt pack of our own, so that nothing has to be fetched before there is traffic."""

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import polars as pl
from numpy.random import Generator

ROLE_SHARES = {"organic": 0.72, "distillation": 0.11, "probe": 0.08, "shared_template": 0.09}
FOREIGN_SHARE = 0.3  # of the organic texts
LANGUAGES = ("es", "fr", "de", "pt", "zh", "ja", "ru", "ar", "ko", "hi")
_SLOT = re.compile(r"\{(\w+)\}")
_PROSE_A_TOPIC = 600

Pools = dict[str, pl.Series]


@cache
def load_table(name: str) -> dict[str, Any]:
    """Read one of the TOML files beside this module."""
    return tomllib.loads(resources.files("campaigns.simulation").joinpath(name).read_text(encoding="utf-8"))


def fill(pattern: str, pools: Pools, n: int, rng: Generator) -> pl.Series:
    """Write a pattern n times with its {slots} drawn from the pools: a string Series of length n."""
    pieces: list[pl.Series] = []
    for i, part in enumerate(_SLOT.split(pattern)):
        if i % 2:
            pool = pools[part]
            pieces.append(pool.gather(rng.integers(0, pool.len(), n)).alias(str(i)))
        elif part:
            pieces.append(pl.Series(str(i), [part]).new_from_index(0, n))
    pieces = pieces or [pl.Series("0", [""]).new_from_index(0, n)]
    text = pl.select(pl.concat_str(*pieces)).to_series() if n else pl.Series([], dtype=pl.String)
    return (
        text.str.replace_all(r" {2,}", " ").str.replace_all(" ([?,])", "$1").str.strip_chars().alias("text")
    )


def fill_any(patterns: list[str], pools: Pools, n: int, rng: Generator) -> pl.Series:
    """Write n texts, each by a pattern drawn at random, in random order."""
    counts = rng.multinomial(n, np.full(len(patterns), 1 / len(patterns)))
    parts = [fill(p, pools, int(c), rng) for p, c in zip(patterns, counts, strict=True)]
    return pl.concat(parts).gather(rng.permutation(n))


def made_up(rng: Generator) -> Pools:
    """Return pools of invented names, invented places and numbers."""
    syllables = np.array(
        [
            "ba",
            "de",
            "li",
            "mo",
            "ra",
            "sen",
            "tov",
            "ka",
            "ri",
            "nel",
            "us",
            "fa",
            "jor",
            "min",
            "the",
            "wen",
            "lo",
            "pri",
            "sha",
            "dun",
        ]
    )

    def words(n: int, ending: list[str]) -> pl.Series:
        parts = [pl.Series(str(i), syllables[rng.integers(0, len(syllables), n)]) for i in range(2)]
        last = pl.Series("end", np.array(ending)[rng.integers(0, len(ending), n)])
        return (
            pl.select(pl.concat_str(*parts, last).str.to_titlecase()).to_series().unique(maintain_order=True)
        )

    return {
        "name": words(1500, ["a", "o", "n", "is", "el", "ra", "th", "ko"]),
        "place": words(900, ["burg", "ton", "ville", "sk", "haven", "mere", "grad", "pur"]),
        "number": pl.Series(np.unique(rng.geometric(0.004, 1200) + 1).astype(str)),
    }


def topic_pools(language: str, topic: str, shared: Pools, rng: Generator) -> Pools:
    """Return the pools of one topic: its nouns and verbs, the language's clauses, and prose in English."""
    words = load_table("words.toml")
    table = words["en"]["topics"][topic] if language == "en" else words[language]
    pools = shared | {"noun": pl.Series(table["noun"]), "verb": pl.Series(table["verb"])}
    if language == "en":
        pools |= {k: pl.Series(words["en"][k]) for k in ("opener", "tail")}
        pools |= {k: fill_any(words["en"][k], shared, 300, rng) for k in ("audience", "constraint")}
        pools["job"] = pl.Series(words["template"]["job"])
        pools["prose"] = fill_any(words["en"]["prose"]["patterns"], pools, _PROSE_A_TOPIC, rng)
    return pools


def _family(role: str, family: str, lang: str, texts: pl.Series) -> pl.DataFrame:
    return (
        texts.alias("prompt")
        .to_frame()
        .with_columns(family=pl.lit(family), role=pl.lit(role), lang=pl.lit(lang))
    )


def generate_pack(n: int, seed: int) -> pl.DataFrame:
    """Write about n distinct prompts: columns prompt, family, role and lang, all strings.

    Families are topics and intents in English, one a further language, and one a pattern for the roles
    distillation, probe and shared_template. The same n and seed give the same pack.
    """
    rng = np.random.default_rng([seed, 11])
    words, shared = load_table("words.toml"), made_up(rng)
    topics = {topic: topic_pools("en", topic, shared, rng) for topic in words["en"]["topics"]}
    english = int(n * ROLE_SHARES["organic"] * (1 - FOREIGN_SHARE) / len(topics) / 3)
    foreign = int(n * ROLE_SHARES["organic"] * FOREIGN_SHARE / len(LANGUAGES))
    frames = [
        _family(
            "organic",
            f"{topic}/{intent}",
            "en",
            fill_any(words["en"][intent]["patterns"], pools, english, rng),
        )
        for topic, pools in topics.items()
        for intent in ("ask", "write", "problem")
    ]
    for lang in LANGUAGES:
        pools = topic_pools(lang, "", shared, rng)
        frames.append(_family("organic", lang, lang, fill_any(words[lang]["patterns"], pools, foreign, rng)))
    everything = {
        key: pl.concat([pools[key] for pools in topics.values()]) for key in ("noun", "verb", "prose")
    }
    pools = next(iter(topics.values())) | everything
    for role in ("distillation", "probe", "shared_template"):
        patterns = words[role]["patterns"]
        each = int(n * ROLE_SHARES[role] / len(patterns))
        frames += [
            _family(role, f"{role}/{i}", "en", fill(p, pools, each, rng)) for i, p in enumerate(patterns)
        ]
    return pl.concat(frames).unique("prompt", keep="first", maintain_order=True)
