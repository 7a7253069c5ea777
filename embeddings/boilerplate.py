"""What stands in the prompts of a good part of all accounts: a product's own system prompt, not theirs.

Left in, it is the longest passage that any two prompts share, and every template drowns in it.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from embeddings.ngrams import Texts, grams_of, hashed, words_of
from embeddings.templates import even, spans
from embeddings.views import View, ViewSettings, cover, view_texts

TOKENS = 8  # in a row that must recur, as in a run
COMMON = 0.2  # of the accounts: a passage of so many is a product's, if not a very large campaign's
NEARLY_ALL = 0.8  # of which no campaign is
FEWEST = 100  # accounts of which a part says something
MOST, LONGEST = 1_000, 20_000  # texts that are looked at, and characters of each


def boilerplate(sample: Texts) -> dict[str, float]:
    """Return the passages that many texts have to the letter, the longest first, and the share that has each.

    sample: a text of each account, so that no busy one makes its own prompt everybody's; nothing is returned
    of fewer than FEWEST. Eight tokens in a row and more are a passage. What differs from text to text, a date
    in a system prompt, parts two of them.
    """
    if len(sample) < FEWEST:
        return {}
    sample = [sample[i][:LONGEST] for i in even(np.arange(len(sample)), MOST)]
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
        share = sum(passage in text for text in sample) / len(sample)
        within = max((of for longer, of in found.items() if passage in longer), default=0.0)
        if share >= within + COMMON:  # and not only as a part of a longer one
            found[passage] = share
    return found


def seen_without(
    view: View, texts: pl.Series, passages: dict[str, float], settings: ViewSettings
) -> list[str]:
    """Return what a view sees of texts without the passages.

    The run of a text that has no other is the passage, unless nearly everybody's: should it be a campaign's
    after all, that still shows.
    """
    bare = texts
    for passage in passages:
        bare = bare.str.replace_all(passage, "", literal=True)
    seen = view_texts(view, (bare.str.strip_chars() if passages else bare).to_list(), settings)
    if view is not View.RUN:
        return seen
    for passage, share in passages.items():
        if share < NEARLY_ALL:
            has = texts.str.contains(passage, literal=True).to_list()
            seen = [run or passage * one for run, one in zip(seen, has, strict=True)]
    return seen


def _passages(text: str, kept: NDArray[np.bool_]) -> list[str]:
    """Return the stretches of a text whose tokens, (t,) in their order, are kept."""
    place = spans(text)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(int)))
    return [text[place[a][0] : place[b - 1][1]] for a, b in edges.reshape(-1, 2)]
