"""What a cluster says: keywords, and a template with slots."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from embeddings.ngrams import UNSPACED
from embeddings.templates import even, template

Ints = NDArray[np.int64]
Labels = NDArray[np.int32] | Ints
_WORD = rf"[\p{{L}}--[{UNSPACED}]][[\p{{L}}\p{{M}}\p{{N}}'’]--[{UNSPACED}]]+"  # for polars, like the next
# Addresses and keys, also with a blank between tokens: what they are made of are no words.
_NO_WORDS = (
    r"[\w+-]+(?: ?[.+-] ?[\w+-]+)* ?@ ?[\w+-]+(?: ?\. ?[\w+-]+)+|[a-z0-9_-]{20,}"
    # of three pieces or more, one of them with a digit
    r"|(?:\w+ - )*\w*\d\w*(?: - \w+){2,}|(?:\w+ - )+\w*\d\w*(?: - \w+)+|(?:\w+ - ){2,}\w*\d\w*"
)
_PAIR = rf"[{UNSPACED}]{{2}}"  # two letters are about a word there
_BUT_FIRST = rf"[{UNSPACED}]([{UNSPACED}]+)"  # of each run, for the pairs that begin at its second letter
# Words that only join others, in English, which most logs are full of: they tell of no subject.
_JOINING = (
    r"^("
    r"a|about|above|after|again|all|also|an|and|any|are|aren['’]t|as|at|be|because|been|before|being|"
    r"below|between|both|but|by|can|can['’]t|could|did|do|does|doesn['’]t|doing|don['’]t|down|each|for|"
    r"from|had|has|have|he|her|here|hers|him|his|how|i|i['’]d|i['’]ll|i['’]m|i['’]ve|if|in|into|is|"
    r"isn['’]t|it|it['’]s|its|just|let['’]s|me|more|most|must|my|no|nor|not|of|off|on|once|only|or|"
    r"other|our|out|over|own|same|she|should|so|some|such|than|that|that['’]s|the|their|them|then|there|"
    r"these|they|they['’]re|this|those|through|to|too|under|until|up|us|very|was|we|we['’]re|were|what|"
    r"when|where|which|while|who|whom|whose|why|will|with|would|you|you['’]d|you['’]re|you['’]ve|your|"
    r"yours"
    r")$"
)
_READ = 8_000  # characters of a text: the search for addresses takes the square of a text's length


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DescribeSettings:
    """How much is said of a cluster."""

    keywords: int = Field(default=8, ge=0, le=50, description="Keywords of each cluster.")
    sample: int = Field(default=200, ge=1, description="Texts of a cluster that its keywords are drawn from.")


class Description(NamedTuple):
    """One cluster in words."""

    label: int
    keywords: tuple[str, ...]
    template: str


def describe(texts: Sequence[str], labels: Labels, settings: DescribeSettings) -> list[Description]:
    """Describe each cluster of n texts, in label order; noise (-1) is only the background of the keywords."""
    order = np.argsort(labels, kind="stable")
    found, start = np.unique(labels[order], return_index=True)
    parts = np.split(order, start[1:]) if len(order) else []
    samples = {label: even(rows, settings.sample) for label, rows in zip(found.tolist(), parts, strict=True)}
    words = _keywords(texts, samples, settings.keywords)
    return [
        Description(label, words.get(label, ()), template([texts[row] for row in even(rows, 16)]).text)
        for label, rows in samples.items()
        if label >= 0
    ]


def _keywords(texts: Sequence[str], samples: dict[int, Ints], most: int) -> dict[int, tuple[str, ...]]:
    """Return each label's words that stand out against all others, but for those that join others.

    Log-odds with an informative Dirichlet prior (Monroe, Colaresi & Quinn 2008), over the number of texts
    that hold a word; its z-score favours words that are both frequent and particular.
    """
    rows = np.concatenate(list(samples.values())) if samples else np.empty(0, dtype=np.int64)
    if not len(rows) or not most:
        return {}
    label = np.repeat(list(samples), [len(part) for part in samples.values()])
    text = pl.Series([texts[row] for row in rows], dtype=pl.String).str.to_lowercase()
    text = text.str.slice(0, _READ).str.replace_all(_NO_WORDS, " ")
    frame = pl.DataFrame({"label": label, "text": text}).with_columns(
        pl.concat_list(
            pl.col("text").str.extract_all(_WORD),
            pl.col("text").str.extract_all(_PAIR),
            pl.col("text").str.replace_all(_BUT_FIRST, " $1 ").str.extract_all(_PAIR),
        )
        .list.unique(maintain_order=True)
        .alias("word")
    )
    words = frame.select("label", "word").explode("word").drop_nulls()
    telling = words.filter(~pl.col("word").str.contains(_JOINING))
    held = telling.group_by("label", "word").len("here")
    held = held.with_columns(
        pl.col("here").sum().over("word").alias("all"), pl.col("here").sum().over("label").alias("size")
    )
    total = float(held["here"].sum())
    here, everywhere, size = (held[name].to_numpy().astype(float) for name in ("here", "all", "size"))
    z = _log_odds(here, everywhere, size, total)
    best = (
        held.with_columns(pl.Series("z", z))
        .filter((pl.col("z") > 0) & (pl.col("here") > 1))
        .sort(["label", "z", "word"], descending=[False, True, False])
        .group_by("label", maintain_order=True)
        .agg(pl.col("word").head(most))
    )
    return {int(label): tuple(words) for label, words in best.iter_rows()}


def _log_odds(
    here: NDArray[np.float64],
    everywhere: NDArray[np.float64],
    size: NDArray[np.float64],
    total: float,
) -> NDArray[np.float64]:
    """Return the z-score of a word's log-odds here against elsewhere; the prior is the whole corpus."""
    prior = 0.01 * everywhere
    weight = 0.01 * total
    others = np.maximum(size + weight - here - prior, prior)  # a word may be all there is
    inside = np.log(here + prior) - np.log(others)
    outside = everywhere - here + prior
    rest = np.maximum(total - size + weight - outside, prior)  # a cluster may be all there is
    return (inside - np.log(outside) + np.log(rest)) / np.sqrt(1 / (here + prior) + 1 / outside)
