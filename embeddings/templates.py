"""What texts have in common: a template with slots."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from embeddings.views import SLOT

# Letters of scripts without spaces are tokens by themselves; the ranges are those of ngrams.py, for `re`.
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
)
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")
_ASCII_TOKEN = re.compile(r"\w+|[^\w\s]")  # the same for ASCII text, three times as fast
_LONGEST = 1_500  # tokens of a text that a template looks at
_EVERY = 0.8  # share of the texts that hold a token of the template
_T = TypeVar("_T")
_Gaps = dict[int, range]  # by number of a kept token, the tokens of a text that lie before it, if any


class Template(NamedTuple):
    """What texts have in common.

    text has "<*>" for each slot; rigidity is the mean share (0..1) of a text's tokens that it fixes.
    """

    text: str
    rigidity: float


def template(texts: Sequence[str]) -> Template:
    """Find the common skeleton of texts: the tokens that four in five hold in the same order.

    Up to 32 of the texts are read, evenly spaced. One of the short ones is aligned with each other by
    longest common subsequence; tokens that most alignments share are the skeleton, what lies between is a
    slot. Short stretches that also occur in the fillings beside them are chance ("the", a comma) and
    dropped. Returns "<*>" and rigidity 0 when nothing is common.
    """
    kept = [text for text in (texts[row] for row in even(np.arange(len(texts)), 32)) if text.strip()]
    if not kept:
        return Template("", 0.0)
    parsed = sorted(_parse(kept), key=lambda text: len(text.tokens))
    shares = [0.1, 0.5] if len(parsed) > 2 else [0.0]
    found = [_skeleton(parsed[int(share * len(parsed))], parsed) for share in shares]
    return _write(max(found, key=lambda skeleton: skeleton.rigidity), parsed)


def n_words(text: str) -> int:
    """Count the words that a template fixes; letters of scripts without spaces count one each."""
    return sum(token[0].isalnum() for token in _TOKEN.findall(text.replace(SLOT, " ")))


class _Parsed(NamedTuple):
    """A text, its tokens, and a character for each, the same for the same token in all texts of a template.

    Sequences are compared as strings of these.
    """

    text: str
    tokens: list[str]
    code: str


class _Skeleton(NamedTuple):
    """The tokens of a text that most others share, what lies between them in each, and how much is fixed."""

    base: _Parsed
    keep: list[int]
    fillings: list[_Gaps]
    rigidity: float


def _parse(texts: list[str]) -> list[_Parsed]:
    """Split texts into tokens; of long ones the beginning and the end."""
    tokens = [_ends(_tokens_of(text).findall(text)) for text in texts]
    code = {token: chr(number) for number, token in enumerate(dict.fromkeys(chain(*tokens)))}
    return [
        _Parsed(text, said, "".join(map(code.__getitem__, said)))
        for text, said in zip(texts, tokens, strict=True)
    ]


def _tokens_of(text: str) -> re.Pattern[str]:
    return _ASCII_TOKEN if text.isascii() else _TOKEN


def _ends(found: list[_T]) -> list[_T]:
    """Leave out the middle of what a long text holds."""
    return found if len(found) <= _LONGEST else found[: _LONGEST // 2] + found[-_LONGEST // 2 :]


def _skeleton(base: _Parsed, parsed: list[_Parsed]) -> _Skeleton:
    """Find the skeleton that one of the texts gives."""
    change = np.zeros(len(base.tokens) + 1)
    for other in parsed:
        for at, _, size in _common(base.code, other.code):
            change[at] += 1
            change[at + size] -= 1
    keep = np.flatnonzero(change.cumsum()[:-1] >= max(_EVERY * len(parsed), 1)).tolist()
    fillings = [_fillings(_code(base, keep), text.code) for text in parsed]
    kept = _without_chance(keep, base, parsed, fillings)
    if len(kept) < len(keep):
        fillings = [_fillings(_code(base, kept), text.code) for text in parsed]
    fixed = [
        1 - sum(map(len, gaps.values())) / len(text.tokens)
        for text, gaps in zip(parsed, fillings, strict=True)
        if text.tokens
    ]
    return _Skeleton(base, kept, fillings, float(np.mean(fixed)) if fixed else 0.0)


def _code(base: _Parsed, tokens: list[int]) -> str:
    return "".join([base.code[at] for at in tokens])


def _common(one: str, other: str) -> Iterator[tuple[int, int, int]]:
    """Yield a longest common subsequence in stretches: where in one, where in the other, how long.

    The last is at the ends of both and has no length.
    """
    from rapidfuzz.distance import LCSseq

    for same in LCSseq.opcodes(one, other).as_matching_blocks():
        yield same.a, same.b, same.size


def _fillings(kept: str, text: str) -> _Gaps:
    """Return the tokens of a text that lie before, between and after the kept ones."""
    gaps = {}
    gap = start = 0
    for at, end, size in _common(kept, text):
        if end > start:
            gaps[gap] = range(start, end)
        gap, start = at + size, end + size
    return gaps


def _without_chance(
    keep: list[int], base: _Parsed, parsed: list[_Parsed], fillings: list[_Gaps]
) -> list[int]:
    """Drop short stretches between two slots whose tokens are common in the fillings around them."""
    filled = {gap for gaps in fillings for gap in gaps}
    out: list[int] = []
    for start, end in pairwise(sorted({0, len(keep)} | filled)):
        run = keep[start:end]
        if len(run) > 2 or not _by_chance(_code(base, run), (start, end), parsed, fillings):
            out += run
    return out


def _by_chance(run: str, sides: tuple[int, int], parsed: list[_Parsed], fillings: list[_Gaps]) -> bool:
    """Say whether a short stretch also occurs in the fillings on its sides in a quarter of the texts."""
    around = 0
    for text, held in zip(parsed, fillings, strict=True):
        beside = [held[gap] for gap in sides if gap in held]
        around += any(run in text.code[said.start : said.stop] for said in beside)
    return around > len(parsed) / 4


def _write(skeleton: _Skeleton, parsed: list[_Parsed]) -> Template:
    """Write the skeleton, with a slot where more than a tenth of the texts fill a gap."""
    filled = Counter(chain(*skeleton.fillings))
    base, keep = skeleton.base, skeleton.keep
    place = _ends(_spans(base.text))
    pieces: list[str] = []
    for gap in range(len(keep) + 1):
        if filled[gap] > 0.1 * len(parsed):
            pieces.append(f" {SLOT} ")
        elif pieces and gap < len(keep):
            between = base.text[place[keep[gap - 1]][1] : place[keep[gap - 1] + 1][0]]
            pieces.append(f" {SLOT} " if between.strip() else between)  # what was left out of a long text
        if gap < len(keep):
            begin, end = place[keep[gap]]
            pieces.append(base.text[begin:end])
    return Template("".join(pieces).strip(), skeleton.rigidity)


def _spans(text: str) -> list[tuple[int, int]]:
    """Return where each token of a text begins and ends."""
    return [match.span() for match in _tokens_of(text).finditer(text)]


def even(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Take at most `most` of the rows, evenly spaced."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
