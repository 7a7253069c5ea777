"""A vocabulary from the corpus itself, for any script, and the tokenizer that reads with it.

Words are runs of letters, marks and digits, or of punctuation, in lower case and compatibility form. Frequent
words are tokens; every other word is read greedily as the longest known pieces (WordPiece without a
continuation mark, so that a piece has one vector wherever it stands). That is also how scripts without spaces
are read: there a "word" is a whole clause, and its frequent n-grams are the pieces. A character that no token
has is a word of its own: of a word that holds one, WordPiece would read nothing at all.
"""

import re

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from embeddings.ngrams import UNSPACED
from embeddings.views import SLOT

Ints = NDArray[np.int64]
UNKNOWN = "[UNK]"
LONGEST = 24  # characters read as one word: bounds the work on a megabyte without a blank
_WORD = r"\w+|[^\w\s]+"
_GRAMS = range(2, 5)


def words_of(pieces: list[str], counts: NDArray[np.int64]) -> pl.DataFrame:
    """Return the distinct words of distinct pieces of text with their counts, most frequent first."""
    found = pl.Series(pieces, dtype=pl.String).str.normalize("NFKC").str.to_lowercase().str.extract_all(_WORD)
    frame = pl.DataFrame({"word": found, "count": counts}).explode("word").drop_nulls("word")
    return frame.group_by("word").agg(pl.col("count").sum()).sort("count", "word", descending=[True, False])


def vocabulary(words: pl.DataFrame, size: int, n_pieces: int, min_count: int) -> list[str]:
    """Choose tokens: all characters that recur, the most frequent words, and pieces of the other words."""
    spaced = ~pl.col("word").str.contains(f"[{UNSPACED}]")
    short = pl.col("word").str.len_chars() <= LONGEST
    frequent = words.filter(spaced & short & (pl.col("count") >= min_count)).head(size)
    rest = words.join(frequent, on="word", how="anti").sort("count", "word", descending=[True, False])
    tokens = dict.fromkeys([UNKNOWN, SLOT])
    tokens.update(dict.fromkeys(frequent["word"].to_list()))
    tokens.update(dict.fromkeys(_pieces(rest, n_pieces, min_count)))
    characters, weight, _left = _characters(words)
    found, at = np.unique(characters, return_inverse=True)
    tokens.update(dict.fromkeys(map(chr, found[np.bincount(at, weights=weight) >= min_count])))
    return list(tokens)


def _characters(words: pl.DataFrame) -> tuple[Ints, Ints, Ints]:
    """Return the code points of words in a row, how often each is used, and how many end its word."""
    text = "".join(words["word"].to_list())
    lengths = words["word"].str.len_chars().to_numpy().astype(np.int64)
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.int64)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(codes))
    return codes, np.repeat(words["count"].to_numpy(), lengths), left


def _pieces(rest: pl.DataFrame, n_pieces: int, min_count: int) -> list[str]:
    """Return the most frequent n-grams of words that are no tokens themselves.

    An n-gram is numbered by its first n-1 characters, numbered in the round before, and its last.
    """
    characters, weight, left = _characters(rest)
    number, at = characters, np.arange(len(characters))
    grams: list[tuple[int, str]] = []
    for n in _GRAMS:
        keep = left[at] >= n
        at, number = at[keep], number[keep]
        key = (number << 21) | characters[at + n - 1]
        _distinct, first, number = np.unique(key, return_index=True, return_inverse=True)
        count = np.bincount(number, weights=weight[at], minlength=len(first)).astype(np.int64)
        best = np.argsort(-count, kind="stable")[:n_pieces]
        for i in best[count[best] >= min_count]:
            gram = characters[at[first[i]] : at[first[i]] + n]
            grams.append((int(count[i]) * (n - 1), "".join(map(chr, gram))))
    return [gram for _score, gram in sorted(grams, key=lambda gram: (-gram[0], gram[1]))[:n_pieces]]


def tokenizer_of(tokens: list[str]) -> Tokenizer:
    """Return the tokenizer that reads with these tokens; the first is the unknown one."""
    model = models.WordPiece(
        {token: number for number, token in enumerate(tokens)},
        unk_token=UNKNOWN,
        continuing_subword_prefix="",
        max_input_chars_per_word=LONGEST,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    known = "".join(re.escape(token) for token in tokens if len(token) == 1)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Whitespace(),
            pre_tokenizers.Split(Regex(f"[^{known}]" if known else "."), "isolated"),
            pre_tokenizers.FixedLength(LONGEST),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(SLOT, normalized=False, special=True)])
    return tokenizer
