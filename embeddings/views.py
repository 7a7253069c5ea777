"""Views: one prompt looked at in more than one way, because campaigns differ. Text in, text out.

A fixed preamble before varied questions is invisible in the vector of the whole text and plain in its
skeleton; a line injected into long requests shows only when most of the request is left out.
"""

import math
from collections.abc import Callable
from enum import StrEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from embeddings.ngrams import MOST_COUNTED, Ints, Sketch, Texts, blocks, counted, grams_of, hashed, words_of

SLOT = "<*>"  # stands for what a view left out; it is no word of the text
HALF_AS_COMMON = np.log(2) + 1e-9  # logarithms of whole numbers, rounded
GENERIC = 0.03  # share of the texts from which a phrase is nobody's


class View(StrEnum):
    """A way of looking at a prompt."""

    FULL = "full"
    SKELETON = "skeleton"
    RUN = "run"
    ENDS = "ends"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ViewSettings:
    """What the views keep of a prompt."""

    ngram: int = Field(default=4, ge=2, le=16, description="Tokens in a row that must recur to be skeleton.")
    min_prompts: int = Field(
        default=8, ge=2, le=MOST_COUNTED, description="Fewest distinct prompts an n-gram must occur in."
    )
    run: int = Field(default=8, ge=2, le=64, description="Tokens in a row that must recur to be a run.")
    min_share: float = Field(
        default=2e-5, ge=0, le=1, description="The same as a share of the prompts; the larger of both counts."
    )
    run_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="In a long skeleton, recurring runs shorter than this share of its longest are left out.",
    )
    long: int = Field(default=64, ge=0, description="Tokens above which a skeleton is long.")
    head: int = Field(default=160, ge=0, description="Characters of the head in the ends view.")
    tail: int = Field(default=160, ge=0, description="Characters of the tail in the ends view.")


def view_texts(view: View, texts: Texts, settings: ViewSettings) -> list[str]:
    """Return the text that `view` sees of each of `texts`, in order; "" where nothing is left.

    `texts` are distinct prompts: the skeleton counts each as one.
    """
    return VIEWS[View(view)](texts, settings)


def full(texts: Texts, settings: ViewSettings) -> list[str]:
    """Return the texts as they are."""
    return list(texts)


def ends(texts: Texts, settings: ViewSettings) -> list[str]:
    """Return the head and the tail of each text with a slot between; a short text is returned whole."""
    head, tail = settings.head, settings.tail
    return [
        text if len(text) <= head + tail else f"{text[:head]} {SLOT} {text[len(text) - tail :]}"
        for text in texts
    ]


def skeleton(texts: Texts, settings: ViewSettings) -> list[str]:
    """Keep the tokens that lie in n-grams of at least `min_prompts` texts, a slot for every gap between.

    Two passes over the texts in blocks, linear in tokens: the first counts in how many texts each hashed
    n-gram occurs (two rows of a count-min sketch, Cormode & Muthukrishnan 2005, so memory is bounded and a
    count can only be too high), the second keeps the tokens that recurring n-grams cover. Chance runs are
    short: where a skeleton is long only its runs near the longest stay, which is what leaves an injected line
    standing alone in a request of thousands of ordinary tokens.
    """
    least = _least(texts, settings)
    sketch = counted(texts, settings.ngram)
    out: list[str] = []
    for block in blocks(texts):
        out += _keep(block, sketch, least, settings)
    return out


def run(texts: Texts, settings: ViewSettings) -> list[str]:
    """Keep of each text the run of tokens that recurs most and longest; "" where none is long enough.

    A fixed preamble, suffix or injected line comes out to the letter, whatever stands around it, when eight
    tokens in a row are what recurs: from its first word to its last, since a full stop before a fixed line
    belongs to what precedes it. Counts as in `skeleton`.
    """
    least = _least(texts, settings)
    generic = max(GENERIC * len(texts), least)
    sketch = counted(texts, settings.run)
    out: list[str] = []
    for block in blocks(texts):
        words, document = words_of(block)
        grams, start = grams_of(hashed(words), document, settings.run)
        start = _weightiest_run(start, document[start], sketch.count(grams), least, generic, settings.run)
        kept = _from_word_to_word(words, document, cover(start, settings.run, len(words)), len(block))
        out += _join(words.filter(pl.Series(kept)), document[kept], kept[kept], len(block))
    return out


VIEWS: dict[View, Callable[[Texts, ViewSettings], list[str]]] = {
    View.FULL: full,
    View.SKELETON: skeleton,
    View.RUN: run,
    View.ENDS: ends,
}


def _least(texts: Texts, settings: ViewSettings) -> int:
    """Return in how many texts an n-gram must occur."""
    return min(MOST_COUNTED, max(settings.min_prompts, math.ceil(settings.min_share * len(texts))))


