"""The command line: exit codes, one clear line for input at fault, and odd input that is valid."""

import json
import os
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.cli import main, read_time
from tests.tiny import START, TABLES, planted, rows, tables, use_tiny_encoder, write


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_encoder(monkeypatch.setattr)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what calls the command line in this process: (exit code, standard output, standard error)."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hydrascope", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def detect(call: Any, log: Path, *more: object) -> Path:
    """Detect plainly, which must succeed, and return the folder of the run."""
    output = log.parent / "out"
    code, _, err = call("detect", log, "--output", output, "--plain", *more)
    assert code == 0, err
    assert "Traceback" not in err
    return output / json.loads((output / "latest.json").read_text())["run_dir"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["detect"], "LOG"),
        (["detect", "LOG"], "--output"),
        (["detect", "LOG", "--output", "OUT", "--nonsense"], "--nonsense"),
        (["detect", "LOG", "--output", "OUT", "--sample", "many"], "many"),
        (["detect", "LOG", "--output", "OUT", "--sample", "0"], "sample.budget"),
        (["detect", "LOG", "--output", "OUT", "--start", "yesterday"], "expected a day or a time"),
        (["detect", "LOG", "--output", "OUT", "--start", "2026-06-02", "--end", "2026-06-01"], "not after"),
        (["detect", "LOG", "--output", "OUT", "--start", "9999-12-31"], "expected a time between"),
        (["detect", "LOG", "--output", "OUT", "--end", "0001-01-01"], "expected a time between"),
        (["detect", "LOG", "--output", "OUT", "--config", "no.toml"], "no.toml"),
        (["detect", "LOG", "--output", "OUT", "--enforcement", "LOG"], "no column 'action'"),
        (["detect", "nowhere.parquet", "--output", "OUT"], "no Parquet file at"),
        (["detect", "LOG", "--output", "LOG"], "not a folder that may be written"),
        (["detect", "LOG", "--output", "OUT", "--encoder", "no/such-encoder"], "no/such-encoder"),
        (["detect", "LOG", "--output", "OUT", "--encoder", "~nosuch/x"], "no encoder folder ~nosuch/x"),
        (["detect", "LOG", "--output", "OUT", "--seed", str(2**32)], "seed"),
        (["detect", "", "--output", "OUT"], "LOG is empty"),
        (["detect", "LOG", "--output", ""], "--output is empty"),
        (["detect", "LOG", "--output", "s3://bucket/out"], "--output s3://bucket/out: expected a folder"),
        (["deploy", "LOG", "--output", "s3://bucket/out"], "--output s3://bucket/out: expected a folder"),
        (["evaluate", "TMP", "--truth", "LOG"], "is not the folder of a run"),
        (["show", "TMP"], "is not the folder of a run"),
        (["show", 300 * "x"], "is not the folder of a run"),  # no such name can be
        (["detect", "LOG", "--output", "OUT", "--encoder", "./" + 300 * "x"], "no encoder folder ./xxx"),
        (["simulate", "TMP", "--accounts", "0"], "accounts"),
        (["simulate", "TMP", "--campaigns", "no_such"], "no_such"),
        (["simulate", "TMP", "--start", "9999-12-28"], "7 days from 9999-12-28 end after 9999-12-30"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_a_call_at_fault_is_one_line_and_exit_code_2_and_writes_nothing(
    tmp_path: Path, call: Any, words: list[str], said: str
) -> None:
    log = write(rows(), tmp_path / "log")
    places = {"LOG": log, "OUT": tmp_path / "out", "TMP": tmp_path}
    before = sorted(tmp_path.rglob("*"))
    code, _, err = call(*(places.get(word, word) for word in words), *(["--plain"] if "OUT" in words else []))
    assert (code, err.count("\n")) == (2, 1), err
    assert said in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bound_of_the_window_is_read_to_the_microsecond() -> None:
    assert read_time("1970-01-01T00:00:01.600001", "--start") == 1_600_001
    assert read_time("1970-01-01T01:00+01:00", "--end") == 0


def test_a_level_of_logging_that_is_none_is_refused(
    tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRASCOPE_LOG", "verbose")
    code, _, err = call("detect", write(rows(), tmp_path), "--output", tmp_path / "out", "--plain")
    assert (code, err.count("\n"), (tmp_path / "out").exists()) == (2, 1, False)
    assert "HYDRASCOPE_LOG=VERBOSE: expected one of" in err


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"prompt": [1.5] * 40}, "prompt must be a string"),
        ({"timestamp": ["2026-06-01"] * 40}, "timestamp must be a timestamp"),
        ({"account_id": list(range(40))}, "account_id must be a string"),
    ],
)
def test_a_log_at_fault_is_one_line_and_exit_code_2(
    tmp_path: Path, call: Any, columns: dict[str, Any], said: str
) -> None:
    log = write(rows(**columns), tmp_path)
    code, _, err = call("detect", log, "--output", tmp_path / "out", "--plain")
    assert (code, err.count("\n"), (tmp_path / "out").exists()) == (2, 1, False)
    assert said in err


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"account_id": [1]}, "account_id must be a string"),
        ({"timestamp": ["2026-06-01"]}, "timestamp must be a timestamp"),
        ({"action": [1.5]}, "action must be a string"),
    ],
)
def test_bans_and_limits_at_fault_are_one_line_and_exit_code_2(
    tmp_path: Path, call: Any, columns: dict[str, Any], said: str
) -> None:
    bans = {"account_id": ["a"], "timestamp": [START], "action": ["ban"]} | columns
    pl.DataFrame(bans).write_parquet(tmp_path / "bans.parquet")
    log, given = write(rows(), tmp_path / "log"), ("--enforcement", tmp_path / "bans.parquet", "--plain")
    code, _, err = call("detect", log, "--output", tmp_path / "out", *given)
    assert (code, err.count("\n"), said in err) == (2, 1, True), err


