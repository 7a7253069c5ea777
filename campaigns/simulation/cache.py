"""A per-tenant prefix cache: what a provider would have served from memory."""

import numpy as np
import polars as pl

from campaigns.simulation.pack import Floats, Ints

SMALLEST = 1024  # tokens that a prefix must have to be kept
BLOCK = 128  # tokens that a longer prefix grows by
TTL = 300.0  # seconds that a prefix is kept after its last use
MOST_BLOCKS = 64


def cached_tokens(texts: pl.Series, number: Ints, size: Ints, tenant: Ints, time: Floats) -> Ints:
    """Return the tokens of each row's prompt that its tenant's cache holds, (n,), rows in order of time.

    The longest prefix common with a prompt of the same tenant in the last five minutes, from 1,024 tokens
    on in steps of 128. number (n,) place in `texts`, size (n,) tokens, tenant (n,), time (n,) seconds.
    """
    out = np.zeros(len(number), np.int64)
    rows = np.flatnonzero(size >= SMALLEST)
    if not len(rows):
        return out
    distinct, place = np.unique(number[rows], return_inverse=True)
    long = texts.gather(distinct)
    chars = long.str.len_chars().to_numpy() / np.maximum(
        size[rows][np.unique(place, return_index=True)[1]], 1
    )
    for block in range(MOST_BLOCKS):
        length = SMALLEST + block * BLOCK
        here = np.flatnonzero(size[rows] >= length)
        if not len(here):
            break
        cut = np.ceil(length * chars).astype(np.int64)
        key = (
            pl.DataFrame({"t": long, "cut": cut}).select(pl.col("t").str.slice(0, pl.col("cut"))).to_series()
        )
        code = key.rank("dense").cast(pl.Int64).to_numpy()[place[here]]
        frame = pl.DataFrame({"key": code, "tenant": tenant[rows[here]], "time": time[rows[here]]})
        since = frame.select(
            (pl.col("time") - pl.col("time").shift(1).over("key", "tenant")).fill_null(np.inf)
        )
        out[rows[here]] = np.where(since.to_series().to_numpy() <= TTL, length, out[rows[here]])
    return out
