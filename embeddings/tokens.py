"""Texts to token ids: the same ids as the tokenizer gives, each distinct piece of text looked at once.

Most tokenizers cut at white space before anything else, so the ids of a text are the ids of its pieces in a
row. Prompts repeat their pieces: 315,000 prompts have ten million and half a million distinct ones.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers import Tokenizer

Ints = NDArray[np.int64]
_KNOWN_PIECES = 2_000_000  # pieces remembered before starting anew: bounds memory
# Each trap once, no piece twice: scripts without spaces, marks, controls, joined emoji, a slot.
_PROBES = (
    "  Two  blanks\tand\r\nlines, don't: naïve café №5 <*> x_1 3.14!? ",
    "请用 Python 写一个函数。 ภาษาไทย ไม่มีช่องว่าง हिन्दी में 日本語です 한국어 문장 عربي نص",
    "a\x0bb c\x0cd e\x85f g\u00a0h i\u2028j k\u3000l \x1cm\x00 👩‍👩‍👧 Ω ΣΑΣ İstanbul \u0301x",
)
_LOCAL_NORMALIZERS = {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"}
_CUTTING = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
_LOCAL_PRE_TOKENIZERS = _CUTTING | {"Punctuation", "Digits", "UnicodeScripts", "FixedLength", "Split"}


class Pieces(NamedTuple):
    """Texts cut at blanks and line ends: of[starts[i]:starts[i+1]] are text i's numbers in `distinct`."""

    distinct: list[str]
    of: NDArray[np.int32]
    starts: Ints


class Tokens(NamedTuple):
    """Token ids of n texts in a row: ids[starts[i]:starts[i+1]] are those of text i; starts (n + 1,)."""

    ids: NDArray[np.int32]
    starts: Ints


def cut(texts: Sequence[str]) -> Pieces:
    """Cut texts at blanks and line ends and number the distinct pieces.

    Not at vertical tabs and form feeds, which BERT's normalisation deletes.
    """
    lines = [text.replace("\n", " ").replace("\t", " ").replace("\r", " ") for text in texts]
    lists = pc.split_pattern(pa.array(lines, type=pa.large_string()), " ")
    if isinstance(lists, pa.ChunkedArray):
        lists = lists.combine_chunks()
    coded = lists.flatten().dictionary_encode()
    starts = np.asarray(lists.offsets, dtype=np.int64)
    return Pieces(coded.dictionary.to_pylist(), np.asarray(coded.indices), starts - starts[0])


class Words:
    """A tokenizer that remembers the ids of the pieces it has seen."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.tokenizer = tokenizer
        self.cuts = _is_local(tokenizer)
        self._lock = Lock()
        self._forget()

    def _forget(self) -> None:
        self._number: dict[str, int] = {}
        self._ids = np.empty(0, dtype=np.int32)
        self._starts = np.zeros(1, dtype=np.int64)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Return the token ids of texts, special tokens left out."""
        if not self.cuts:
            return _plain(self.tokenizer, texts)
        return self.of_pieces(cut(texts))

    def of_pieces(self, pieces: Pieces) -> Tokens:
        """Return the token ids of texts that are cut already."""
        with self._lock:  # a flow may encode several shards at once; the arrays are replaced, never changed
            number = self._numbers(pieces.distinct)[pieces.of]
            ids, starts = self._ids, self._starts
        return _gather(ids, starts, number, pieces.starts)

    def _numbers(self, pieces: list[str]) -> Ints:
        """Return the number of each piece among those remembered, after taking in the new ones."""
        if len(self._number) > _KNOWN_PIECES:
            self._forget()
        new = [piece for piece in pieces if piece not in self._number]
        found = _plain(self.tokenizer, new)
        self._number.update(zip(new, range(len(self._number), len(self._number) + len(new)), strict=True))
        self._starts = np.concatenate([self._starts, found.starts[1:] + self._starts[-1]])
        self._ids = np.concatenate([self._ids, found.ids])
        return np.fromiter(map(self._number.__getitem__, pieces), dtype=np.int64, count=len(pieces))


@lru_cache(maxsize=1)
def words_of_json(tokenizer: str) -> Words:
    """Return the `Words` of a tokenizer's JSON: the same as long as no other is asked for.

    An encoder that is loaded where it was fitted finds the pieces of its texts looked at already.
    """
    return Words(Tokenizer.from_str(tokenizer))


def _plain(tokenizer: Tokenizer, texts: Sequence[str]) -> Tokens:
    """Tokenise each text as it is."""
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    starts = np.zeros(len(encodings) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, encodings), dtype=np.int64, count=len(encodings)), out=starts[1:])
    ids = chain.from_iterable(encoding.ids for encoding in encodings)
    return Tokens(np.fromiter(ids, dtype=np.int32, count=int(starts[-1])), starts)


def _gather(ids: NDArray[np.int32], starts: Ints, pieces: Ints, texts: Ints) -> Tokens:
    """Lay out the ids of `pieces` in a row; `texts` are the starts of the texts among the pieces."""
    lengths = np.diff(starts)[pieces]
    ends = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    at = np.repeat(starts[pieces] - ends[:-1], lengths)
    at += np.arange(ends[-1])
    return Tokens(ids[at], ends[texts])


def _is_local(tokenizer: Tokenizer) -> bool:
    """Say whether a text's ids are those of its pieces: by the kinds of its parts, then on probes."""
    normalizers, cutters = _kinds(tokenizer.normalizer), _kinds(tokenizer.pre_tokenizer)
    if not cutters or cutters[0] not in _CUTTING:
        return False
    if set(normalizers) - _LOCAL_NORMALIZERS or set(cutters) - _LOCAL_PRE_TOKENIZERS:
        return False
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    if any(any(character.isspace() for character in content) for content in added):
        return False
    return all(
        np.array_equal(
            _plain(tokenizer, [probe]).ids,
            np.concatenate([_plain(tokenizer, [piece]).ids for piece in cut([probe]).distinct]),
        )
        for probe in _PROBES
    )


def _kinds(part: Any) -> list[str]:  # noqa: ANN401 - the tokenizers library types its parts as Any
    """Return the kinds of a tokenizer's part, a sequence taken apart, in their order."""
    if part is None:
        return []
    name = type(part).__name__
    return list(chain.from_iterable(map(_kinds, part))) if name == "Sequence" else [name]