def test_bans_that_break_off_are_one_line_and_exit_code_2(tmp_path: Path, call: Any) -> None:
    bans = {"account_id": ["a"] * 1000, "timestamp": [START] * 1000, "action": ["ban"] * 1000}
    pl.DataFrame(bans).write_parquet(tmp_path / "bans.parquet")
    raw = bytearray((tmp_path / "bans.parquet").read_bytes())
    raw[4:60] = bytes(56)
    (tmp_path / "bans.parquet").write_bytes(raw)
    log, given = write(rows(), tmp_path / "log"), ("--enforcement", tmp_path / "bans.parquet", "--plain")
    code, _, err = call("detect", log, "--output", tmp_path / "out", *given)
    assert (code, err.count("\n"), "cannot read" in err, (tmp_path / "out").exists()) == (2, 1, True, False)


def test_a_column_that_is_there_twice_is_one_line_and_exit_code_2(tmp_path: Path, call: Any) -> None:
    log = rows().to_arrow()
    pq.write_table(log.append_column("prompt", log["prompt"]), tmp_path / "log.parquet")
    code, _, err = call("detect", tmp_path, "--output", tmp_path / "out", "--plain")
    assert (code, err.count("\n"), "more than one column 'prompt'" in err) == (2, 1, True), err


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("campaigns.parquet", "no Parquet"),
        ("campaigns.parquet", ""),
        ("latest.json", "{"),
        ("latest.json", "[]"),
    ],
)
def test_a_run_that_cannot_be_read_is_one_line_and_exit_code_2(
    tmp_path: Path, call: Any, file: str, text: str
) -> None:
    for name in ("campaigns.parquet", "truth.parquet", file):
        (tmp_path / name).write_text(text)
    for words in (["show", tmp_path], ["show", tmp_path, "c1"], ["evaluate", tmp_path, "--truth", tmp_path]):
        code, _, err = call(*words)
        assert (code, err.count("\n")) == (2, 1), err
        assert file.split(".")[0] in err


def test_tables_of_another_version_are_one_line_and_exit_code_2(tmp_path: Path, call: Any) -> None:
    pl.DataFrame({"campaign_id": ["c1"], "rank": [1]}).write_parquet(tmp_path / "campaigns.parquet")
    truth = tmp_path / "campaigns.parquet"
    for words in (["show", tmp_path], ["show", tmp_path, "c1"], ["evaluate", tmp_path, "--truth", truth]):
        code, _, err = call(*words)
        assert (code, err.count("\n"), "lack columns" in err) == (2, 1, True), err


