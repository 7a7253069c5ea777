"""Sampling against slow, plain versions: which rows are kept, how many an account has in the whole window."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from flows.sample import Sampled, SampleSettings, SetAside, digests, held_out, sample
from flows.source import open_source
from flows.times import moment

START = datetime(2026, 6, 1, tzinfo=UTC)
Rows = list[dict[str, Any]]


def log(n: int = 400, seed: int = 0) -> Rows:
    """Make n rows of 12 accounts, a few of them heavy, with repeated texts, over three days."""
    rng = np.random.default_rng(seed)
    account = np.minimum(rng.geometric(0.2, n), 12)
    return [
        {
            "request_id": f"r{i:04}",
            "timestamp": START + timedelta(seconds=int(rng.integers(3 * 86_400))),
            "account_id": f"a{account[i]}",
            "prompt": f"text {rng.integers(n)}",
            "org_id": f"o{rng.integers(3)}",
        }
        for i in range(n)
    ]


def take(rows: Rows, folder: Path, window: Any = (None, None), seed: int = 0, **settings: int) -> Sampled:
    folder.mkdir(parents=True, exist_ok=True)
    types = {"timestamp": pl.Datetime("us", "UTC")}
    pl.DataFrame(rows, schema_overrides=types).write_parquet(folder / "log.parquet")
    source = open_source(str(folder), {})
    return sample(source, window, SampleSettings(**settings), seed, folder / "spool")


def micro(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def plain_keep(rows: Rows, cap: int, budget: int, seed: int) -> dict[str, float]:
    """Return request_id -> weight, by loops and dictionaries."""

    def number(row: dict[str, Any]) -> tuple[int, int]:
        key = f"hydrascope sample {seed}".encode()
        digest = blake2b(row["request_id"].encode(), key=key, digest_size=16).digest()
        return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")

    accounts = defaultdict(list)
    for row in rows:
        accounts[row["account_id"]].append(row)
    capped = [row for own in accounts.values() for row in sorted(own, key=number)[:cap]]
    kept = sorted(capped, key=lambda row: number(row)[1])[:budget]
    thinned = len(capped) / len(kept)
    return {r["request_id"]: max(len(accounts[r["account_id"]]) / cap, 1) * thinned for r in kept}


@pytest.mark.parametrize(("cap", "budget"), [(1000, 1000), (20, 1000), (1000, 50), (10, 60), (1, 1)])
def test_cap_and_budget_keep_what_a_plain_loop_keeps(tmp_path: Path, cap: int, budget: int) -> None:
    rows = log()
    taken = take(rows, tmp_path, seed=3, cap=cap, budget=budget)
    expected = plain_keep(rows, cap, budget, 3)
    assert dict(taken.rows.select("request_id", "weight").iter_rows()) == pytest.approx(expected)
    assert taken.rows.height + sum(taken.set_aside.values()) == taken.n_in == len(rows)


def test_weights_undo_the_sampling(tmp_path: Path) -> None:
    taken = take(log(4000), tmp_path, cap=100, budget=600)
    assert taken.rows["weight"].sum() == pytest.approx(4000, rel=0.15)


def test_totals_of_accounts_are_over_the_whole_window(tmp_path: Path) -> None:
    rows = log()
    taken = take(rows, tmp_path, cap=3, budget=20)
    found = {account["account_id"]: account for account in taken.accounts.to_dicts()}
    assert sorted(found) == sorted({row["account_id"] for row in rows})
    kept = Counter(taken.rows["account_id"])
    for name, account in found.items():
        own = [row for row in rows if row["account_id"] == name]
        orgs = Counter(row["org_id"] for row in own)
        most = max(orgs.values())
        assert account["n_total"] == len(own)
        assert account["n_sampled"] == kept[name]
        assert account["org_id"] == min(org for org, n in orgs.items() if n == most)


def test_texts_are_numbered_and_joined_again(tmp_path: Path) -> None:
    rows = log()
    taken = take(rows, tmp_path)
    said = dict(zip(taken.rows["request_id"], taken.texts["text"].gather(taken.rows["text"]), strict=True))
    assert said == {row["request_id"]: row["prompt"] for row in rows}
    assert taken.texts["count"].to_list() == taken.rows["text"].value_counts().sort("text")["count"].to_list()


def test_every_unusable_row_is_counted_by_its_reason(tmp_path: Path) -> None:
    rows = log(50)
    changes: list[dict[str, str | None]] = [
        *({"timestamp": None}, {"request_id": None}, {"request_id": ""}, {"account_id": ""}),
        *({"account_id": None}, {"prompt": None}, {"prompt": " \n"}),
        *({"request_id": "r0049"}, {"request_id": "r0049"}),
    ]
    for i, change in enumerate(changes):
        rows[i] |= change
    taken = take(rows, tmp_path)
    assert taken.set_aside == {
        SetAside.UNREADABLE_TIME: 1,
        SetAside.NO_REQUEST_ID: 2,
        SetAside.NO_ACCOUNT: 2,
        SetAside.EMPTY_PROMPT: 2,
        SetAside.REPEATED_REQUEST_ID: 2,
    }
    same = [row for row in rows if row["request_id"] == "r0049"]
    first = min(same, key=lambda row: row["timestamp"])
    kept = taken.rows.filter(pl.col("request_id") == "r0049")
    assert kept["timestamp"].to_list() == [first["timestamp"]]


def test_the_sample_does_not_depend_on_how_the_log_is_cut_into_files(tmp_path: Path) -> None:
    rows = log()
    rows[7]["request_id"] = rows[300]["request_id"]
    whole = take(rows, tmp_path / "whole", cap=10, budget=70)
    parts = tmp_path / "parts"
    parts.mkdir()
    for i in range(4):
        some = pl.DataFrame(rows[300 - 100 * i : 400 - 100 * i])
        some.sample(fraction=1, shuffle=True, seed=i).write_parquet(parts / f"{i}.parquet", row_group_size=17)
    other = sample(
        open_source(str(parts), {}), (None, None), SampleSettings(cap=10, budget=70), 0, parts / "s"
    )
    for one, two in ((whole.rows, other.rows), (whole.accounts, other.accounts), (whole.texts, other.texts)):
        assert one.equals(two)
    assert whole.set_aside == other.set_aside


def test_rows_outside_the_window_are_counted_and_not_set_aside(tmp_path: Path) -> None:
    rows = log()
    start, end = START + timedelta(days=1), START + timedelta(days=2)
    inside = [row for row in rows if start <= row["timestamp"] < end]
    taken = take(rows, tmp_path, (micro(start), micro(end)))
    assert sorted(taken.rows["request_id"]) == sorted(row["request_id"] for row in inside)
    assert (taken.n_in, taken.outside) == (len(inside), len(rows) - len(inside))
    assert (taken.start, taken.end) == (micro(start), micro(end))


def test_texts_are_read_from_the_row_groups_of_the_window_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = sorted(log(), key=lambda row: row["timestamp"])
    pl.DataFrame(rows).write_parquet(tmp_path / "log.parquet", row_group_size=10)
    read: list[int] = []
    real = pq.ParquetFile.iter_batches

    def counted(file: pq.ParquetFile, *how: Any, row_groups: list[int], **more: Any) -> Any:
        read.extend(row_groups)
        return real(file, *how, row_groups=row_groups, **more)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    window = tuple(micro(rows[i]["timestamp"]) for i in (200, 210))
    source = open_source(str(tmp_path / "log.parquet"), {})
    taken = sample(source, window, SampleSettings(), 0, tmp_path / "spool")
    assert taken.rows.height == 10
    assert read == [20, 20]


def test_an_open_window_is_the_days_of_the_log(tmp_path: Path) -> None:
    rows = log()
    taken = take(rows, tmp_path)
    assert (taken.start, taken.end) == (micro(START), micro(START + timedelta(days=3)))
    late = take(rows, tmp_path, (micro(START + timedelta(days=1, hours=5)), None))
    assert (late.start, late.end) == (
        micro(START + timedelta(days=1, hours=5)),
        micro(START + timedelta(days=3)),
    )


def test_rows_that_are_set_aside_are_of_the_window(tmp_path: Path) -> None:
    rows = [row | {"prompt": ""} for row in log()]
    rows[0]["timestamp"] = datetime(1970, 1, 1, tzinfo=UTC)
    taken = take(rows, tmp_path)
    assert (taken.start, taken.end) == (micro(START), micro(START + timedelta(days=3)))
    assert taken.set_aside == {SetAside.UNREADABLE_TIME: 1, SetAside.EMPTY_PROMPT: 399}


@pytest.mark.parametrize(("year", "bounds"), [(1969, (0, None)), (2020, (None, 1))])
def test_a_window_of_one_bound_and_no_rows_is_the_day_at_that_bound(
    tmp_path: Path, year: int, bounds: Any
) -> None:
    day = datetime(year, 5, 1, tzinfo=UTC)
    given = tuple(None if n is None else micro(day + timedelta(days=n)) for n in bounds)
    unknown = [row | {"timestamp": None} for row in log(9)]
    taken = take(unknown, tmp_path, given)
    assert (moment(taken.start), moment(taken.end)) == (day, day + timedelta(days=1))


def test_the_last_day_of_the_calendar_is_no_time_for_want_of_a_next_one(tmp_path: Path) -> None:
    rows = log()
    rows[0]["timestamp"] = datetime(9999, 12, 31, tzinfo=UTC)
    rows[1]["timestamp"] = datetime(9999, 12, 30, 23, 59, 59, tzinfo=UTC)
    taken = take(rows, tmp_path)
    assert taken.set_aside == {SetAside.UNREADABLE_TIME: 1}
    assert moment(taken.end) == datetime(9999, 12, 31, tzinfo=UTC)


def test_a_window_without_rows_gives_empty_frames(tmp_path: Path) -> None:
    taken = take(log(), tmp_path, (micro(START - timedelta(days=9)), micro(START - timedelta(days=8))))
    assert (taken.rows.height, taken.accounts.height, taken.texts.height, taken.n_in) == (0, 0, 0, 0)
    assert taken.outside == 400


def test_digests_are_the_same_on_any_machine_and_in_any_process() -> None:
    assert digests(["r1"], "key").tolist() == [[14242131473921783373, 5381628977647943621]]
    assert 4800 < held_out([str(i) for i in range(10_000)], 0).sum() < 5200
    assert (held_out(["a", "b", "c", "d"] * 9, 0) != held_out(["a", "b", "c", "d"] * 9, 1)).any()


def test_a_request_that_begins_with_the_one_before_it_goes_on_from_it(tmp_path: Path) -> None:
    first, other = "What is the capital of France?", "How tall is the Eiffel Tower in Paris?"
    asked = [  # account, minute, prompt, whether it goes on
        ("a", 0, first, False),
        ("a", 2, f"{first} Paris. And of Spain?", True),
        ("b", 3, f"{first} Paris. And of Spain?", False),
        ("a", 5, other, False),
        ("a", 6, other, True),
        ("a", 90, f"{other} It is 330 m.", False),
        ("c", 0, "Hello!", False),
        ("c", 1, "Hello! How are you?", False),
    ]
    log = pl.DataFrame(
        {
            "request_id": [f"r{i}" for i in range(len(asked))],
            "account_id": [account for account, *_ in asked],
            "timestamp": [START + timedelta(minutes=minute) for _, minute, *_ in asked],
            "prompt": [prompt for _, _, prompt, _ in asked],
        }
    )
    log.sample(fraction=1, shuffle=True, seed=0).write_parquet(tmp_path / "log.parquet")
    source = open_source(str(tmp_path), {})
    rows = sample(source, (None, None), SampleSettings(), 0, tmp_path / "spool").rows
    found = dict(rows.select("request_id", "goes_on").iter_rows())
    assert [found[f"r{i}"] for i in range(len(asked))] == [goes_on for *_, goes_on in asked]


@pytest.mark.parametrize(("distinct", "budget"), [(24_000, 200), (9, 24_000)])
def test_a_large_log_is_sampled_in_little_memory(tmp_path: Path, distinct: int, budget: int) -> None:
    """A log of 540 MB in a process that may take 300 on top of its libraries; 250 to 275 were seen."""
    for i in range(0, 24_000, 4_000):
        pl.DataFrame({"n": range(i, i + 4_000)}).select(
            request_id=pl.format("r{}", "n"),
            timestamp=pl.lit(START).cast(pl.Datetime("us", "UTC")),
            account_id=pl.format("a{}", pl.col("n") % 50),
            prompt=pl.format("{} {}", pl.col("n") % distinct, pl.lit("words " * 3_750)),
        ).write_parquet(tmp_path / f"{i}.parquet", row_group_size=1_000)
    assert megabytes(tmp_path, budget, 24_000) < 300


def test_many_short_rows_are_sampled_in_little_memory(tmp_path: Path) -> None:
    """A million rows, of which the digests alone are held, one column at a time."""
    for i in range(0, 1_000_000, 250_000):
        pl.DataFrame({"n": range(i, i + 250_000)}).select(
            request_id=pl.format("r{}", "n"),
            timestamp=pl.lit(START).cast(pl.Datetime("us", "UTC")),
            account_id=pl.format("a{}", pl.col("n") % 50_000),
            prompt=pl.format("text {}", "n"),
        ).write_parquet(tmp_path / f"{i}.parquet", row_group_size=50_000)
    assert megabytes(tmp_path, 1_000, 1_000_000) < 330


def megabytes(folder: Path, budget: int, n_in: int) -> int:
    """Return what sampling a log takes in a process of its own, on top of its libraries."""
    import subprocess
    import sys

    if not Path("/proc/self/status").exists():  # what getrusage tells counts the process that started it
        pytest.skip("only Linux tells the peak of a process alone")
    code = f"""
import re
from pathlib import Path
from flows.sample import SampleSettings, sample
from flows.source import open_source
peak = lambda: int(re.search("VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
folder = Path({str(folder)!r})
settings = SampleSettings(budget={budget})
taken = sample(open_source(str(folder), {{}}), (None, None), settings, 0, folder / "spool")
assert taken.rows.height == {budget} and taken.n_in == {n_in}
print((peak() - before) // 1024)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(ran.stdout)
