"""What stands in the prompts of a good part of all accounts: a product's own system prompt, not theirs.

Left in, it is the longest passage that any two prompts share, and every template drowns in it.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from embeddings.ngrams import Ints, Texts, grams_of, hashed, words_of
from embeddings.templates import even, spans
from embeddings.views import cover

TOKENS = 8  # in a row that must recur, as in a run
COMMON = 0.2  # of the accounts: a passage of so many is a product's, if they send as differently as people do
UNEVEN = 0.25  # variance of their rates over the squared mean: of people one half and more
NEARLY_ALL = 0.8  # of which no campaign is, however much each sends
FEWEST = 100  # accounts of which a part says something
MOST, LONGEST = 1_000, 20_000  # texts that are looked at, and characters of each


def boilerplate(sample: Texts, sent: Ints) -> list[str]:
    """Return the passages that many texts have to the letter, the longest first.

    sample: a text of each account, so that no busy one makes its own prompt everybody's, and sent (m,) how
    many each has: of a small log's campaign all have about as many. Nothing is returned of fewer accounts
    than FEWEST. Eight tokens in a row and more are a passage. What differs from text to text, a date in a
    system prompt, parts two of them.
    """
    if len(sample) < FEWEST:
        return []
    chosen = even(np.arange(len(sample)), MOST)
    sample, sent = [sample[i][:LONGEST] for i in chosen], sent[chosen].astype(float)
    words, document = words_of(sample)
    grams, start = grams_of(hashed(words), document, TOKENS)
    own = np.unique(np.stack([grams, document[start].astype(np.uint64)]), axis=1)[0]
    known, texts = np.unique(own, return_counts=True)
    kept = cover(start[np.isin(grams, known[texts >= COMMON * len(sample)])], TOKENS, len(words))
    passages = {
        passage
        for i in np.unique(document[kept]).tolist()
        for passage in _passages(sample[i], kept[document == i])
    }
    found: dict[str, float] = {}
    for passage in sorted(passages, key=lambda passage: (-len(passage), passage)):
        has = np.array([passage in text for text in sample])
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


def _passages(text: str, kept: NDArray[np.bool_]) -> list[str]:
    """Return the stretches of a text whose tokens, (t,) in their order, are kept."""
    place = spans(text)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(int)))
    return [text[place[a][0] : place[b - 1][1]] for a, b in edges.reshape(-1, 2)]
