"""Reading a log: what is refused and how, and what is read nevertheless."""

import traceback
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.errors import InputError, StorageError
from flows.source import BATCH_BYTES, REQUIRED, batches, open_source
from flows.times import DAY

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def table(**columns: Any) -> pa.Table:
    given = {
        "request_id": pa.array(["r1", "r2"]),
        "timestamp": pa.array([NOON, NOON], pa.timestamp("us", "UTC")),
        "account_id": pa.array(["a", "b"]),
        "prompt": pa.array(["one", "two"]),
    } | columns
    return pa.table({name: column for name, column in given.items() if column is not None})


def write(path: Path, **columns: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(**columns), path)
    return str(path)


def read(url: str, *columns: str) -> pl.DataFrame:
    source = open_source(url, {})
    return pl.concat([batch.rows for batch in batches(source, columns or REQUIRED)])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"account_id": None}, "no column 'account_id'; it has request_id, timestamp, prompt"),
        ({"prompt": pa.array([1, 2])}, "column 'prompt' is int64, prompt must be a string"),
        ({"timestamp": pa.array(["2026-06-01", "x"])}, "column 'timestamp' is string"),
        ({"timestamp": pa.array([1, 2])}, "timestamp must be a timestamp"),
        ({"request_id": pa.array([1, 2])}, "request_id must be a string"),
        ({"input_tokens": pa.array(["1", "2"])}, "input_tokens must be an integer"),
        ({"ip": pa.array([1.5, 2.0])}, "ip must be a string"),
        ({"asn": pa.array([1.5, 2.0])}, "asn must be a string or an integer"),
    ],
)
def test_a_missing_or_mistyped_column_is_named_with_what_is_there(
    tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as error:
        open_source(write(tmp_path / "log.parquet", **columns), {})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_no_file_no_parquet_and_no_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("not parquet")
    (tmp_path / "empty").mkdir()
    pq.write_table(table().slice(0, 0), tmp_path / "none.parquet")
    for name, said in [
        ("no.parquet", "no Parquet file"),
        ("empty", "no Parquet file"),
        ("*.pq", "no Parquet"),
    ]:
        with pytest.raises(InputError, match=said):
            open_source(str(tmp_path / name), {})
    with pytest.raises(InputError, match=r"cannot read .*text.parquet as Parquet"):
        open_source(str(tmp_path / "text.parquet"), {})
    with pytest.raises(InputError, match="has no rows"):
        open_source(str(tmp_path / "none.parquet"), {})
    with pytest.raises(InputError, match="cannot open"):
        open_source("nosuchscheme://x/y.parquet", {})


def test_neither_an_error_nor_its_cause_names_an_account(tmp_path: Path) -> None:
    log = write(tmp_path / "log" / f"account_id=alice{'x' * 200}" / "x.parquet", account_id=None)
    source = open_source(str(tmp_path / "log"), {})
    for cause in (lambda: Path(log).write_text("not parquet"), Path(log).unlink):
        cause()
        with pytest.raises(InputError, match=r"cannot read .*/account_id=…/x\.parquet") as caught:
            list(batches(source, ["prompt"]))
        assert "alice" not in "".join(traceback.format_exception(caught.value))


def test_a_folder_is_its_files_and_its_hive_parts_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet")
    write(tmp_path / "date=2026-06-01" / "hour=3" / "b.parquet")
    for other in ("truth/truth.parquet", ".hidden.parquet", "_tmp/date=1/c.parquet"):
        write(tmp_path / other, prompt=None)
    source = open_source(str(tmp_path), {})
    assert [Path(file).name for file in source.files] == ["a.parquet", "b.parquet"]
    assert source.n_rows == 4
    assert open_source(str(tmp_path / "date=*/*/*.parquet"), {}).n_rows == 2


def test_of_a_window_only_the_files_that_can_hold_rows_of_it_are_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    day = timedelta(days=1)
    days = {number: f"date={(NOON + number * day).date()}" for number in (-3, -1, 0, 1, 3)}
    for number, name in days.items():
        at = pa.array([NOON + number * day] * 2, pa.timestamp("us", "UTC"))
        write(tmp_path / name / "a.parquet", timestamp=at)
    midnight = int(NOON.replace(hour=0).timestamp()) * 1_000_000
    window = (midnight, midnight + DAY)
    before = open_source(str(tmp_path), {}, window)
    assert [Path(file).parent.name for file in before.files] == [days[0]]
    assert (before.n_rows, before.n_elsewhere, open_source(str(tmp_path), {}).n_rows) == (2, 8, 10)
    write(tmp_path / days[1] / "b.parquet", timestamp=pa.array([NOON + day] * 2, pa.timestamp("us", "UTC")))
    (tmp_path / days[3] / "a.parquet").write_text("half a file")
    write(tmp_path / days[-3] / "a.parquet", prompt=pa.array([1, 2]), timestamp=pa.array(["", ""]))
    assert open_source(str(tmp_path), {}, window).digests == before.digests
    assert [days[-3] in caplog.text, days[3] in caplog.text] == [True, True]
    assert open_source(str(tmp_path), {}, (midnight + 2 * DAY, midnight + 3 * DAY)).files == ()
    for faulty in ((midnight + 2 * DAY, midnight + 3 * DAY + 1), (midnight + 3 * DAY, None), (None, None)):
        with pytest.raises(InputError, match="date=2026-0"):
            open_source(str(tmp_path), {}, faulty)
    (tmp_path / "torn" / days[3]).mkdir(parents=True)
    (tmp_path / "torn" / days[3] / "a.parquet").write_text("half a file")
    with pytest.raises(InputError, match=r"no rows: 1 .* 1 at fault and of other days, the rest empty"):
        open_source(str(tmp_path / "torn"), {}, window)
    write(tmp_path / days[1] / "c.parquet", timestamp=pa.array([NOON] * 2, pa.timestamp("us", "UTC")))
    assert open_source(str(tmp_path), {}, window).n_rows == 4  # by its times, whatever day its folder says


def test_a_folder_that_a_glob_matches_is_read_as_a_part_when_it_is_called_key_value(tmp_path: Path) -> None:
    write(tmp_path / "date=2026-06-01" / "a.parquet")
    write(tmp_path / "b.parquet")
    write(tmp_path / "truth" / "truth.parquet", prompt=None)
    for glob, n_rows in (("date=*", 2), ("*", 4), ("**", 6)):
        if glob == "**":  # any file that it names, as before, and none twice
            write(tmp_path / "truth" / "truth.parquet")
        assert open_source(str(tmp_path / glob), {}).n_rows == n_rows


@pytest.mark.parametrize("url", ["", "engine=*", "*/*/*.parquet"])
def test_what_the_folders_of_a_dataset_say_stands_for_columns_that_its_files_lack(
    tmp_path: Path, url: str
) -> None:
    write(tmp_path / "engine=a%2Fb" / "status=429" / "1.parquet")
    write(tmp_path / "engine=__HIVE_DEFAULT_PARTITION__" / "status=200" / "2.parquet")
    write(tmp_path / "engine=c" / "status=200" / "3.parquet", status=pa.array([1, None]))
    source = open_source(str(tmp_path / url), {"model": "engine"})
    assert source.optional == ("model", "status")
    rows = pl.concat([batch.rows for batch in batches(source, ["model", "status"])])
    found = sorted(rows.iter_rows(), key=str)
    assert found == [("a/b", 429), ("a/b", 429), ("c", 1), ("c", None), (None, 200), (None, 200)]
    below = open_source(str(tmp_path / "engine=c"), {})
    assert (below.optional, below.digests[0] in source.digests) == (("status",), False)


def test_a_folder_that_gives_a_column_no_value_of_its_type_is_named(tmp_path: Path) -> None:
    write(tmp_path / "status=ok" / "1.parquet")
    with pytest.raises(InputError, match="its folder's 'status' must be an integer, and is 'ok'"):
        open_source(str(tmp_path), {})
    write(tmp_path / "far" / f"status={10**20}" / "1.parquet")
    with pytest.raises(InputError, match="'status' must be an integer of 64 bits, and is 10"):
        open_source(str(tmp_path / "far"), {})


@pytest.mark.parametrize("column", ["account_id", "user"])
def test_what_folders_say_of_accounts_is_in_no_message(tmp_path: Path, column: str) -> None:
    bad = Path(write(tmp_path / "date=1" / f"{column}=alice%40example.com" / "1.parquet", prompt=None))
    for _ in range(2):
        with pytest.raises(InputError, match=f"/date=1/{column}=…/1.parquet") as error:
            open_source(str(tmp_path), {"account_id": column})
        assert "alice" not in str(error.value)
        bad.write_bytes(b"PAR1")


def test_any_filesystem_that_fsspec_knows_is_read() -> None:
    with fsspec.open("memory://logs/part.parquet", "wb") as file:
        pq.write_table(table(), file)
    assert read("memory://logs", "prompt")["prompt"].to_list() == ["one", "two"]


def test_an_error_that_is_a_stores_own_is_one_line() -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    class Locked(MemoryFileSystem):
        protocol = "locked"

        def isdir(self, path: str) -> bool:
            raise type("NoCredentialsError", (Exception,), {})("Unable to locate credentials\nat all")

    fsspec.register_implementation("locked", Locked)
    with pytest.raises(InputError, match=r"^cannot open locked://logs: Unable to locate credentials$"):
        open_source("locked://logs", {})


@pytest.mark.parametrize("error", [TimeoutError(110, "timed out"), ConnectionResetError(), OSError(5, "EIO")])
def test_a_store_that_does_not_answer_may_answer_later(
    error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    def away(*_: object, **__: object) -> None:
        raise error

    with fsspec.open("memory://logs/part.parquet", "wb") as file:
        pq.write_table(table(), file)
    source = open_source("memory://logs", {})
    monkeypatch.setattr(MemoryFileSystem, "_open", away)
    with pytest.raises(StorageError, match=r"the log's store does not answer"):
        list(batches(source, ["prompt"]))
    monkeypatch.setattr(MemoryFileSystem, "isdir", away)
    with pytest.raises(StorageError, match=r"the log's store does not answer"):
        open_source("memory://logs", {})


def test_columns_are_mapped_and_a_mapped_column_must_be_there(tmp_path: Path) -> None:
    log = write(tmp_path / "log.parquet", prompt=None, text=pa.array(["x", "y"]))
    source = open_source(log, {"prompt": "text"})
    assert [batch.rows["prompt"].to_list() for batch in batches(source, ["prompt"])] == [["x", "y"]]
    with pytest.raises(InputError, match=r"'words' \(the setting columns maps prompt to it\)"):
        open_source(log, {"prompt": "words"})


def test_naive_zoned_and_coarse_times_are_one_time(tmp_path: Path) -> None:
    east = timezone(timedelta(hours=2))
    write(tmp_path / "1.parquet", timestamp=pa.array([datetime(2026, 6, 1, 12)] * 2, pa.timestamp("ns")))
    zoned = [datetime(2026, 6, 1, 14, tzinfo=east)] * 2
    write(tmp_path / "2.parquet", timestamp=pa.array(zoned, pa.timestamp("ms", "Europe/Berlin")))
    write(tmp_path / "3.parquet", timestamp=pa.array([NOON] * 2, pa.timestamp("s", "UTC")))
    micro = int(NOON.timestamp()) * 1_000_000
    assert read(str(tmp_path), "timestamp")["timestamp"].unique().to_list() == [micro]


def test_times_that_no_calendar_reaches_are_null(tmp_path: Path) -> None:
    far = pa.array([2**60, 1], pa.int64()).cast(pa.timestamp("ms", "UTC"))
    log = write(tmp_path / "log.parquet", timestamp=far)
    assert read(log, "timestamp")["timestamp"].to_list() == [None, 1_000]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_zero_of_clocks_is_no_time(tmp_path: Path, unit: str) -> None:
    log = write(tmp_path / "log.parquet", timestamp=pa.array([0, 10**9], pa.timestamp(unit)))
    assert read(log, "timestamp")["timestamp"].is_null().to_list() == [True, False]


def test_bytes_that_are_no_utf8_are_replaced_and_nul_is_kept(tmp_path: Path) -> None:
    raw = pa.array([b"a\xff\xfeb", b"nul\0x"], pa.binary())
    for kind in (raw, raw.view(pa.string())):
        log = write(tmp_path / "log.parquet", prompt=kind)
        assert read(log, "prompt")["prompt"].to_list() == ["a��b", "nul\0x"]


def test_names_that_differ_in_bytes_that_are_no_utf8_are_different(tmp_path: Path) -> None:
    raw = pa.array(["josé".encode("latin-1"), "josè".encode("latin-1")], pa.binary()).view(pa.string())
    log = write(tmp_path / "log.parquet", account_id=raw)
    assert read(log, "account_id")["account_id"].to_list() == ["jos\\xe9", "jos\\xe8"]


def test_dictionaries_large_strings_views_and_odd_integers_are_read(tmp_path: Path) -> None:
    log = write(
        tmp_path / "log.parquet",
        account_id=pa.array(["a", "b"]).dictionary_encode(),
        prompt=pa.array(["x", "y"], pa.large_string()),
        request_id=pa.array(["r", "s"], pa.string_view()),
        asn=pa.array([7, None], pa.uint32()),
        status=pa.array([200, 429], pa.int16()),
        ip=pa.nulls(2),
        input_tokens=pa.array([-(2**63), 8]),
    )
    rows = read(log, *REQUIRED, "asn", "status", "ip", "input_tokens")
    assert rows["input_tokens"].to_list() == [None, 8]
    assert rows["account_id"].to_list() == ["a", "b"]
    assert rows["asn"].to_list() == ["7", None]
    assert rows["status"].to_list() == [200, 429]
    assert rows["ip"].to_list() == [None, None]


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_long_text_that_a_file_holds_once_for_all_rows_comes_in_batches_that_fit(
    tmp_path: Path, kind: pa.DataType
) -> None:
    n = 3_000
    names, times = pa.array([f"r{i}" for i in range(n)]), pa.array([NOON] * n, pa.timestamp("us", "UTC"))
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), ["x" * 80_000]).cast(kind)
    log = write(tmp_path / "log.parquet", request_id=names, timestamp=times, account_id=names, prompt=texts)
    found = batches(open_source(log, {}), REQUIRED)
    sizes = [int(batch.rows["prompt"].str.len_bytes().sum()) for batch in found]
    assert sum(sizes) == n * 80_000
    assert max(sizes) < 1.5 * BATCH_BYTES


