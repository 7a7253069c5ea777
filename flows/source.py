"""What is in the prompt log: its columns, and batches of rows under our names."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import fsspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.errors import InputError
from flows.files import Fixed, digests_of, find_files, is_local, keys_of, open_parquet, shown, unreadable
from flows.times import DAY, EARLIEST, LATEST, Window, microseconds

logger = logging.getLogger(__name__)

REQUIRED = ("request_id", "timestamp", "account_id", "prompt")
TEXT_COLUMNS = (
    "org_id", "session_id", "ip", "asn", "country", "user_agent", "tls_fingerprint",
    "model", "endpoint", "plan", "output_hash",
)  # fmt: skip
COUNT_COLUMNS = ("input_tokens", "cached_tokens", "output_tokens", "status")
TIME_COLUMNS = ("account_created",)
OPTIONAL = TEXT_COLUMNS + COUNT_COLUMNS + TIME_COLUMNS
BATCH_BYTES = 64_000_000
PIECE_ROWS, BATCH_PIECES = 1_024, 16  # rows decoded at a time: what lies there once may stand for all of them
_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}


@dataclass(frozen=True)
class Source:
    """The files of a log that can hold rows of a window, in order of path, and how its columns are called.

    digests are of the files' content, so a moved log is the same log. columns maps the names of the contract
    to the log's, for those columns that at least one file has. constants are, for each file, the values of
    columns that its key=value folders give it. n_elsewhere: rows of files that hold none of the window.
    """

    url: str
    files: tuple[str, ...]
    n_rows: int
    digests: tuple[str, ...]
    columns: Mapping[str, str]
    constants: tuple[Fixed, ...] = ()
    n_elsewhere: int = 0

    @property
    def optional(self) -> tuple[str, ...]:
        """The optional columns that the log has."""
        return tuple(name for name in OPTIONAL if name in self.columns)


class Batch(NamedTuple):
    """Rows of one file under the contract's names; first is the number in the file of the first of them."""

    file: int
    first: int
    rows: pl.DataFrame


def open_source(url: str, names: Mapping[Any, str], window: Window = (None, None)) -> Source:
    """Find and check the files of a log; `names` maps contract names to the log's where they differ.

    Files that by their own statistics hold no row of the window are left out: what other days are written,
    or mended, changes nothing for this one. So is, with a warning, a file at fault in a folder date=… of no
    day of the window (UTC): today's that is still written. Raises InputError, in one line: no such file, not
    Parquet, a missing column, a wrong type, no rows.
    """
    fs, root, files = find_files(url)
    present: dict[str, str] = {}
    kept: list[str] = []
    constants = []
    n_rows = n_elsewhere = 0
    for path in files:
        keys = keys_of(path, root)
        try:
            parquet = open_parquet(fs, path, names)
            if _elsewhere(parquet, names.get("timestamp", "timestamp"), window):
                n_elsewhere += parquet.metadata.num_rows
                continue
            found, fixed = _check_columns(shown(path, names), parquet.schema_arrow, names, keys)
        except InputError as fault:
            if not _of_another_day(keys.get("date"), window):
                raise
            logger.warning("left out, of another day: %s", fault)
            continue
        present |= found
        kept.append(path)
        constants.append(fixed)
        n_rows += parquet.metadata.num_rows
    for column, name in names.items():
        if kept and column not in present:
            raise InputError(f"no file of {url} has {_mapped(column, name)}")
    if not n_rows + n_elsewhere:
        n_faults = len(files) - len(kept)  # what is elsewhere has rows
        why = f"{n_faults} at fault and of other days, the rest empty" if n_faults else "all empty"
        raise InputError(f"{url} has no rows: {len(files)} Parquet file(s), {why}")
    digests = digests_of(fs, kept, constants)
    return Source(url, tuple(kept), n_rows, digests, present, tuple(constants), n_elsewhere)


def _elsewhere(parquet: pq.ParquetFile, time: str, window: Window) -> bool:
    """Tell whether a file has rows, all of them outside the window by its statistics."""
    schema, meta = parquet.schema_arrow, parquet.metadata
    if schema.names.count(time) != 1 or not _fits("timestamp", schema.field(time).type):
        return False  # which is a fault, and said as one
    groups = range(meta.num_row_groups)
    return len(groups) > 0 and all(_outside(meta.row_group(i), schema, time, window) for i in groups)


def _of_another_day(day: str | None, window: Window) -> bool:
    """Tell whether a folder's day, in UTC, has nothing of the window; False for what is no day."""
    try:
        begin = microseconds(datetime.fromisoformat(day or ""))
    except ValueError:
        return False
    start, end = window
    return (end is not None and begin >= end) or (start is not None and begin + DAY <= start)


