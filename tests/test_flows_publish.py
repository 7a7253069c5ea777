"""Publishing: complete or not there, the earlier run moved aside, latest.json last, mended after a kill."""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flows.errors import StageError
from flows.pipeline import complete, plain, prepare
from flows.publish import publish as publish_stage
from flows.publish import settle
from flows.redact import redact
from flows.report import report
from flows.request import open_run
from flows.run import perform
from flows.settings import DetectSettings, ShowSettings
from flows.stages import evidence
from tests.tiny import TABLES, planted, rows, tables, use_tiny_encoder, write

pytestmark = pytest.mark.usefixtures("tiny")
DAY = "date=2026-06-01"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_encoder(monkeypatch.setattr)


def publish(folder: Path, seed: int = 0, window: Any = (None, None)) -> Path:
    log = write(rows(), folder)
    return complete(open_run(str(log), folder / "out", DetectSettings(seed=seed), window), plain())


def latest(folder: Path) -> Any:
    return json.loads((folder / "out" / "latest.json").read_text())


def test_a_run_is_published_with_all_its_tables_and_a_manifest(tmp_path: Path) -> None:
    run = publish(tmp_path)
    assert run == tmp_path / "out" / DAY / run.name
    assert sorted(file.name for file in run.iterdir()) == sorted(
        [*(f"{name}.parquet" for name in TABLES), "manifest.json", "report.html"]
    )
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["rows"] == {"read": 40, "outside_window": 0, "in": 40, "kept": 40, "set_aside": {}}
    assert manifest["no_rows"] is False
    assert set(manifest["seconds"]) >= {
        "sample",
        "views",
        "embed",
        "index",
        "neighbours",
        "cluster",
        "link",
        "evidence",
    }
    assert manifest["neighbours"]["full"] == {"index": "Flat", "recall": 1.0}
    assert manifest["inputs"]["absent_columns"][0] == "org_id"
    assert manifest["settings"]["sample"]["cap"] == DetectSettings().sample.cap
    assert latest(tmp_path) == {"run_dir": f"{DAY}/{run.name}", "current": {"2026-06-01": run.name[7:]}}
    assert list((tmp_path / "out" / ".staging").glob("*/")) == []


def test_an_earlier_run_of_the_same_day_moves_to_superseded(tmp_path: Path) -> None:
    first, second = publish(tmp_path), publish(tmp_path, seed=1)
    assert [run.name for run in (tmp_path / "out" / DAY).iterdir()] == [second.name]
    assert (tmp_path / "out" / "superseded" / DAY / first.name / "campaigns.parquet").exists()
    third = publish(tmp_path)
    assert (third, latest(tmp_path)["current"]["2026-06-01"]) == (first, first.name[7:])


@pytest.mark.parametrize("later_first", [False, True])
def test_two_windows_of_one_day_both_stay_and_the_later_is_current(tmp_path: Path, later_first: bool) -> None:
    noon, half = 1_780_315_200_000_000, 43_200_000_000  # in London two nights begin on 29 March in UTC
    windows = [(noon - half, noon), (noon, noon + half)]
    made = {window: publish(tmp_path, window=window) for window in sorted(windows, reverse=later_first)}
    early, late = (made[window] for window in windows)
    assert {run.name for run in (tmp_path / "out" / DAY).iterdir()} == {early.name, late.name}
    assert latest(tmp_path)["current"] == {"2026-06-01": late.name[7:]}
    again = publish(tmp_path, seed=1, window=windows[0])
    assert {run.name for run in (tmp_path / "out" / DAY).iterdir()} == {again.name, late.name}
    assert latest(tmp_path)["current"] == {"2026-06-01": late.name[7:]}
    whole = publish(tmp_path, window=(noon - half, noon + half))
    assert [run.name for run in (tmp_path / "out" / DAY).iterdir()] == [whole.name]


def test_latest_is_the_newest_window_whatever_was_run_last(tmp_path: Path) -> None:
    noon, day = 1_780_315_200_000_000, 86_400_000_000
    newer = publish(tmp_path, window=(noon + day, noon + 2 * day))
    older = publish(tmp_path)
    found = latest(tmp_path)
    assert found["run_dir"] == f"date=2026-06-02/{newer.name}"
    assert found["current"] == {"2026-06-01": older.name[7:], "2026-06-02": newer.name[7:]}


