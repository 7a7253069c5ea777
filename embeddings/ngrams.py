"""Tokens and n-grams of texts as numbers, and in how many texts each n-gram occurs."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

# Scripts written without spaces: a character is a token there, so that n-grams recur in them too.
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_TOKEN = rf"[{UNSPACED}]|[\w--[{UNSPACED}]]+|[^\w\s]"
_BLOCK_CHARACTERS = (
    16_000_000  # text taken at a time: bounds memory at about a gigabyte whatever the log's size
)
MOST_COUNTED = np.iinfo(np.uint16).max
_MIX = np.uint64(0x9E3779B97F4A7C15)

Tokens = NDArray[np.uint64]
Ints = NDArray[np.int64]
Texts = Sequence[str]


class Sketch:
    """In how many texts a hashed n-gram occurs: a count-min sketch of counts that stop at 65,535."""

    def __init__(self, characters: int) -> None:
        # About one n-gram in five characters; a table of that size is loaded at one distinct n-gram a cell.
        self.bits = min(27, max(16, math.ceil(math.log2(max(characters, 1) / 4))))
        self.counts = np.zeros((2, 1 << self.bits), dtype=np.uint16)

    def _cells(self, grams: Tokens) -> tuple[Ints, Ints]:
        shift = np.uint64(64 - self.bits)
        first = (grams >> shift).astype(np.int64)
        return first, (_mix(grams) >> shift).astype(np.int64)

    def add(self, grams: Tokens) -> None:
        """Count n-grams, each as often as it is named."""
        for row, cells in zip(self.counts, self._cells(grams), strict=True):
            cells, seen = np.unique(cells, return_counts=True)
            row[cells] = np.minimum(row[cells] + seen, MOST_COUNTED)

    def count(self, grams: Tokens) -> Ints:
        """Return the counts of n-grams: never too low, and seldom too high."""
        first, second = self._cells(grams)
        return np.minimum(self.counts[0, first], self.counts[1, second]).astype(np.int64)


def counted(texts: Texts, n: int) -> Sketch:
    """Count in how many of the texts each n-gram occurs."""
    sketch = Sketch(sum(map(len, texts)))
    for block in blocks(texts):
        tokens, document = tokens_of(block)
        grams, start = grams_of(tokens, document, n)
        sketch.add(_distinct(grams, document[start]))
    return sketch


def blocks(texts: Texts) -> Iterator[Texts]:
    """Cut the texts into runs of about `_BLOCK_CHARACTERS` characters, in order."""
    start = held = 0
    for row, text in enumerate(texts):
        held += len(text)
        if held >= _BLOCK_CHARACTERS:
            yield texts[start : row + 1]
            start, held = row + 1, 0
    if start < len(texts):
        yield texts[start:]


def words_of(texts: Texts) -> tuple[pl.Series, Ints]:
    """Return every token of the texts, and the row of its text."""
    lists = pl.Series(texts, dtype=pl.String).str.extract_all(_TOKEN)
    lengths = lists.list.len().to_numpy()
    return lists.filter(lists.list.len() > 0).explode(), np.repeat(np.arange(len(texts)), lengths)


def hashed(words: pl.Series) -> Tokens:
    """Hash tokens to 64 bits, whatever their case; used for equality inside one call only."""
    return words.str.to_lowercase().hash(seed=0).to_numpy()


def tokens_of(texts: Texts) -> tuple[Tokens, Ints]:
    """Return the hash of every token of the texts, and the row of its text."""
    words, document = words_of(texts)
    return hashed(words), document


def _mix(x: Tokens) -> Tokens:
    """Scatter 64 bits (one round of the finaliser of splitmix64, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return x ^ (x >> np.uint64(27))


def grams_of(tokens: Tokens, document: Ints, n: int) -> tuple[Tokens, Ints]:
    """Hash each run of n tokens that lies in one text; return the hashes and where each run starts."""
    last = len(tokens) - n + 1
    if last <= 0:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    grams = np.zeros(last, dtype=np.uint64)
    for offset in range(n):
        grams = _mix(grams * _MIX + tokens[offset : offset + last])
    start = np.flatnonzero(document[:last] == document[n - 1 :])
    return grams[start] * _MIX, start


def _distinct(grams: Tokens, document: Ints) -> Tokens:
    """Drop the repeats of an n-gram within one text: a text that says a thing twice is still one text."""
    key = _mix(grams ^ (document.astype(np.uint64) * _MIX))
    return grams[np.unique(key, return_index=True)[1]]