def check_unchanged(source: Source) -> None:
    """Raise InputError when local files of a log are not what they were when it was opened.

    What a store says of its files may be cached, or tell when they were last read: that is no proof.
    """
    fs, _ = fsspec.core.url_to_fs(source.url)
    try:
        same = not is_local(fs) or digests_of(fs, source.files, source.constants) == source.digests
    except FileNotFoundError:
        same = False
    if not same:
        raise InputError(f"{source.url} changed while it was read: call again when nobody writes to it")


def _check_columns(
    path: str, schema: pa.Schema, names: Mapping[str, str], keys: Mapping[str, str | None]
) -> tuple[dict[str, str], dict[str, str | int | None]]:
    """Return contract name -> name in this file, and -> value where that is its folder's and not in the file.

    Raises InputError for what is missing or of a wrong type.
    """
    present: dict[str, str] = {}
    fixed: dict[str, str | int | None] = {}
    for column in REQUIRED + OPTIONAL:
        name = names.get(column, column)
        if name not in schema.names:
            if name in keys and _dtype(column) == pl.String:
                present[column], fixed[column] = name, keys[name]
            elif name in keys and column in COUNT_COLUMNS:
                present[column], fixed[column] = name, _count(path, name, keys[name])
            elif column in REQUIRED:
                asked = _mapped(column, name) if column in names else f"column {name!r}"
                raise InputError(f"{path} has no {asked}; it has {', '.join(schema.names)}")
            continue
        check_type(path, schema, column, name)
        present[column] = name
    return present, fixed


def check_type(path: str, schema: pa.Schema, column: str, name: str) -> None:
    """Raise InputError when a file's column is there twice, or not of the type that the contract gives it."""
    if schema.names.count(name) > 1:
        raise InputError(f"{path} has more than one column {name!r}")
    kind = schema.field(name).type
    if not _fits(column, kind):
        raise InputError(f"{path}: column {name!r} is {kind}, {column} must be {_expected(column)}")


def _count(path: str, name: str, value: str | None) -> int | None:
    try:
        number = None if value is None else int(value)
    except ValueError:
        raise InputError(f"{path}: its folder's {name!r} must be an integer, and is {value!r}") from None
    if number is not None and not -(2**63) <= number < 2**63:
        raise InputError(f"{path}: its folder's {name!r} must be an integer of 64 bits, and is {value}")
    return number


def _mapped(column: str, name: str) -> str:
    return f"column {name!r} (the setting columns maps {column} to it)"


def _expected(column: str) -> str:
    if column == "timestamp" or column in TIME_COLUMNS:
        return "a timestamp"
    if column in COUNT_COLUMNS:
        return "an integer"
    return "a string or an integer" if column == "asn" else "a string"


def _fits(column: str, kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_null(kind):
        return True
    if column == "timestamp" or column in TIME_COLUMNS:
        return pa.types.is_timestamp(kind)
    if column in COUNT_COLUMNS:
        return pa.types.is_integer(kind)
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
            pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)  # fmt: skip
    return any(check(kind) for check in text) or (column == "asn" and pa.types.is_integer(kind))


def batches(
    source: Source,
    columns: Sequence[str],
    window: Window = (None, None),
    only: Sequence[int] | None = None,
) -> Iterator[Batch]:
    """Yield the rows of a log in order, in batches of bounded size, only `columns` of the contract.

    Text comes as valid UTF-8 (what is not valid is replaced, in names by its number), times as int64
    microseconds UTC with null for what cannot be read, counts as int64. Row groups that lie outside `window`
    (microseconds, end excluded) by their own statistics come as a frame of no columns and as many rows.
    `only` names the files to read.
    """
    fs, _ = fsspec.core.url_to_fs(source.url)
    wanted = range(len(source.files)) if only is None else set(only)
    for number, path in enumerate(source.files):
        if number in wanted:
            yield from _file_batches(open_parquet(fs, path, source.columns), number, source, columns, window)


def _file_batches(
    parquet: pq.ParquetFile,
    number: int,
    source: Source,
    columns: Sequence[str],
    window: Window,
) -> Iterator[Batch]:
    schema, names = parquet.schema_arrow, source.columns
    there = {column: names[column] for column in columns if names.get(column) in schema.names}
    first = 0
    for group in range(parquet.num_row_groups):
        meta = parquet.metadata.row_group(group)
        if _outside(meta, schema, names["timestamp"], window):
            yield Batch(number, first, pl.DataFrame(height=meta.num_rows))
            first += meta.num_rows
            continue
        try:
            for table in _tables(parquet, group, [*there.values()] or [names["timestamp"]]):
                yield Batch(number, first, _frame(table, there, columns, source.constants[number]))
                first += table.num_rows
        except (pa.ArrowException, OSError) as error:
            raise unreadable(source.files[number], names, "to its end", error) from None