@pytest.mark.parametrize("left", ["", '{"run_dir": ', "[]", '{"current": [1]}'])
def test_a_damaged_latest_is_made_again_by_the_call_that_finds_its_run(tmp_path: Path, left: str) -> None:
    run = publish(tmp_path)
    before = latest(tmp_path)
    (tmp_path / "out" / "latest.json").write_text(left)
    assert publish(tmp_path) == run
    assert latest(tmp_path) == before


def test_a_run_of_another_log_is_not_moved_aside_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path)
    publish(tmp_path, seed=1)
    assert "another log" not in caplog.text
    (tmp_path / "b").mkdir()
    other = write(rows(), tmp_path / "b")
    complete(open_run(str(other), tmp_path / "out", DetectSettings(seed=2), (None, None)), plain())
    assert "a run of another log is moved aside" in caplog.text


def test_a_run_that_began_before_an_encoder_was_there_leaves_the_one_that_is(tmp_path: Path) -> None:
    log, out = write(planted(), tmp_path), tmp_path / "out"
    days = [("2026-06-01", "2026-06-02"), ("2026-06-02", "2026-06-03")]
    windows = [
        tuple(int(datetime.fromisoformat(f"{at}T00:00:00+00:00").timestamp() * 1e6) for at in day)
        for day in days
    ]
    first, second = (open_run(str(log), out, DetectSettings(), window) for window in windows)
    runs = [complete(first, plain()), complete(second, plain())]
    again = [complete(open_run(str(log), out, DetectSettings(), window), plain()) for window in windows]
    assert again[0] == runs[0]
    current = [json.loads(file.read_text())["request"] for file in out.glob("encoder/current-*.json")]
    assert current == [first.request]


@pytest.mark.parametrize("again", [False, True])
def test_a_latest_that_was_lost_is_made_again_of_what_is_there(tmp_path: Path, again: bool) -> None:
    noon, day = 1_780_315_200_000_000, 86_400_000_000
    publish(tmp_path, window=(noon + day, noon + 2 * day))
    publish(tmp_path)
    before = latest(tmp_path)
    (tmp_path / "out" / "latest.json").unlink()
    if again:
        publish(tmp_path)
        assert latest(tmp_path) == before
    else:
        publish(tmp_path, window=(noon + 2 * day, noon + 3 * day))
        assert before["current"].items() < latest(tmp_path)["current"].items()


def test_a_window_without_rows_has_every_table_and_is_marked(tmp_path: Path) -> None:
    run = publish(tmp_path, window=(0, 86_400_000_000))
    manifest = json.loads((run / "manifest.json").read_text())
    assert (manifest["status"], manifest["no_rows"], run.parent.name) == ("no_rows", True, "date=1970-01-01")
    assert manifest["rows"]["outside_window"] == 40
    assert len(list(run.glob("*.parquet"))) == len(TABLES)


@pytest.mark.parametrize("step", ["before the swap", "after the rename", "after moving the old one"])
def test_a_publication_cut_off_between_its_steps_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    first = publish(tmp_path)
    real: Any = os.replace
    cut = {
        "before the swap": "run_id=",
        "after the rename": "superseded",
        "after moving the old one": "latest.json",
    }

    def dies(source: Any, target: Any) -> None:
        place = Path(target).relative_to(tmp_path / "out").as_posix()
        at = place.startswith("date=") if step == "before the swap" else cut[step] in place
        if at:
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", dies)
        with pytest.raises(KeyboardInterrupt):
            publish(tmp_path, seed=1)
    if step != "after moving the old one":
        assert (tmp_path / "out" / latest(tmp_path)["run_dir"] / "campaigns.parquet").exists()
    settle(tmp_path / "out")
    assert (tmp_path / "out" / latest(tmp_path)["run_dir"] / "campaigns.parquet").exists()
    assert len(list((tmp_path / "out" / DAY).iterdir())) == 1
    second = publish(tmp_path, seed=1)
    assert [run.name for run in (tmp_path / "out" / DAY).iterdir()] == [second.name] != [first.name]


