"""The flow on a real Prefect server: same tables as the plain stages, watched, retried or not."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from flows.errors import InputError, ServerError, StageError
from flows.pipeline import complete, plain
from flows.request import open_run
from flows.server import answering
from flows.settings import DetectSettings
from tests.prefect_api import ask, latest_run, logs_of, tasks_of, until
from tests.tiny import planted, report_all, rows, same_tables, use_tiny_encoder, write

pytestmark = pytest.mark.prefect
_ASKED = httpx.Request("POST", "http://localhost")
UNAVAILABLE = httpx.HTTPStatusError("locked", request=_ASKED, response=httpx.Response(503, request=_ASKED))
VIEWS = [str(view) for view in DetectSettings().views]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_encoder(monkeypatch.setattr)


@pytest.mark.usefixtures("prefect_api", "tiny")
def test_the_flow_ends_with_the_tables_of_the_plain_stages(tmp_path: Path) -> None:
    from flows.detect import detect

    log = write(planted(), tmp_path)
    run_dir = detect(str(log), tmp_path / "flow[*]?")  # no pattern
    alone = complete(open_run(str(log), tmp_path / "plain", DetectSettings(), (None, None)), plain())
    assert run_dir.name == alone.name
    assert same_tables(run_dir, alone)
    run = latest_run()
    assert run["name"] == "detect 2026-06-01"
    names = until(lambda: len(found := sorted(task["name"] for task in tasks_of(run))) >= 20 and found)
    assert names == sorted(
        ["sample", "fit", "link", "evidence", "report", "publish"]
        + [f"{stage} {view}" for stage in ("views", "index", "cluster") for view in DetectSettings().views]
        + [f"{stage} {view}/0" for stage in ("embed", "neighbours") for view in DetectSettings().views]
    )


@pytest.mark.usefixtures("prefect_api", "tiny")
def test_a_run_is_published_where_the_server_does_not_answer_what_is_only_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.detect import detect

    def fails(error: httpx.HTTPError) -> Callable[..., None]:
        def shown(*given: Any, **named: Any) -> None:
            raise error

        return shown

    monkeypatch.setattr("flows.artifacts.update_progress_artifact", fails(httpx.ConnectError("no server")))
    monkeypatch.setattr("flows.artifacts.create_table_artifact", fails(UNAVAILABLE))
    run_dir = detect(str(write(planted(), tmp_path)), tmp_path / "out")
    assert (run_dir / "campaigns.parquet").is_file()
    said = "Prefect's server does not answer ({}): it is not shown there"
    for error in ("ConnectError", "HTTPStatusError"):
        assert until(lambda e=error: [line for line in logs_of(latest_run()) if said.format(e) in str(line)])


@pytest.mark.parametrize("error", [httpx.ReadTimeout("too late"), UNAVAILABLE])
def test_a_server_that_stops_answering_is_named_in_one_line(error: httpx.HTTPError) -> None:
    with pytest.raises(ServerError, match="stopped answering"), answering():
        raise error


@pytest.mark.usefixtures("prefect_api", "tiny")
def test_a_run_that_had_been_published_is_shown_as_done_under_the_name_of_its_window(tmp_path: Path) -> None:
    from flows.detect import detect

    log = write(planted(), tmp_path)
    first = detect(str(log), tmp_path / "out")
    assert detect(str(log), tmp_path / "out") == first
    run = latest_run()
    assert run["name"] == "detect 2026-06-01"
    assert tasks_of(run) == []
    artifacts = ask("/artifacts/filter", flow_runs={"id": {"any_": [run["id"]]}})
    assert [float(a["data"]) for a in artifacts if a["key"] == "detect-progress"] == [100.0]


@pytest.mark.usefixtures("prefect_api", "tiny")
def test_a_zone_that_there_is_not_fails_with_its_reason(tmp_path: Path) -> None:
    from flows.detect import detect

    with pytest.raises(InputError, match="zone Mars/X: expected a time zone"):
        detect(str(write(planted(), tmp_path)), tmp_path / "out", zone="Mars/X")
    run = latest_run()
    assert run["state_type"] == "FAILED"
    assert "zone Mars/X" in run["state"]["message"]


@pytest.mark.usefixtures("prefect_api", "tiny")
@pytest.mark.parametrize(("shards", "workers"), [(1, 1), (3, 4)])
def test_the_tables_do_not_depend_on_shards_or_on_how_many_are_worked_on_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: int, workers: int
) -> None:
    from flows.detect import detect

    monkeypatch.setattr("flows.stages.SHARD_LEAST", 50)
    monkeypatch.setattr("embeddings.index.BLOCK_LEAST", 50)
    log = write(planted(), tmp_path)
    alone = complete(open_run(str(log), tmp_path / "plain", DetectSettings(), (None, None)), plain())
    settings = DetectSettings.model_validate({"work": {"shards": shards, "workers": workers}})
    run_dir = detect(str(log), tmp_path / "flow", settings)
    assert run_dir.name == alone.name
    assert same_tables(run_dir, alone)


@pytest.mark.usefixtures("prefect_api", "tiny")
def test_what_the_server_is_told_holds_no_prompt_and_no_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.artifacts import REPORTED
    from flows.detect import detect

    secret = [f"xyzzy {text}" for text in planted()["prompt"]]
    accounts = [f"plugh-{name}" for name in planted()["account_id"]]
    log = write(planted().with_columns(prompt=pl.Series(secret), account_id=pl.Series(accounts)), tmp_path)
    report_all(monkeypatch.setattr)
    found = pl.read_parquet(detect(str(log), tmp_path / "out") / "campaigns.parquet")
    assert found["template"].str.contains("xyzzy").any()
    run = latest_run()
    events = {"event": {"name": [REPORTED]}, "related": {"id": [f"prefect.flow-run.{run['id']}"]}}
    told_of = until(lambda: len(e := ask("/events/filter", filter=events)["events"]) == found.height and e)
    artifacts = ask("/artifacts/filter", flow_runs={"id": {"any_": [run["id"]]}})
    assert {a["key"] for a in artifacts} == {"detect-progress", "campaigns", "summary", "report"}
    progress = next(a for a in artifacts if a["key"] == "detect-progress")
    assert float(progress["data"]) == 100.0
    summary = next(a for a in artifacts if a["key"] == "summary")["data"]
    assert f"| kept | {planted().height:,} |" in summary
    logs = logs_of(run)
    assert any(line.startswith('sample: {"read": ') for line in logs)
    told = json.dumps([artifacts, logs, tasks_of(run), told_of])
    assert all(told.count(name) > 1 for name in found["campaign_id"])
    assert "xyzzy" not in told
    assert "plugh" not in told


@pytest.mark.usefixtures("prefect_api", "tiny")
def test_storage_is_tried_again_and_bad_input_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import flows.results as results
    from flows.detect import TASKS, detect

    monkeypatch.setattr(TASKS["evidence"], "retry_delay_seconds", [0, 0, 0])
    real, calls = results.write_results, []

    def full_at_first(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            raise OSError(28, "No space left on device", "x.parquet")
        return real(*args)

    def at_fault(*args: Any) -> Any:
        calls.append(args)
        raise InputError("at fault")

    log = write(rows(), tmp_path)
    monkeypatch.setattr(results, "write_results", full_at_first)
    assert detect(str(log), tmp_path / "out").exists()
    assert len(calls) == 2
    calls.clear()
    monkeypatch.setattr(results, "write_results", at_fault)
    with pytest.raises(InputError, match="at fault"):
        detect(str(log), tmp_path / "other")
    assert len(calls) == 1
    assert not list((tmp_path / "other").glob("date=*"))


@pytest.mark.usefixtures("prefect_api", "tiny")
def test_a_failed_stage_is_named_and_the_next_run_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.detect import detect

    words = " ".join(["words", "of", "a", "prompt"])

    def fails(*_: Any) -> None:
        raise RuntimeError(words)

    log = write(rows(), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("embeddings.clusters.cluster", fails)
        with pytest.raises(StageError, match="stage cluster failed: RuntimeError"):
            detect(str(log), tmp_path / "out")
    assert latest_run()["state_type"] == "FAILED"
    told = [latest_run(), tasks_of(latest_run()), logs_of(latest_run())]
    assert words not in json.dumps(told)
    assert detect(str(log), tmp_path / "out").exists()


def test_the_command_brings_up_a_server_and_leaves_nothing_behind(tmp_path: Path) -> None:
    log = write(rows(), tmp_path)
    env = os.environ | {"PREFECT_HOME": str(tmp_path / "home")}
    env.pop("PREFECT_API_URL", None)
    call = [Path(sys.executable).with_name("hydrascope"), "detect", log, "--output", tmp_path / "out"]
    ran = subprocess.run(call, capture_output=True, text=True, env=env, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr + ran.stdout
    assert "ERROR" not in ran.stderr
    assert "report.html" in ran.stdout
    assert left_over(str(tmp_path)) == []
    assert (tmp_path / "home" / "prefect.db").exists()
    raw = bytearray(log.read_bytes())
    raw[4:200] = bytes(196)  # the footer is whole: it is a stage that finds out
    log.write_bytes(raw)
    ran = subprocess.run(call, capture_output=True, text=True, env=env, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert [line.split()[0] for line in ran.stderr.splitlines()] == ["prefect", "hydrascope:"], ran.stderr


def left_over(word: str) -> list[str]:
    """Return the processes whose environment names a folder, as Linux tells; none where it does not tell."""
    found = []
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            if word.encode() in process.read_bytes():
                found.append(process.parent.name)
        except OSError:
            continue
    return found
