"""What a cluster says: a medoid, spread-out exemplars, keywords, and a template with slots and fillings."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from embeddings.views import SLOT, UNSPACED

Ints = NDArray[np.int64]
Labels = NDArray[np.int32] | Ints
Vectors = NDArray[np.float32]
# Letters of scripts without spaces are tokens by themselves; the ranges are those of views.py, for `re`.
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
)
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")

_WORD = rf"[\p{{L}}--[{UNSPACED}]][\p{{L}}\p{{M}}\p{{N}}'’]+"  # for polars, like the next
_PAIR = rf"[{UNSPACED}]{{2}}"  # two letters are about a word there
_LONGEST = 1_500  # tokens of a text that a template looks at
_EVERY = 0.8  # share of the texts that hold a token of the template


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DescribeSettings:
    """How much is said of a cluster."""

    exemplars: int = Field(default=5, ge=1, le=50, description="Spread-out examples of each cluster.")
    keywords: int = Field(default=8, ge=0, le=50, description="Keywords of each cluster.")
    sample: int = Field(
        default=200, ge=1, description="Texts of a cluster that its keywords and exemplars are drawn from."
    )


class Template(NamedTuple):
    """What texts have in common.

    text has "<*>" for each slot; slots holds sample fillings of each, in order; rigidity is the mean share
    of a text's tokens that the template fixes (0..1).
    """

    text: str
    slots: tuple[tuple[str, ...], ...]
    rigidity: float


class Description(NamedTuple):
    """One cluster in words. medoid and exemplars are row numbers; slots as in Template."""

    label: int
    medoid: int
    exemplars: tuple[int, ...]
    keywords: tuple[str, ...]
    template: str
    slots: tuple[tuple[str, ...], ...]


def describe(
    texts: Sequence[str], counts: Ints, labels: Labels, vectors: Vectors, settings: DescribeSettings
) -> list[Description]:
    """Describe each cluster of n texts, in label order; noise (-1) is only the background of the keywords."""
    order = np.argsort(labels, kind="stable")
    found, start = np.unique(labels[order], return_index=True)
    parts = np.split(order, start[1:]) if len(order) else []
    members = dict(zip(found.tolist(), parts, strict=True))
    samples = {label: _even(rows, settings.sample) for label, rows in members.items()}
    words = _keywords(texts, samples, settings.keywords)
    out = []
    for label, rows in samples.items():
        if label < 0:
            continue
        medoid, exemplars = _exemplars(members[label], rows, counts, vectors, settings.exemplars)
        common = template([texts[row] for row in _even(rows, 16)])
        out.append(Description(label, medoid, exemplars, words.get(label, ()), common.text, common.slots))
    return out


def _even(rows: Ints, most: int) -> Ints:
    """Take at most `most` of the rows, evenly spaced."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _exemplars(
    members: Ints, sample: Ints, counts: Ints, vectors: Vectors, most: int
) -> tuple[int, tuple[int, ...]]:
    """Return the member nearest the weighted mean, and examples that start there and spread out.

    Each further example is the one farthest from those taken (Gonzalez 1985), among the nearest nine tenths
    of the sample, so that examples show the cluster's breadth and not its strays.
    """
    centre = counts[members] @ vectors[members]
    medoid = int(members[np.argmax(vectors[members] @ centre)])
    apart = np.linalg.norm(vectors[sample] - vectors[medoid], axis=1)
    sample = sample[apart <= np.quantile(apart, 0.9)]
    taken = [medoid]
    gap = np.linalg.norm(vectors[sample] - vectors[medoid], axis=1)
    while len(taken) < most and len(sample) and gap.max() > 0:
        taken.append(int(sample[np.argmax(gap)]))
        gap = np.minimum(gap, np.linalg.norm(vectors[sample] - vectors[taken[-1]], axis=1))
    return medoid, tuple(taken)


def _keywords(texts: Sequence[str], samples: dict[int, Ints], most: int) -> dict[int, tuple[str, ...]]:
    """Return each label's words that stand out against all others.

    Log-odds with an informative Dirichlet prior (Monroe, Colaresi & Quinn 2008), over the number of texts
    that hold a word; its z-score favours words that are both frequent and particular.
    """
    rows = np.concatenate(list(samples.values())) if samples else np.empty(0, dtype=np.int64)
    if not len(rows) or not most:
        return {}
    label = np.repeat(list(samples), [len(part) for part in samples.values()])
    text = pl.Series([texts[row] for row in rows], dtype=pl.String).str.to_lowercase()
    frame = pl.DataFrame({"label": label, "text": text}).with_columns(
        pl.concat_list(
            pl.col("text").str.extract_all(_WORD),
            pl.col("text").str.extract_all(_PAIR),
            pl.col("text").str.slice(1).str.extract_all(_PAIR),
        )
        .list.unique(maintain_order=True)
        .alias("word")
    )
    held = frame.select("label", "word").explode("word").drop_nulls().group_by("label", "word").len("here")
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
    inside = np.log(here + prior) - np.log(size + weight - here - prior)
    outside = everywhere - here + prior
    rest = np.maximum(total - size + weight - outside, prior)  # a cluster may be all there is
    return (inside - np.log(outside) + np.log(rest)) / np.sqrt(1 / (here + prior) + 1 / outside)


