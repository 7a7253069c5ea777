"""What stands in the prompts of a good part of all accounts: a product's own system prompt, not theirs.

Left in, it is the longest passage that any two prompts share, and every template drowns in it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from embeddings.ngrams import Ints, Texts, grams_of, hashed, words_of
from embeddings.templates import even

Floats = NDArray[np.float64]

TOKENS = 8  # in a row that must recur, as in a run
COMMON = 0.2  # of the accounts: a passage of so many is a product's, if they send as differently as people do
RARER = 0.05  # by so much of the accounts: what follows is no part of a passage
UNEVEN = 0.25  # variance of their rates over the squared mean: of people one half and more
NEARLY_ALL = 0.8  # of which no campaign is, however much each sends
FEWEST = 100  # accounts of which a part says something
MOST, LONGEST = 1_000, 20_000  # texts that are looked at, and characters of each


def boilerplate(sample: Texts, sent: Ints) -> list[str]:
    """Return the passages that are a product's own text, the longest first; none of fewer than FEWEST texts.

    sample: a text of each account, so that no busy one makes its own prompt everybody's, MOST of which are
    read; sent (m,): how many each has. A passage is TOKENS or more in a row whose n-grams each are in COMMON
    of the texts; rarer tokens part it, a date in a system prompt, or modules that not all have. It is kept
    where COMMON have it beyond those that have a longer one around it, and either NEARLY_ALL have it or those
    who do send as unevenly as people: of a small log's campaign all send about as many.
    """
    if len(sample) < FEWEST:
        return []
    chosen = even(np.arange(len(sample)), MOST)
    sample, sent = [sample[i][:LONGEST] for i in chosen], sent[chosen].astype(float)
    words, document = words_of(sample)
    grams, start = grams_of(hashed(words), document, TOKENS)
    if not len(grams):
        return []
    each = pl.DataFrame({"gram": grams, "document": document[start]})
    texts = each.select(pl.col("document").n_unique().over("gram"))["document"].to_numpy()
    share = np.zeros(len(words))
    share[start] = np.where(texts >= COMMON * len(sample), texts / len(sample), 0.0)
    seen = Counter(_passages(sample, words, document, share))
    passages = [passage for passage, n in seen.items() if n > 1]
    column, found = pl.Series(sample), dict[str, float]()
    for passage in sorted(passages, key=lambda passage: (-len(passage), passage)):
        has = column.str.contains(passage, literal=True).to_numpy()
        within = max((share for longer, share in found.items() if passage in longer), default=0.0)
        if has.mean() < within + COMMON:  # or only as a part of a longer one
            continue
        if has.mean() >= NEARLY_ALL or sent[has].var() - sent[has].mean() > UNEVEN * sent[has].mean() ** 2:
            found[passage] = float(has.mean())
    return list(found)


def without(texts: pl.Series, passages: list[str]) -> pl.Series:
    """Return texts without the passages; those that are nothing else as they are."""
    if not passages:
        return texts
    bare = texts
    for passage in passages:
        bare = bare.str.replace_all(passage, "", literal=True)
    bare = bare.str.strip_chars()
    return bare.zip_with(bare != "", texts)


def _passages(texts: Texts, words: pl.Series, document: Ints, share: Floats) -> Iterator[str]:
    """Yield the stretches of texts, given by their words and document (t,), that recur, and their pieces.

    share (t,): of the texts that have the n-gram which begins at a token, nought where too few do. A piece
    ends where what goes on from it is rarer: one of the modules that a prompt is put together from, say. A
    few words in front of what all have are no piece by themselves, and go with the whole stretch.
    """
    before = np.concatenate([np.zeros(TOKENS - 1), share])
    token: Floats = sliding_window_view(before, TOKENS).max(axis=1)  # the commonest n-gram that it is in
    onward = sliding_window_view(before[1:], TOKENS - 1).max(axis=1)  # in which the token after it is, too
    whole = (token[:-1] > 0) & (token[1:] > 0) & (document[:-1] == document[1:])
    alike = whole & (onward[:-1] >= np.maximum(token[:-1], token[1:]) - RARER)
    found = np.unique(np.concatenate([_stretches(token > 0, on) for on in (whole, alike)]), axis=0)
    for number, pieces in groupby(found.tolist(), key=lambda piece: int(document[piece[0]])):
        mine, begin = list(pieces), int(np.searchsorted(document, number))
        place = _places(texts[number], words[begin : max(last for _, last in mine) + 1])
        for first, last in mine:
            yield texts[number][place[first - begin][0] : place[last - begin][1]]


def _stretches(kept: NDArray[np.bool_], goes_on: NDArray[np.bool_]) -> Ints:
    """Return (s, 2) the first and last of the tokens kept (t,) that go on (t - 1,), of TOKENS and more."""
    first = np.flatnonzero(kept & ~np.append(False, goes_on))
    last = np.flatnonzero(kept & ~np.append(goes_on, False))
    return np.stack([first, last], axis=1)[last - first + 1 >= TOKENS]


def _places(text: str, words: Iterable[str]) -> list[tuple[int, int]]:
    """Return where each of a text's words, in their order, begins and ends."""
    places, end = [], 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        places.append((start, end))
    return places