def test_a_publication_that_was_cut_off_is_mended_by_the_next_of_another_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path)
    real: Any = os.replace

    def dies(source: Any, target: Any) -> None:
        if "superseded" in str(target):
            raise KeyboardInterrupt
        real(source, target)

    noon, day = 1_780_315_200_000_000, 86_400_000_000
    log = write(rows(), tmp_path)
    waiting = open_run(str(log), tmp_path / "out", DetectSettings(), (noon + day, noon + 2 * day))
    prepare(waiting, plain())
    for stage in (evidence, report):  # it has looked for what was cut off before
        perform(stage, waiting)
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", dies)
        with pytest.raises(KeyboardInterrupt):
            publish(tmp_path, seed=1)
    assert len(list((tmp_path / "out" / DAY).iterdir())) == 2
    perform(publish_stage, waiting)
    (left,) = (tmp_path / "out" / DAY).iterdir()
    current = latest(tmp_path)["current"]
    assert current == {"2026-06-01": left.name[7:], "2026-06-02": waiting.run_id}


def test_a_run_that_is_superseded_before_it_is_cleared_away_is_published_again(tmp_path: Path) -> None:
    def dies(stage: str, part: str, counts: dict[str, Any]) -> None:
        if stage == "publish":
            raise KeyboardInterrupt

    log = write(rows(), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        complete(open_run(str(log), tmp_path / "out", DetectSettings(), (None, None)), plain(dies))
    publish(tmp_path, seed=1)
    assert (publish(tmp_path) / "campaigns.parquet").exists()
    assert len(list((tmp_path / "out" / DAY).iterdir())) == 1


def test_a_full_disk_leaves_the_last_published_run_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish(tmp_path)
    before = {file: file.read_bytes() for file in [*first.iterdir(), tmp_path / "out" / "latest.json"]}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "out" / "campaigns.parquet"))

    with monkeypatch.context() as patch:
        patch.setattr("pyarrow.parquet.write_table", full)
        with pytest.raises(
            StageError, match=r"^stage evidence failed: No space left on device: /\S+\.parquet$"
        ):
            publish(tmp_path, seed=1)
    assert {file: file.read_bytes() for file in before} == before
    assert publish(tmp_path, seed=1).exists()


@pytest.mark.parametrize("how", ["nothing", "identifiers", "everything"])
def test_what_is_to_be_blanked_is_in_no_table_and_not_in_the_report(tmp_path: Path, how: str) -> None:
    keys = "550e8400-e29b-41d4-a716-446655440000, ABCD-EFGH-12JK-LMN9-QRS7"
    told = f"careful tutor, jane.doe@example.com, {keys},"
    said = pl.col("prompt").str.replace("careful tutor", told)
    log = write(planted().with_columns(said), tmp_path)
    settings = DetectSettings.model_validate({"show": {"redact": how}})
    run = complete(open_run(str(log), tmp_path / "out", settings, (None, None)), plain())
    shown = [table.write_json() for table in tables(run).values()] + [(run / "report.html").read_text()]
    for piece in ("jane", "a716", "abcd", "ABCD", "LMN9"):
        assert any(piece in text for text in shown) == (how == "nothing" and piece != "abcd"), piece
    assert any("careful" in text for text in shown) == (how != "everything")


def test_prompts_that_would_be_shown_alike_are_one_exemplar(tmp_path: Path) -> None:
    settings = DetectSettings.model_validate({"show": {"characters": 20}})
    log = write(planted(), tmp_path)
    run = complete(open_run(str(log), tmp_path / "out", settings, (None, None)), plain())
    shown = tables(run)["campaign_exemplars"]
    assert shown.height
    assert not shown.select("campaign_id", "prompt").is_duplicated().any()


def test_a_prompt_is_blanked_before_it_is_cut_however_long_its_words() -> None:
    settings = ShowSettings(characters=20)
    assert redact("I am jane.doe+x@example.com+john@example.org.", settings) == "I am [e-mail]."
    assert redact("x " * 9 + "sk-live1-abcdefghijklmnopqrstuvwxyz", settings) == "x " * 9 + "[k…"
    assert redact("2001:db8::1 9:30:45", settings) == "[address] 9:30:45"
    assert redact("AKIAIOSFODNN7EXAMPLE", settings) == "[key]"
    assert redact("call +1 (555) 123-4567 now", settings) == "call [number] now"
    assert redact("my sk-proj-abcdefghijklmnopqrst-12345678", settings) == "my [key]"
    assert redact("a state - of - the - art method in 2 - 3 steps", ShowSettings()).endswith("2 - 3 steps")
    for word in ("a", "a-", "a.", "a@", "abc:", "a - ", "a1 - "):
        assert len(redact(word * 300_000, settings)) == 21