def template(texts: Sequence[str]) -> Template:
    """Find the common skeleton of texts: the tokens that four in five hold in the same order.

    Up to 32 of the texts are read, evenly spaced. One of the short ones is aligned with each other by
    longest common subsequence; tokens that most alignments share are the skeleton, what lies between is a
    slot. Short stretches that also occur in the fillings beside them are chance ("the", a comma) and
    dropped. Returns "<*>" and rigidity 0 when nothing is common.
    """
    kept = [text for text in (texts[row] for row in _even(np.arange(len(texts)), 32)) if text.strip()]
    if not kept:
        return Template("", (), 0.0)
    parsed = sorted((_parse(text) for text in kept), key=lambda text: len(text.tokens))
    shares = [0.1, 0.5] if len(parsed) > 2 else [0.0]
    return max((_common(parsed, int(share * len(parsed))) for share in shares), key=lambda t: t.rigidity)


class _Parsed(NamedTuple):
    """A text, its tokens, and where each begins and ends in it."""

    text: str
    tokens: list[str]
    spans: list[tuple[int, int]]


def _parse(text: str) -> _Parsed:
    found = list(_TOKEN.finditer(text))
    if len(found) > _LONGEST:
        found = found[: _LONGEST // 2] + found[-_LONGEST // 2 :]
    return _Parsed(text, [match.group() for match in found], [match.span() for match in found])


def _common(parsed: list[_Parsed], reference: int) -> Template:
    """Build the template that one of the texts gives."""
    base = parsed[reference]
    hits = np.zeros(len(base.tokens))
    for other in parsed:
        hits[[one for one, _ in _align(base.tokens, other.tokens)]] += 1
    keep = np.flatnonzero(hits >= max(_EVERY * len(parsed), 1)).tolist()
    keep = _without_chance(keep, base, parsed)
    return _write(keep, base, parsed)


def _align(one: list[str], other: list[str]) -> list[tuple[int, int]]:
    """Return a longest common subsequence as pairs of positions, in order."""
    from rapidfuzz.distance import LCSseq

    return [
        (same.src_start + step, same.dest_start + step)
        for same in LCSseq.opcodes(one, other)
        if same.tag == "equal"
        for step in range(same.src_end - same.src_start)
    ]


def _fillings(keep: list[int], base: _Parsed, text: _Parsed) -> list[list[int]]:
    """Return the tokens of a text that lie before, between and after the kept tokens of the base."""
    gaps: list[list[int]] = [[] for _ in range(len(keep) + 1)]
    pairs = {j: i for i, j in _align([base.tokens[at] for at in keep], text.tokens)}
    gap = 0
    for at in range(len(text.tokens)):
        if at in pairs:
            gap = pairs[at] + 1
        else:
            gaps[gap].append(at)
    return gaps


def _without_chance(keep: list[int], base: _Parsed, parsed: list[_Parsed]) -> list[int]:
    """Drop short stretches between two slots whose tokens are common in the fillings around them."""
    fillings = [_fillings(keep, base, text) for text in parsed]
    open_gap = [any(gaps[gap] for gaps in fillings) for gap in range(len(keep) + 1)]
    out: list[int] = []
    start = 0
    for at in range(len(keep)):
        if not open_gap[at + 1] and at + 1 < len(keep):
            continue
        run = keep[start : at + 1]
        if len(run) > 2 or not _by_chance(run, (start, at + 1), base, parsed, fillings):
            out += run
        start = at + 1
    return out


def _by_chance(
    run: list[int],
    gaps: tuple[int, int],
    base: _Parsed,
    parsed: list[_Parsed],
    fillings: list[list[list[int]]],
) -> bool:
    """Say whether a short stretch also occurs in the fillings on its sides in a quarter of the texts."""
    words = [base.tokens[at] for at in run]
    around = 0
    for text, held in zip(parsed, fillings, strict=True):
        beside = [[text.tokens[at] for at in held[gap]] for gap in gaps]
        around += any(
            said[at : at + len(words)] == words for said in beside for at in range(len(said) - len(words) + 1)
        )
    return around > len(parsed) / 4


def _write(keep: list[int], base: _Parsed, parsed: list[_Parsed]) -> Template:
    """Write the skeleton with its slots, and collect fillings as they stand in the texts."""
    fillings = [_fillings(keep, base, text) for text in parsed]
    fixed = [
        1 - sum(map(len, gaps)) / len(text.tokens)
        for text, gaps in zip(parsed, fillings, strict=True)
        if text.tokens
    ]
    pieces: list[str] = []
    slots: list[tuple[str, ...]] = []
    for gap in range(len(keep) + 1):
        said = [_span(text, gaps[gap]) for text, gaps in zip(parsed, fillings, strict=True) if gaps[gap]]
        if len(said) > 0.1 * len(parsed):
            slots.append(tuple(dict.fromkeys(said))[:5])
            pieces.append(f" {SLOT} ")
        elif pieces and gap < len(keep):
            pieces.append(base.text[base.spans[keep[gap - 1]][1] : base.spans[keep[gap - 1] + 1][0]])
        if gap < len(keep):
            begin, end = base.spans[keep[gap]]
            pieces.append(base.text[begin:end])
    return Template("".join(pieces).strip(), tuple(slots), float(np.mean(fixed)) if fixed else 0.0)


def _span(text: _Parsed, tokens: list[int]) -> str:
    """Return the stretch of a text from the first to the last of some tokens."""
    return text.text[text.spans[tokens[0]][0] : text.spans[tokens[-1]][1]]