def _tables(parquet: pq.ParquetFile, group: int, columns: list[str]) -> Iterator[pa.Table]:
    """Yield a row group in tables of about BATCH_BYTES once decoded, however small the file holds them."""
    meta = parquet.metadata.row_group(group)
    size = max(1, meta.total_byte_size // max(meta.num_rows, 1))
    rows = int(np.clip(BATCH_BYTES // size, 16, PIECE_ROWS))
    pieces, n_bytes = [], 0
    for piece in parquet.iter_batches(rows, row_groups=[group], columns=columns):
        for i, column in enumerate(piece.columns):
            if pa.types.is_dictionary(column.type):
                piece = piece.set_column(i, piece.schema.names[i], column.dictionary_decode())
        pieces.append(piece)
        n_bytes += piece.nbytes
        if n_bytes >= BATCH_BYTES or len(pieces) == BATCH_PIECES:
            yield pa.Table.from_batches(pieces)
            pieces, n_bytes = [], 0
    if pieces:
        yield pa.Table.from_batches(pieces)


def _outside(meta: pq.RowGroupMetaData, schema: pa.Schema, time: str, window: Window) -> bool:
    """Tell whether a row group's statistics place all its rows outside the window."""
    start, end = window
    place = [i for i in range(meta.num_columns) if meta.column(i).path_in_schema == time]
    stats = meta.column(place[0]).statistics if place else None
    if stats is None or not stats.has_min_max or not stats.has_null_count or stats.null_count:
        return False
    kind = schema.field(time).type
    try:
        low, high = (_microseconds(pa.array([value], type=kind))[0] for value in (stats.min, stats.max))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return False
    return (
        low is not None
        and high is not None
        and ((start is not None and high < start) or (end is not None and low >= end))
    )


def _frame(
    table: pa.Table,
    there: Mapping[str, str],
    columns: Sequence[str],
    constants: Fixed,
) -> pl.DataFrame:
    """Put a table under the contract's names and types; a column that this file lacks is constant or null.

    So is a text that is empty: it names no organisation, and no address.
    """
    series = []
    for column in columns:
        if column not in there or pa.types.is_null(table.schema.field(there[column]).type):
            value = constants.get(column)
            series.append(pl.Series(column, [value] * table.num_rows, dtype=_dtype(column)))
            continue
        array = table.column(there[column])
        if column == "timestamp" or column in TIME_COLUMNS:
            series.append(_microseconds(array).alias(column))
        elif column in COUNT_COLUMNS:
            counts = pl.Series(column, pl.from_arrow(array)).cast(pl.Int64, strict=False)
            series.append(counts.set(counts < 0, None))  # writers put them for what they do not know
        elif pa.types.is_integer(array.type):
            series.append(pl.Series(column, pl.from_arrow(array)).cast(pl.String))
        else:
            series.append(pl.Series(column, pl.from_arrow(_text(array, exact=column != "prompt"))))
    texts = [pl.col(column).replace("", None) for column in columns if column in TEXT_COLUMNS]
    return pl.DataFrame(series).with_columns(texts)


def _dtype(column: str) -> type[pl.DataType]:
    numbers = ("timestamp", *TIME_COLUMNS, *COUNT_COLUMNS)
    return pl.Int64 if column in numbers else pl.String


def _text(array: pa.ChunkedArray, *, exact: bool) -> pa.Array | pa.ChunkedArray:
    """Return valid UTF-8: Arrow hands on whatever bytes a writer put into a string column.

    exact: by number what is not, so that names which differ stay different.
    """
    raw = array.cast(pa.large_binary())
    try:
        return raw.cast(pa.large_string())
    except pa.ArrowInvalid:
        errors = "backslashreplace" if exact else "replace"
        mended = [None if v is None else v.decode("utf-8", errors) for v in raw.to_pylist()]
        return pa.array(mended, pa.large_string())


def _microseconds(array: pa.Array | pa.ChunkedArray) -> pl.Series:
    """Return int64 microseconds UTC; null where there is none or no calendar reaches it. Naive is UTC.

    1970-01-01T00:00:00 is none either: it is what writers put for a time that they do not know.
    """
    unit = array.type.unit
    ticks = pl.Series(pl.from_arrow(pc.cast(array, pa.int64())))
    ticks = ticks.set(ticks == 0, None)
    if unit == "ns":
        return ticks // 1_000
    scale = _UNITS[unit]
    kept = ticks.is_between(-(-EARLIEST // scale), LATEST // scale)
    return ticks.set(~kept, None) * scale
