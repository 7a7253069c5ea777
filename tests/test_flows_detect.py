"""The flow on a real Prefect server: same tables as the plain stages, watched, scheduled, retried or not."""

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from flows.errors import InputError, StageError
from flows.pipeline import complete, plain
from flows.run import open_run
from flows.settings import DetectSettings
from tests.tiny import START, planted, rows, same_tables, use_tiny_encoder, write

pytestmark = pytest.mark.prefect
VIEWS = [str(view) for view in DetectSettings().views]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_encoder(monkeypatch.setattr)


def ask(path: str, **body: Any) -> Any:
    from prefect import get_client

    with get_client(sync_client=True) as client:
        return client.request("POST", path, json=body).json()


def until(found: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask until there is an answer; fail when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.5)
    raise AssertionError(f"nothing in {seconds} s")


def latest_run(flow: str = "detect") -> dict[str, Any]:
    runs = ask("/flow_runs/filter", flows={"name": {"any_": [flow]}}, sort="START_TIME_DESC", limit=1)
    return dict(runs[0])


def tasks_of(run: dict[str, Any]) -> list[dict[str, Any]]:
    return list(ask("/task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}}, limit=200))


def logs_of(run: dict[str, Any]) -> list[str]:
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all()
    logs = ask("/logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}}, limit=200)
    return [log["message"] for log in logs]


@pytest.mark.usefixtures("prefect_api", "tiny")
def test_the_flow_ends_with_the_tables_of_the_plain_stages(tmp_path: Path) -> None:
    from flows.detect import detect

    log = write(planted(), tmp_path)
    run_dir = detect(str(log), tmp_path / "flow")
    alone = complete(open_run(str(log), tmp_path / "plain", DetectSettings(), (None, None)), plain())
    assert run_dir.name == alone.name
    assert same_tables(run_dir, alone)
    run = latest_run()
    assert run["name"] == "detect 2026-06-01"
    names = until(lambda: len(found := sorted(task["name"] for task in tasks_of(run))) >= 17 and found)
    assert names == sorted(
        ["sample", "fit", "link", "evidence", "report", "publish"]
        + [
            f"{stage} {view}"
            for stage in ("views", "neighbours", "cluster")
            for view in DetectSettings().views
        ]
        + [f"embed {view}/0" for view in DetectSettings().views]
    )


@pytest.mark.usefixtures("prefect_api", "tiny")
def test_what_the_ui_shows_holds_no_prompt_and_no_account(tmp_path: Path) -> None:
    from flows.detect import detect

    secret = [f"xyzzy {text}" for text in planted()["prompt"]]
    accounts = [f"plugh-{name}" for name in planted()["account_id"]]
    import polars as pl

    log = write(planted().with_columns(prompt=pl.Series(secret), account_id=pl.Series(accounts)), tmp_path)
    detect(str(log), tmp_path / "out")
    run = latest_run()
    artifacts = ask("/artifacts/filter", flow_runs={"id": {"any_": [run["id"]]}})
    assert {a["key"] for a in artifacts} == {"detect-progress", "campaigns", "summary", "report"}
    progress = next(a for a in artifacts if a["key"] == "detect-progress")
    assert float(progress["data"]) == 100.0
    summary = next(a for a in artifacts if a["key"] == "summary")["data"]
    assert f"| kept | {planted().height:,} |" in summary
    logs = logs_of(run)
    assert any(line.startswith('sample: {"read": ') for line in logs)
    told = json.dumps([artifacts, logs, tasks_of(run)])
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


def test_the_day_that_has_closed_is_of_the_schedule_and_of_its_time_zone() -> None:
    from flows.detect import closed_day

    def of(*when: int, zone: str) -> tuple[str, float]:
        start, end = closed_day(datetime(*when, tzinfo=UTC), zone)  # type: ignore[arg-type,misc]
        return datetime.fromtimestamp(start / 1e6, UTC).isoformat(), (end - start) / 3.6e9

    assert of(2026, 6, 2, 2, 30, zone="UTC") == ("2026-06-01T00:00:00+00:00", 24)
    assert of(2026, 6, 2, 23, 30, zone="Europe/Berlin") == ("2026-06-01T22:00:00+00:00", 24)
    assert of(2026, 3, 30, 2, 0, zone="Europe/Berlin") == ("2026-03-28T23:00:00+00:00", 23)
    assert of(2026, 10, 26, 2, 0, zone="Europe/Berlin") == ("2026-10-24T22:00:00+00:00", 25)


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


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A web server that keeps what is posted to it."""
    got: list[dict[str, Any]] = []

    class Keeps(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Keeps)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", got
    server.shutdown()


@pytest.mark.usefixtures("prefect_api")
def test_a_reported_campaign_calls_the_webhook_and_a_silent_run_is_marked(
    hook: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow, get_client
    from prefect.events import emit_event
    from prefect.states import Running

    from flows import deploy
    from flows.artifacts import REPORTED

    url, got = hook
    monkeypatch.setattr(deploy, "SILENCE", timedelta(seconds=12))
    deploy.automate(url)
    deploy.automate(url)
    names = [automation["name"] for automation in ask("/automations/filter")]
    assert sorted(names) == [deploy.STUCK, deploy.TELL]
    with get_client(sync_client=True) as client:
        silent = client.create_flow_run(flow(name="silent")(lambda: None), state=Running())
    time.sleep(2)  # the server learns of automations from an event
    payload = {"campaign": "c1", "accounts": 3, "requests": 9, "capability": 'a "b"', "run_id": "r1"}
    payload["window_start"] = "2026-06-01"
    emit_event(REPORTED, resource={"prefect.resource.id": "hydrascope.campaign.c1"}, payload=payload)
    emit_event(deploy.ALIVE, resource={"prefect.resource.id": f"prefect.flow-run.{silent.id}"})
    until(lambda: got)
    assert got == [payload]

    def state() -> Any:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(UUID(str(silent.id))).state

    assert until(lambda: (found := state()).is_crashed() and found.message) == deploy.UNHEARD


def test_deployments_are_one_a_log_and_their_times_have_a_zone(tmp_path: Path) -> None:
    from flows.deploy import Plan, deployments

    made = deployments(Plan(log="log", output=tmp_path, name="x", zone="Europe/Berlin"), pool="p")
    assert [d.name for d in made] == ["x-nightly", "x-weekly", "x-cleaning"]
    for deployment in made:
        assert deployment.schedules[0].schedule.timezone == "Europe/Berlin"
        assert (deployment.concurrency_limit, deployment.work_pool_name) == (1, "p")
        assert deployment.enforce_parameter_schema
    form = made[0]._parameter_openapi_schema.model_dump()
    assert "sample" in form["definitions"]["DetectSettings"]["properties"]
    assert form["definitions"]["SampleSettings"]["properties"]["cap"]["description"]


SERVING = """
import sys
from datetime import timedelta
from pathlib import Path
from prefect import serve
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule
from flows.deploy import Plan, deployments
nightly = deployments(Plan(log=sys.argv[1], output=Path(sys.argv[2]), name="often"))[0]
often = IntervalSchedule(interval=timedelta(seconds=15))
nightly.schedules = [DeploymentScheduleCreate(schedule=often, active=True)]
serve(nightly, limit=1, print_starting_message=False)
"""


@pytest.mark.usefixtures("prefect_api")
def test_a_scheduled_run_fires_and_completes_over_the_day_that_has_closed(
    tmp_path: Path, prefect_api: str
) -> None:
    """Guards what fails in silence with a newer sqlalchemy: the server is healthy and schedules nothing."""
    yesterday = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    shift = yesterday - START
    log = write(rows().with_columns(timestamp=rows()["timestamp"] + shift), tmp_path)
    env = os.environ | {"PREFECT_API_URL": prefect_api}
    script = tmp_path / "serving.py"
    script.write_text(SERVING)
    serving = subprocess.Popen([sys.executable, script, str(log), str(tmp_path / "out")], env=env)
    try:
        filters = {"deployments": {"name": {"any_": ["often-nightly"]}}}
        done = until(
            lambda: ask(
                "/flow_runs/filter", **filters, flow_runs={"state": {"type": {"any_": ["COMPLETED"]}}}
            ),
            150,
        )
    finally:
        serving.terminate()
        serving.wait(60)
    assert done[0]["auto_scheduled"]
    assert done[0]["name"] == f"detect {yesterday:%Y-%m-%d}"
    latest = json.loads((tmp_path / "out" / "latest.json").read_text())
    assert list(latest["current"]) == [f"{yesterday:%Y-%m-%d}"]
