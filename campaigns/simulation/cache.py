"""A per-tenant prefix cache: what a provider would have served from memory."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from campaigns.simulation.pack import Floats, Ints

SMALLEST = 1024  # tokens that a prefix must have to be kept
BLOCK = 128  # tokens that a longer prefix grows by
TTL = 300.0  # seconds that a prefix is kept after its last use
MOST_BLOCKS = 64
AT_ONCE = 1 << 13  # long texts that are cut at a time: all of them would not fit in memory twice


def cached_tokens(texts: pl.Series, number: Ints, size: Ints, tenant: Ints, time: Floats) -> Ints:
    """Return the tokens of each row's prompt that its tenant's cache holds, (n,), rows in order of time.

    The longest prefix common with a prompt of the same tenant in the last five minutes, from 1,024 tokens
    on in steps of 128. number (n,) place in `texts`, size (n,) tokens, tenant (n,), time (n,) seconds.
    """
    out = np.zeros(len(number), np.int64)
    rows = np.flatnonzero(size >= SMALLEST)
    if not len(rows):
        return out
    distinct, first, place = np.unique(number[rows], return_index=True, return_inverse=True)
    long, tokens = texts.gather(distinct), size[rows][first]
    chars = long.str.len_chars().to_numpy() / np.maximum(tokens, 1)
    for block in range(MOST_BLOCKS):
        length = SMALLEST + block * BLOCK
        here = np.flatnonzero(size[rows] >= length)
        if not len(here):
            break
        code = _prefixes(long, np.ceil(length * chars).astype(np.int64), np.flatnonzero(tokens >= length))
        frame = pl.DataFrame(
            {"key": code[place[here]], "tenant": tenant[rows[here]], "time": time[rows[here]]}
        )
        since = frame.select(
            (pl.col("time") - pl.col("time").shift(1).over("key", "tenant")).fill_null(np.inf)
        )
        out[rows[here]] = np.where(since.to_series().to_numpy() <= TTL, length, out[rows[here]])
    return out


def _prefixes(texts: pl.Series, cut: Ints, which: Ints) -> NDArray[np.uint64]:
    """Return (n,) hashes of the first `cut` characters of some texts, 0 for the others; a part at a time."""
    code = np.zeros(texts.len(), np.uint64)
    for at in range(0, len(which), AT_ONCE):
        some = which[at : at + AT_ONCE]
        frame = pl.DataFrame({"text": texts.gather(some), "cut": cut[some]})
        code[some] = frame.select(pl.col("text").str.slice(0, pl.col("cut")).hash()).to_series().to_numpy()
    return code