def test_a_column_that_only_some_files_have_is_null_in_the_others(tmp_path: Path) -> None:
    write(tmp_path / "1.parquet")
    write(tmp_path / "2.parquet", ip=pa.array(["10.0.0.1", None]))
    assert read(str(tmp_path), "ip")["ip"].to_list() == [None, None, "10.0.0.1", None]


def test_an_empty_text_is_no_organisation_and_no_address(tmp_path: Path) -> None:
    log = write(tmp_path / "log.parquet", org_id=pa.array(["", "o1"]), ip=pa.array(["", ""]))
    assert read(log, "org_id", "ip").rows() == [(None, None), ("o1", None)]


def test_a_mapped_column_may_be_missing_in_some_files_and_not_in_all(tmp_path: Path) -> None:
    write(tmp_path / "1.parquet")
    write(tmp_path / "2.parquet", client=pa.array(["10.0.0.1", None]))
    found = batches(open_source(str(tmp_path), {"ip": "client"}), [*REQUIRED, "ip"])
    assert [batch.rows["ip"].to_list() for batch in found] == [[None, None], ["10.0.0.1", None]]
    with pytest.raises(InputError, match=r"has column 'address' \(the setting columns maps ip to it\)"):
        open_source(str(tmp_path), {"ip": "address"})


