"""From a log of any size to the rows that are looked at, with how many each account has in all of it.

One pass reads the log in batches and spools a narrow row for each request (digests in place of texts); what
is kept is decided on the spool, and a second pass fetches the texts of the kept rows only. Which rows are
kept depends on request ids and the seed, never on how the log is cut into files.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass as plain_dataclass
from datetime import timedelta
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from flows.source import REQUIRED, Batch, Source, batches, check_unchanged
from flows.times import DAY, Window

logger = logging.getLogger(__name__)
SOON = timedelta(hours=1)  # after a request: what begins with it goes on from it
TELLING = 20  # characters of it, for that not to be chance


class SetAside(StrEnum):
    """Why a row of the window was not used."""

    UNREADABLE_TIME = "unreadable_time"
    NO_REQUEST_ID = "no_request_id"
    NO_ACCOUNT = "no_account"
    EMPTY_PROMPT = "empty_prompt"
    REPEATED_REQUEST_ID = "repeated_request_id"
    OVER_CAP = "over_cap"
    OVER_BUDGET = "over_budget"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SampleSettings:
    """How much of the log is looked at."""

    budget: int = Field(default=300_000, ge=1, description="Most requests to look at in a window.")
    cap: int = Field(default=500, ge=1, description="Most requests of one account to look at in a window.")


@plain_dataclass(frozen=True, kw_only=True)
class Sampled:
    """The sample of a window; in = kept + set aside.

    rows, accounts: as the campaign room reads them. texts: text, count (rows that have it), by text number.
    start, end: the window in microseconds, end excluded. outside: rows of the log outside the window.
    """

    rows: pl.DataFrame
    accounts: pl.DataFrame
    texts: pl.DataFrame
    start: int
    end: int
    n_in: int
    outside: int
    set_aside: dict[str, int]


def sample(source: Source, window: Window, settings: SampleSettings, seed: int, spool: Path) -> Sampled:
    """Sample the rows of a window; `spool` is a file that may be written and removed.

    The same rows, settings and seed give the same sample. Raises InputError for a log that cannot be read to
    its end or changes meanwhile. A bound of the window that is None is taken from
    the log: the day of its first row, the end of the day of its last, those set aside among them.
    """
    aside: Counter[str] = Counter()
    days: set[int] = set()
    n_out = _spool(source, window, spool, seed, aside, days)
    start, end = _bounds(days, window)
    spooled = pl.scan_parquet(spool, glob=False).with_row_index("n")
    repeated = _repeated(spooled)
    aside[SetAside.REPEATED_REQUEST_ID] += repeated.len()
    usable = spooled.join(pl.LazyFrame({"n": repeated}), on="n", how="anti")
    totals = usable.group_by("account_id").agg(n_total=pl.len()).collect(engine="streaming")
    kept = _keep(usable, totals, settings, aside)
    accounts = _accounts(usable, totals, kept)
    rows, texts = _fetch(source, window, kept, seed)
    spool.unlink()
    check_unchanged(source)  # or the digest in the manifest is of another log
    n_in = source.n_rows - n_out
    assert n_in == rows.height + sum(aside.values()), "in = kept + set aside"
    logger.info("kept %d of %d rows, %d outside the window", rows.height, n_in, n_out)
    counts = {str(reason): aside[reason] for reason in SetAside if aside[reason]}
    return Sampled(
        rows=rows,
        accounts=accounts,
        texts=texts,
        start=start,
        end=end,
        n_in=n_in,
        outside=n_out + source.n_elsewhere,
        set_aside=counts,
    )


def digests(values: Iterable[str], key: str) -> NDArray[np.uint64]:
    """Return a keyed digest (n, 2) uint64 of each string: BLAKE2b, the same on any machine and version."""
    keyed = blake2b(key=key.encode(), digest_size=16)
    joined = bytearray()
    for value in values:
        one = keyed.copy()
        one.update(value.encode())
        joined += one.digest()
    return np.frombuffer(bytes(joined), dtype="<u8").reshape(-1, 2)


def held_out(request_ids: Iterable[str], seed: int) -> NDArray[np.bool_]:
    """Tell which rows linking must not see: about half, by a digest of their own."""
    return digests(request_ids, f"hydrascope held out {seed}")[:, 0] >> np.uint64(63) == 1


def _spool(
    source: Source, window: Window, spool: Path, seed: int, aside: Counter[str], days: set[int]
) -> int:
    """Write a narrow row for each usable row of the window, count the others; return how many lie outside.

    Adds the days of all rows of the window to `days`, as numbers since 1970.
    """
    outside = 0
    columns = [*REQUIRED, *(["org_id"] if "org_id" in source.optional else [])]
    empty = _narrow(Batch(0, 0, pl.DataFrame(schema=_types(["row", *columns]))), seed)
    with pq.ParquetWriter(spool, empty.to_arrow().schema, compression="zstd") as writer:
        for batch in batches(source, columns, window):
            usable, n_out = _usable(batch, window, aside, days)
            outside += n_out
            if usable.height:
                writer.write_table(_narrow(Batch(batch.file, 0, usable), seed).to_arrow())
    return outside


def _usable(batch: Batch, window: Window, aside: Counter[str], days: set[int]) -> tuple[pl.DataFrame, int]:
    """Return the usable rows of a batch with their numbers, and how many lie outside the window."""
    if not batch.rows.width:
        return pl.DataFrame(), batch.rows.height
    rows = batch.rows.with_row_index("row", offset=batch.first)
    time = pl.col("timestamp")
    start, end = window
    inside = pl.lit(True)
    inside = inside & (time >= start) if start is not None else inside
    inside = inside & (time < end) if end is not None else inside
    checks = {
        SetAside.UNREADABLE_TIME: time.is_null(),
        "outside": ~inside,
        SetAside.NO_REQUEST_ID: pl.col("request_id").fill_null("") == "",
        SetAside.NO_ACCOUNT: pl.col("account_id").fill_null("") == "",
        SetAside.EMPTY_PROMPT: pl.col("prompt").fill_null("").str.strip_chars() == "",
    }
    outside = 0
    for reason, fails in checks.items():
        left = rows.filter(~fails)
        if reason == "outside":
            outside = rows.height - left.height
            days.update((left["timestamp"] // DAY).unique())
        else:
            aside[reason] += rows.height - left.height
        rows = left
    return rows, outside


def _narrow(batch: Batch, seed: int) -> pl.DataFrame:
    """Return what the decisions need of some rows: where they are, digests, account, time, organisation."""
    ids = digests(batch.rows["request_id"], f"hydrascope sample {seed}")
    texts = digests(batch.rows["prompt"], "hydrascope text")
    return batch.rows.select(
        pl.lit(batch.file, dtype=pl.UInt32).alias("file"),
        "row",
        pl.Series("id0", ids[:, 0]),
        pl.Series("id1", ids[:, 1]),
        pl.Series("text", texts[:, 0]),
        pl.exclude("row", "request_id", "prompt"),
    )


def _types(columns: Iterable[str]) -> dict[str, type[pl.DataType]]:
    return {name: _DTYPES.get(name, pl.String) for name in columns}


_DTYPES: dict[str, type[pl.DataType]] = {
    "row": pl.UInt32,
    **dict.fromkeys(
        ("timestamp", "account_created", "input_tokens", "output_tokens", "cached_tokens", "status"), pl.Int64
    ),
}


def _bounds(days: set[int], window: Window) -> tuple[int, int]:
    """Return the window, its open ends taken from its days; without any it is one day, at the bound given."""
    start, end = window
    if not days:
        days = {(end - 1) // DAY if end is not None else (start or 0) // DAY}
    return (
        min(days) * DAY if start is None else start,
        (max(days) + 1) * DAY if end is None else end,
    )


def _repeated(rows: pl.LazyFrame) -> pl.Series:
    """Return the rows (by n) whose request_id an earlier row has: earlier in time, then by content."""
    order = ["id0", "id1", "timestamp", "text", "account_id", "file", "row"]
    again = rows.select("n", *order).join(_twice(rows, "id0"), on="id0", how="semi")
    several = again.collect(engine="streaming").sort(order)
    return several.filter(~pl.struct("id0", "id1").is_first_distinct())["n"]


def _twice(rows: pl.LazyFrame, name: str) -> pl.LazyFrame:
    """Return the values of a column of digests that come more than once, each once, under the same name."""
    digest = _numbers(rows, name)
    digest.sort()
    return pl.LazyFrame({name: np.unique(digest[1:][digest[1:] == digest[:-1]])})


def _numbers(rows: pl.LazyFrame, name: str) -> NDArray[np.uint64]:
    """Return a column of digests (n,) to sort in place: Polars groups them in several times their bytes."""
    return rows.select(name).collect(engine="streaming")[name].to_numpy(writable=True)


def _keep(
    rows: pl.LazyFrame, totals: pl.DataFrame, settings: SampleSettings, aside: Counter[str]
) -> pl.DataFrame:
    """Return file, row, account_id, weight of the rows to keep; totals: account_id, n_total.

    The cap keeps an account's rows of the smallest first digest, the budget those of the smallest second one:
    two digests, or the budget would favour accounts that the cap has thinned.
    """
    heavy = totals.lazy().filter(pl.col("n_total") > settings.cap).select("account_id")
    own = rows.select("account_id", "id0").join(heavy, on="account_id", how="semi").group_by("account_id")
    most = own.agg(most=pl.col("id0").bottom_k(settings.cap).max())
    capped = rows.select("file", "row", "account_id", "id0", "id1").join(most, on="account_id", how="left")
    capped = capped.filter(pl.col("most").is_null() | (pl.col("id0") <= pl.col("most")))
    n_capped = int(totals["n_total"].clip(upper_bound=settings.cap).sum())
    if n_capped > settings.budget:
        second = _numbers(capped, "id1")
        second.partition(settings.budget - 1)
        capped = capped.filter(pl.col("id1") <= second[settings.budget - 1])
    kept = capped.sort("id1", "id0").head(settings.budget).collect(engine="streaming")
    aside[SetAside.OVER_CAP] += int(totals["n_total"].sum()) - n_capped
    aside[SetAside.OVER_BUDGET] += n_capped - kept.height
    thinned = n_capped / max(kept.height, 1)
    weight = pl.max_horizontal(pl.col("n_total") / settings.cap, 1.0) * thinned
    return kept.join(totals, on="account_id").select("file", "row", "account_id", weight=weight)


def _accounts(rows: pl.LazyFrame, totals: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """Return a row an account: n_total, n_sampled, and the org_id of most of its rows if the log has any."""
    sampled = kept.lazy().group_by("account_id").agg(n_sampled=pl.len())
    whole = totals.lazy().join(sampled, on="account_id", how="left")
    whole = whole.with_columns(pl.col("n_sampled").fill_null(0))
    if "org_id" in rows.collect_schema():
        counted = rows.filter(pl.col("org_id").is_not_null()).group_by("account_id", "org_id").len()
        most = pl.col("org_id").sort_by(["len", "org_id"], descending=[True, False]).first()
        whole = whole.join(counted.group_by("account_id").agg(most), on="account_id", how="left")
    return whole.sort("account_id").collect(engine="streaming")


def _fetch(
    source: Source, window: Window, kept: pl.DataFrame, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read the kept rows, in order of time and request_id, and number their distinct texts.

    Each text is held once, however many rows have it.
    """
    columns = [*REQUIRED, *source.optional]
    known: dict[bytes, int] = {}
    by_file = kept.drop("account_id").partition_by("file", as_dict=True)
    types = _types(columns) | {"weight": pl.Float64, "text": pl.UInt32}
    parts = [pl.DataFrame(schema=types).drop("prompt")]
    held = [pl.DataFrame(schema={"prompt": pl.String})]
    for batch in batches(source, columns, window, only=[int(file) for (file,) in by_file]):
        if not batch.rows.width:
            continue
        mine = by_file[(batch.file,)].select("row", "weight")
        numbered = batch.rows.with_row_index("row", offset=batch.first)
        taken = numbered.join(mine, on="row").drop("row")
        new = len(known)
        keys = digests(taken["prompt"], "hydrascope text")
        number = pl.Series([known.setdefault(key.tobytes(), len(known)) for key in keys], dtype=pl.UInt32)
        held.append(_copied(taken.filter((number >= new) & number.is_first_distinct()).select("prompt")))
        parts.append(_copied(taken.drop("prompt").with_columns(text=number)))
    rows = pl.concat(parts).sort("timestamp", "request_id")
    # numbered again as they come in time: which file has a text first is nobody's business
    met = rows.group_by("text", maintain_order=True).agg(count=pl.len())
    texts = pl.concat(held).rename({"prompt": "text"})[met["text"]].with_columns(met["count"])
    numbers = met.select("text").with_row_index("number")
    rows = rows.join(numbers, on="text", how="left", maintain_order="left")
    rows = rows.with_columns(text="number").drop("number")
    times = [name for name in ("timestamp", "account_created") if name in rows.columns]
    rows = rows.with_columns(
        pl.col(times).cast(pl.Datetime("us", "UTC")),
        pl.Series("held_out", held_out(rows["request_id"], seed)),
    )
    return rows.with_columns(_goes_on(rows, texts["text"])), texts


