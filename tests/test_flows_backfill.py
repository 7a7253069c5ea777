"""Backfill: the days that are missing, oldest first; stopped and continued."""

import json
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from flows.backfill import DAY, missing_days
from flows.errors import InputError
from flows.pipeline import complete, plain
from flows.request import open_run
from flows.settings import DetectSettings
from flows.source import open_source
from tests.tiny import rows, use_tiny_encoder, write

FIRST = 1_780_272_000_000_000  # 2026-06-01
COMMAND = Path(sys.executable).with_name("hydrascope")


def four_days() -> pl.DataFrame:
    days = [
        rows(request_id=[f"{day}-{i}" for i in range(40)]).with_columns(
            timestamp=pl.col("timestamp") + timedelta(days=day)
        )
        for day in range(4)
    ]
    return pl.concat(days)


def call(log: Path, output: Path, *more: str) -> list[str | Path]:
    days = ["--start", "2026-06-01", "--end", "2026-06-05"]
    return [COMMAND, "backfill", log, "--output", output, *days, *more]


def days_of(said: str) -> list[str]:
    return re.findall(r"date=(\S+)/run_id", said)


def continued(said: list[str], again: list[str | Path], output: Path) -> list[str]:
    """Call again after a stop: the rest is done, and only that. Returns all days."""
    days = [f"2026-06-0{day}" for day in range(1, 5)]
    there = list(json.loads((output / "latest.json").read_text())["current"])
    assert said in (there, there[:-1])  # a stop may come between a day's publication and its line
    assert there == days[: len(there)] != days
    rest = subprocess.run(again, capture_output=True, text=True, check=True)
    assert days_of(rest.stdout) == days[len(there) :]
    assert list(json.loads((output / "latest.json").read_text())["current"]) == days
    return days


def test_days_that_have_a_run_of_all_of_them_are_skipped_and_the_others_come_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_encoder(monkeypatch.setattr)
    log, output = str(write(four_days(), tmp_path)), tmp_path / "out"
    for window in ((FIRST + DAY, FIRST + 2 * DAY), (FIRST + 2 * DAY, FIRST + 2 * DAY + DAY // 2)):
        complete(open_run(log, output, DetectSettings(), window), plain())
    found = list(missing_days(output, lambda day: (), FIRST, FIRST + 4 * DAY))
    assert found == [(FIRST + day * DAY, FIRST + (day + 1) * DAY) for day in (0, 2, 3)]


@pytest.mark.parametrize("bounds", [(FIRST + 1, FIRST + DAY), (FIRST, FIRST), (None, FIRST), (FIRST, None)])
def test_bounds_that_are_no_days_in_order_are_refused(tmp_path: Path, bounds: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="are days"):
        list(missing_days(tmp_path, lambda day: (), *bounds))


def test_a_day_without_rows_is_looked_at_again_when_the_log_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_encoder(monkeypatch.setattr)
    unknown = pl.when(pl.int_range(pl.len()) == 0).then(None).otherwise("timestamp").alias("timestamp")
    first = four_days().head(40).with_columns(unknown)  # a time that cannot be read is of no day
    log, output = write(first, tmp_path / "log").parent, tmp_path / "out"
    second = (FIRST + DAY, FIRST + 2 * DAY)
    complete(open_run(str(log), output, DetectSettings(), second), plain())

    def digests(day: tuple[int, int]) -> tuple[str, ...]:
        return open_source(str(log), {}, day).digests

    four_days().slice(80, 40).write_parquet(log / "other.parquet")  # of the third day
    assert list(missing_days(output, digests, *second)) == []
    four_days().slice(40, 40).write_parquet(log / "late.parquet")
    assert list(missing_days(output, digests, *second)) == [second]


def test_a_latest_that_cannot_be_read_tells_of_no_day(tmp_path: Path) -> None:
    for text in ("{", "[]"):
        (tmp_path / "latest.json").write_text(text)
        assert list(missing_days(tmp_path, lambda day: (), FIRST, FIRST + DAY)) == [(FIRST, FIRST + DAY)]


def test_it_is_stopped_and_continued(tmp_path: Path) -> None:
    log, output = write(four_days(), tmp_path), tmp_path / "out"
    begun = subprocess.Popen(
        call(log, output, "--plain"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert begun.stdout is not None
    done = [begun.stdout.readline(), begun.stdout.readline()]
    begun.send_signal(signal.SIGINT)
    more, err = begun.communicate()
    assert (begun.returncode, "Traceback" in err) == (130, False), err
    assert err.splitlines()[-1] == "hydrascope: stopped; the same call again resumes"
    done += more.splitlines()
    continued(days_of("".join(done)), call(log, output, "--plain"), output)
    again = subprocess.run(call(log, output, "--plain"), capture_output=True, text=True, check=True)
    assert again.stdout == "every day has a published run\n"
    gone = subprocess.run(call(tmp_path / "nosuch", output), capture_output=True, text=True, check=False)
    assert (gone.returncode, gone.stdout, gone.stderr.count("\n")) == (2, "", 1)


@pytest.mark.prefect
def test_under_prefect_each_day_is_a_run_of_the_flow(
    tmp_path: Path, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.prefect_api import ask, until

    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    log = write(four_days(), tmp_path)
    begun = subprocess.Popen(
        call(log, tmp_path / "out"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert begun.stdout is not None
    first = begun.stdout.readline()
    until(lambda: list((tmp_path / "out" / ".staging").glob("*/sample")))
    begun.send_signal(signal.SIGINT)
    more, err = begun.communicate()
    assert (begun.returncode, "Traceback" in err) == (130, False), err
    days = continued(days_of(first + more), call(log, tmp_path / "out"), tmp_path / "out")
    runs = ask("/flow_runs/filter", flow_runs={"tags": {"all_": ["hydrascope", "log.parquet"]}})
    assert {run["name"] for run in runs} >= {f"detect {day}" for day in days}