def test_what_nobody_thought_of_is_told_by_its_place_alone(
    tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("tell me about subject 3")

    monkeypatch.setattr("flows.request.open_run", fails)
    code, _, err = call("detect", write(rows(), tmp_path), "--output", tmp_path / "out", "--plain")
    assert code == 1
    assert re.fullmatch(r"hydrascope: failed: RuntimeError at test_flows_cli.py:\d+\n", err), err


def test_a_file_that_breaks_off_is_found_while_reading_and_nothing_is_left(tmp_path: Path, call: Any) -> None:
    log = write(rows(prompt=[f"{i} {i * 7919}" * 50 for i in range(40)]), tmp_path)
    raw = bytearray(log.read_bytes())
    raw[200:2000] = bytes(1800)
    log.write_bytes(raw)
    code, _, err = call("detect", log, "--output", tmp_path / "out", "--plain")
    assert code == 2
    assert "cannot read" in err
    assert not (tmp_path / "out").exists()


ODD: dict[str, Any] = {
    "one account": {"account_id": ["a"] * 40},
    "one prompt": {"prompt": ["the only one", *[None] * 39]},
    "all prompts identical": {"prompt": ["always the same"] * 40},
    "long prompts": {"prompt": [f"{i} word " * 12_000 for i in range(40)]},
    "NUL and no letters": {"prompt": [f"\0{i}\0" if i % 2 else "\U0001f600\ud7ff​" for i in range(40)]},
    "naive times": {"timestamp": [datetime(2026, 6, 1, i % 24) for i in range(40)]},
    "zoned times": {
        "timestamp": [datetime(2026, 6, 1, i % 24, tzinfo=timezone(timedelta(hours=5))) for i in range(40)]
    },
    "duplicate request_ids": {"request_id": [f"r{i % 10}" for i in range(40)]},
    "nothing usable": {"prompt": [""] * 40},
    "one row a second account": {"account_id": ["a"] * 39 + ["b"]},
}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", ODD)
def test_odd_but_valid_input_is_published(tmp_path: Path, call: Any, name: str) -> None:
    run = detect(call, write(rows(**ODD[name]), tmp_path))
    manifest = json.loads((run / "manifest.json").read_text())
    counts = manifest["rows"]
    assert counts["in"] == 40 == counts["kept"] + sum(counts["set_aside"].values())
    assert len(list(run.glob("*.parquet"))) == len(TABLES)
    assert pl.read_parquet(run / "prompts.parquet").height == counts["kept"]


@pytest.mark.usefixtures("tiny")
def test_one_row_is_valid(tmp_path: Path, call: Any) -> None:
    run = detect(call, write(rows().head(1), tmp_path))
    assert pl.read_parquet(run / "prompts.parquet")["weight"].to_list() == [1.0]


@pytest.mark.usefixtures("tiny")
def test_bytes_that_are_no_utf8_are_valid(tmp_path: Path, call: Any) -> None:
    raw = pa.array([b"\xff\xfe %d" % i for i in range(40)], pa.binary()).view(pa.string())
    log = rows().to_arrow().cast(pa.schema([(f.name, pa.string() if pa.types.is_large_string(f.type)
          or pa.types.is_string_view(f.type) else f.type) for f in rows().to_arrow().schema]))  # fmt: skip
    pq.write_table(log.set_column(log.schema.names.index("prompt"), "prompt", raw), tmp_path / "log.parquet")
    assert detect(call, tmp_path / "log.parquet").exists()


@pytest.mark.usefixtures("tiny")
def test_a_window_without_rows_is_marked(tmp_path: Path, call: Any) -> None:
    times = [None, *[START] * 39]  # a time that cannot be read is of no window
    run = detect(call, write(rows(timestamp=times), tmp_path), "--start", "2026-07-01", "--end", "2026-07-02")
    assert json.loads((run / "manifest.json").read_text())["no_rows"] is True


@pytest.mark.usefixtures("tiny")
def test_a_config_maps_columns_and_the_command_line_narrows_the_sample(tmp_path: Path, call: Any) -> None:
    write(rows().rename({"prompt": "text"}), tmp_path)
    (tmp_path / "c.toml").write_text("[columns]\nprompt = 'text'\n")
    run = detect(call, tmp_path / "log.parquet", "--config", tmp_path / "c.toml", "--sample", 10)
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["rows"]["set_aside"] == {"over_budget": 30}
    assert manifest["settings"]["columns"] == {"prompt": "text"}


@pytest.mark.usefixtures("tiny")
def test_what_would_steer_a_terminal_is_shown_by_number(tmp_path: Path, call: Any) -> None:
    controls = "\x1b[2J\u202e\x9b"
    hostile = pl.concat_str("account_id", pl.lit(controls)), pl.col("prompt").str.replace("careful", controls)
    run = detect(call, write(planted().with_columns(*hostile), tmp_path))
    found = tables(run)["campaigns"].filter(pl.col("template").str.contains("tutor"))
    code, out, _ = call("show", run, found["campaign_id"][0])
    assert code == 0
    for shown in (out, call("show", run)[1], (run / "report.html").read_text()):
        assert not set(controls[0] + controls[-2:]) & set(shown)
    assert "\\u202e" in out


@pytest.mark.usefixtures("tiny")
def test_detect_show_and_evaluate_tell_one_planted_story(tmp_path: Path, call: Any) -> None:
    log = write(planted(), tmp_path)
    run = detect(call, log)
    found = tables(run)
    tutor = found["campaigns"].filter(pl.col("template").str.contains("careful tutor"))
    assert tutor.height
    rows = found["prompts"].select("campaign_id", cluster_id="cluster_run").drop_nulls("cluster_id")
    size, theirs = (part.group_by("cluster_id").len() for part in (rows, rows.drop_nulls()))
    [whole] = theirs.join(size, on="cluster_id").filter(pl.col("len") == pl.col("len_right"))["cluster_id"]
    of_run = rows.filter(pl.col("cluster_id") == whole)["campaign_id"].value_counts(sort=True)
    assert (
        found["clusters"].filter(pl.col("cluster_id") == whole)["campaign_id"][0] == of_run["campaign_id"][0]
    )
    code, out, _ = call("show", run, tutor["campaign_id"][0])
    assert code == 0
    assert "careful tutor" in " ".join(out.split())
    assert call("show", tmp_path / "out")[0] == 0
    assert call("show", run, "c0")[0] == 2
    truth = pl.DataFrame({"account_id": [f"a{i:02}" for i in range(80)]}).with_columns(
        kind=pl.when(pl.col("account_id") >= "a60")
        .then(pl.lit("campaign:tutor"))
        .otherwise(pl.lit("organic"))
    )
    truth.write_parquet(tmp_path / "truth.parquet")
    code, out, _ = call("evaluate", run, "--truth", tmp_path / "truth.parquet", "--json")
    assert (code, json.loads(out)["campaigns"][0]["name"]) == (0, "tutor")
    assert call("evaluate", run, "--truth", tmp_path / "truth.parquet")[0] == 0


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", ["o[prod]", "o*?", "o[", "o[/x]", "o:x:[bold]"])
def test_a_path_may_hold_what_is_a_pattern_or_a_mark_elsewhere(tmp_path: Path, call: Any, name: str) -> None:
    folder = tmp_path / name
    code, out, err = call("simulate", folder, "--accounts", 60, "--days", 2, "--campaigns", "none")
    assert (code, f" requests in {folder / 'traffic.parquet'}\n" in out) == (0, True), err
    output, truth = folder / "out", folder / "truth" / "truth.parquet"
    code, out, err = call("detect", write(planted(), tmp_path), "--output", output, "--plain")
    assert (code, f"report  {output}/date=2026-06-01/" in out) == (0, True), err
    assert call("show", output)[0] == call("evaluate", output, "--truth", truth)[0] == 0
    pl.DataFrame({"prompt": ["a"], "family": ["f"]}).write_parquet(folder / "pack.parquet")
    code, _, err = call("simulate", tmp_path / "again", "--prompts", folder / "pack.parquet")
    assert (code, "role" in err) == (2, True), err


@pytest.mark.usefixtures("tiny")
def test_names_in_the_truth_are_shown_as_they_are(tmp_path: Path, call: Any) -> None:
    run = detect(call, write(planted(), tmp_path))
    truth = {"account_id": ["a00", "a01"], "kind": ["campaign:[/red] :x:", "decoy:[b]"]}
    pl.DataFrame(truth).write_parquet(tmp_path / "truth.parquet")
    code, out, err = call("evaluate", run, "--truth", tmp_path / "truth.parquet")
    assert (code, "[/red] :x:" in out, "[b]" in out) == (0, True, True), err


def test_the_id_of_a_campaign_is_whole_in_a_table_that_is_piped(tmp_path: Path, call: Any) -> None:
    found, accounts = "c7cf805f37e9a1b2c", ["a1", "a2"]
    frames = {
        "campaigns": {"campaign_id": [found], "reported": [True]},
        "campaign_accounts": {"campaign_id": [found] * 2, "account_id": accounts, "confidence": [1.0, 1.0]},
        "truth": {"account_id": accounts, "kind": ["campaign:a_harvest_of_every_single_step"] * 2},
    }
    for name, frame in frames.items():
        pl.DataFrame(frame).write_parquet(tmp_path / f"{name}.parquet")
    code, out, _ = call("evaluate", tmp_path, "--truth", tmp_path / "truth.parquet")
    assert (code, found in out, "…" in out) == (0, True, False), out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_run_goes_on_where_its_progress_cannot_be_written(tmp_path: Path) -> None:
    log, output = write(planted(), tmp_path), tmp_path / "out"
    reader, writer = os.pipe()
    os.close(reader)
    words = [Path(sys.executable).with_name("hydrascope"), "detect", log, "--output", output, "--plain"]
    with open("/dev/full", "w") as full:
        assert subprocess.run(words, stderr=full, check=False).returncode == 0
    assert list(output.glob("date=*/run_id=*/campaigns.parquet"))
    assert subprocess.run([*words, "--seed", "1"], stderr=writer, check=False).returncode == 0
    assert list(output.glob("superseded/date=*/run_id=*/campaigns.parquet"))


@pytest.mark.usefixtures("tiny")
def test_a_failed_stage_is_named_and_exit_code_1(
    tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("tell me about subject 3")

    with monkeypatch.context() as patch:
        patch.setattr("embeddings.clusters.cluster", fails)
        log = write(rows(), tmp_path)
        code, _, err = call("detect", log, "--output", tmp_path / "out", "--plain")
    assert code == 1
    assert "stage cluster failed: RuntimeError at test_flows_cli.py" in err
    assert "subject" not in err
    assert not (tmp_path / "out" / "latest.json").exists()
    assert detect(call, log).exists()


def test_detecting_a_simulated_folder_does_not_read_its_truth(tmp_path: Path, call: Any) -> None:
    from flows.source import open_source

    code, out, err = call("simulate", tmp_path, "--accounts", 60, "--days", 2, "--campaigns", "short_lived")
    assert code == 0, err
    assert (tmp_path / "truth" / "truth.parquet").exists()
    source = open_source(str(tmp_path), {})
    assert [Path(file).name for file in source.files] == ["traffic.parquet"]
    assert f"{source.n_rows:,} requests" in out
    assert len(source.optional) == 16


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_simulation_that_cannot_be_written_leaves_the_log_that_was_there(tmp_path: Path, call: Any) -> None:
    few = ("--accounts", 60, "--days", 2, "--campaigns", "none")
    assert call("simulate", tmp_path, *few)[0] == 0
    before = files(tmp_path)
    command = f"ulimit -f 100; exec {Path(sys.executable).with_name('hydrascope')} simulate {tmp_path}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1), ran.stderr
    assert ran.stderr.startswith(f"hydrascope: cannot write to {tmp_path}: ")
    assert "File too large" in ran.stderr
    assert files(tmp_path) == before


def test_a_simulation_leaves_nothing_of_the_log_that_it_replaces(tmp_path: Path, call: Any) -> None:
    few = ("--accounts", 60, "--days", 3, "--decoys", "none", "--campaigns")
    assert call("simulate", tmp_path, *few, "banned_and_back")[0] == 0
    bans = tmp_path / "truth" / "enforcement.parquet"
    assert bans.exists()
    for folder in (tmp_path, tmp_path / "new"):
        assert call("simulate", folder, *few, "none")[0] == 0
    new = files(tmp_path / "new")
    assert {f: raw for f, raw in files(tmp_path).items() if not f.startswith("new/")} == new
    assert not bans.exists()


def test_an_encoder_that_cannot_be_had_is_refused_soon_and_without_a_traceback(tmp_path: Path) -> None:
    log = write(rows(), tmp_path / "log")
    began = time.monotonic()
    ran = subprocess.run(
        [Path(sys.executable).with_name("hydrascope"), "detect", log, "--output", tmp_path / "out",
         "--encoder", "no-such-owner/no-such-encoder"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout, (tmp_path / "out").exists()) == (2, "", False)
    assert ran.stderr.startswith("hydrascope: ")
    assert ran.stderr.count("\n") == 1
    assert time.monotonic() - began < 40  # 20 s on a machine of its own