def _goes_on(rows: pl.DataFrame, texts: pl.Series) -> pl.Series:
    """Tell which requests go on from the account's one before: they begin with its text, soon after it.

    So do the turns of a conversation, each sent with all before it, and a prompt that is sent again.
    """
    order = rows.select("account_id", "timestamp", "text").with_row_index("n")
    order = order.sort("account_id", "timestamp", "n")
    before = order.select(pl.col("timestamp", "text").shift(1).over("account_id"))
    soon = (order["timestamp"] - before["timestamp"] <= SOON).fill_null(value=False)
    pairs = list(zip(order["text"].filter(soon), before["text"].filter(soon), strict=True))
    begins = {pair: _begins(texts[pair[0]], texts[pair[1]]) for pair in set(pairs)}  # one text at a time
    goes_on = np.zeros(rows.height, dtype=bool)
    goes_on[order["n"].filter(soon)] = [begins[pair] for pair in pairs]
    return pl.Series("goes_on", goes_on)


def _begins(text: str, before: str) -> bool:
    return len(before) >= TELLING and text.startswith(before)


def _copied(rows: pl.DataFrame) -> pl.DataFrame:
    """Copy rows out of their batch: Polars' strings are views, one kept row would keep all of it."""
    return pl.DataFrame(rows.to_arrow(compat_level=pl.CompatLevel.oldest()))