def test_row_groups_outside_the_window_are_not_read(tmp_path: Path) -> None:
    days = pa.array([NOON + timedelta(days=i) for i in range(4)], pa.timestamp("us", "UTC"))
    names = [str(i) for i in range(4)]
    log = pa.table({"request_id": names, "timestamp": days, "account_id": names, "prompt": names})
    pq.write_table(log, tmp_path / "log.parquet", row_group_size=1)
    start = int((NOON + timedelta(days=2)).timestamp()) * 1_000_000
    found = list(batches(open_source(str(tmp_path), {}), REQUIRED, (start, start + 1)))
    assert [batch.rows.width for batch in found] == [0, 0, 4, 0]
    assert [batch.rows.height for batch in found] == [1, 1, 1, 1]


def test_the_digest_is_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    one, other = write(tmp_path / "x" / "1.parquet"), write(tmp_path / "y" / "2.parquet")
    third = write(tmp_path / "z.parquet", prompt=pa.array(["one", "tw0"]))
    digests = [open_source(log, {}).digests for log in (one, other, third)]
    assert digests[0] == digests[1] != digests[2]


def test_an_interrupt_is_not_taken_for_a_missing_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = write(tmp_path / "log.parquet")

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for asked in ("info", "isfile"):
        monkeypatch.setattr(fsspec.get_filesystem_class("file"), asked, stopped)
    with pytest.raises(KeyboardInterrupt):
        open_source(log, {})