def _keep(texts: Texts, sketch: Sketch, least: int, settings: ViewSettings) -> list[str]:
    """Write the skeletons of one block of texts."""
    words, document = words_of(texts)
    grams, start = grams_of(hashed(words), document, settings.ngram)
    start = start[sketch.count(grams) >= least]
    size = np.bincount(document[cover(start, settings.ngram, len(words))], minlength=len(texts))
    start = start[_prominent(start, document[start], size > settings.long, settings)]
    return _join(words, document, cover(start, settings.ngram, len(words)), len(texts))


def cover(start: Ints, n: int, length: int) -> NDArray[np.bool_]:
    """Mark the tokens that n-grams beginning at `start` lie on."""
    step = np.zeros(length + n, dtype=np.int64)  # +1 where an n-gram begins, -1 after its end
    step[start] += 1
    step[start + n] -= 1
    return np.cumsum(step)[:length] > 0


def _prominent(
    start: Ints, document: Ints, long: NDArray[np.bool_], settings: ViewSettings
) -> NDArray[np.bool_]:
    """Mark the n-grams in runs near the longest of their text; all of them where the skeleton is not long."""
    if not len(start):
        return np.empty(0, dtype=bool)
    first = np.r_[True, (np.diff(start) > 1) | (np.diff(document) != 0)]
    run = np.cumsum(first) - 1
    length = np.bincount(run) + settings.ngram - 1
    longest = np.zeros(len(long), dtype=np.int64)
    np.maximum.at(longest, document[first], length)
    keep: NDArray[np.bool_] = length >= settings.run_share * longest[document[first]]
    return keep[run] | ~long[document]


def _weightiest_run(start: Ints, document: Ints, count: Ints, least: int, generic: float, n: int) -> Ints:
    """Return where the n-grams of each text's weightiest recurring run begin; start (g,) ascending.

    Weight is tokens, n to twice n, times the logarithm of the texts that share them all: a long passage that
    some requests quote weighs no more than the line that all of them carry, and a short line no less for a
    popular text beside it. A part of a run weighs no more for being in over `generic` texts: what anybody
    writes does not stand for the page of instructions that it is in. From its weightiest stretch a run goes
    on while it is at least half as common: a popular question after a preamble is not the preamble, however
    long it is.
    """
    kept = count >= least
    start, document, count = start[kept], document[kept], count[kept]
    if not len(start):
        return start
    opens = np.r_[True, (np.diff(start) > 1) | (np.diff(document) != 0)]
    first = np.flatnonzero(opens)
    end = np.append(first[1:], len(opens))[np.cumsum(opens) - 1]
    at, common = np.arange(len(opens)), np.log(count)
    fewest, shared, weight = common.copy(), np.zeros(len(at)), np.zeros(len(at))
    for more in range(n + 1):
        inside = np.flatnonzero(at + more < end)
        fewest[inside] = np.minimum(fewest[inside], common[inside + more])
        entire = (more == n) | opens[inside] & (end[inside] == inside + more + 1)
        known = np.where(entire, fewest[inside], np.minimum(fewest[inside], np.log(generic)))
        heavier = (n + more) * known > weight[inside]
        weight[inside[heavier]] = ((n + more) * known)[heavier]
        shared[inside[heavier]] = fewest[inside[heavier]]
    top = np.lexsort((at, -weight, document))  # the first of the weightiest of each text
    top = top[np.r_[True, np.diff(document[top]) != 0]]
    text = np.cumsum(np.r_[True, np.diff(document) != 0]) - 1
    goes_on = common >= shared[top][text] - HALF_AS_COMMON
    part = np.cumsum(opens | ~goes_on)
    return start[goes_on & np.isin(part, part[top])]


def _from_word_to_word(
    words: pl.Series, document: Ints, kept: NDArray[np.bool_], n: int
) -> NDArray[np.bool_]:
    """Leave out the punctuation before the first and after the last kept word of each text."""
    place = np.flatnonzero(kept & words.str.contains(r"\w").to_numpy())
    first, last = np.full(n, len(kept)), np.full(n, -1)
    np.minimum.at(first, document[place], place)
    np.maximum.at(last, document[place], place)
    at = np.arange(len(kept))
    return kept & (at >= first[document]) & (at <= last[document])


def _join(words: pl.Series, document: Ints, kept: NDArray[np.bool_], n: int) -> list[str]:
    """Join the kept tokens of each text with spaces, one slot for each gap; "" where all is gap."""
    opens = np.r_[True, kept[:-1] | (document[1:] != document[:-1])][: len(kept)] & ~kept
    shown = kept | opens
    some = np.zeros(n, dtype=bool)
    some[document[kept]] = True
    shown &= some[document]
    frame = pl.DataFrame(
        {"row": document[shown], "word": words.filter(pl.Series(shown)), "kept": kept[shown]}
    )
    lines = (
        frame.with_columns(pl.when("kept").then("word").otherwise(pl.lit(SLOT)).alias("word"))
        .group_by("row", maintain_order=True)
        .agg(pl.col("word").str.join(" "))
    )
    out = [""] * n
    for row, line in lines.iter_rows():
        out[row] = line
    return out
