"""Schedules on a real Prefect server: deployed, fired, caught up, one at a time, refused when wrong."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.server import QUIET, configured
from tests.prefect_api import ask, until
from tests.tiny import START, rows, write

pytestmark = pytest.mark.prefect
ROOT = Path(__file__).resolve().parents[1]
COMMAND = Path(sys.executable).with_name("hydrascope")
CRONS = {"nightly": "30 2 * * *", "weekly": "0 1 * * 0", "cleaning": "0 5 * * *"}


def deployed(*names: str) -> list[dict[str, Any]]:
    return list(ask("/deployments/filter", deployments={"name": {"any_": names}}, sort="NAME_ASC"))


def finished(name: str) -> list[dict[str, Any]]:
    state = {"state": {"type": {"any_": ["COMPLETED"]}}}
    runs = ask("/flow_runs/filter", deployments={"name": {"any_": [name]}}, flow_runs=state)
    return sorted(runs, key=lambda run: str(run["expected_start_time"]))


def call(url: str, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    whole = os.environ | {"PREFECT_API_URL": url} | env
    return subprocess.run([*words], capture_output=True, text=True, env=whole, cwd=ROOT, check=False)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("prefect.toml", "[api]\nurl = 'http://127.0.0.1:9/api'"),
        ("pyproject.toml", "[tool.prefect.api]\nurl = 'http://127.0.0.1:9/api'"),
        (".env", "PREFECT_API_URL=http://127.0.0.1:9/api"),
        ("prefect.toml", "[server]\nephemeral = {}"),
    ],
)
def test_a_server_that_a_file_of_the_working_folder_names_is_the_one_that_prefect_asks(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    asked = "from prefect.settings import PREFECT_API_URL; print(PREFECT_API_URL.value())"
    env = {**os.environ, "PREFECT_HOME": str(tmp_path / "home")}
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, env=env, check=True)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    assert configured() == (said.stdout.strip() != "None")


@contextmanager
def serving(url: str, *words: str | Path) -> Iterator[None]:
    """Have `hydrascope serve` at work; it must end when it is told to."""
    env = os.environ | {"PREFECT_API_URL": url}
    running = subprocess.Popen([COMMAND, "serve", *words], env=env, start_new_session=True)
    try:
        yield
        running.terminate()
        running.wait(60)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)


def test_the_day_that_has_closed_is_of_the_schedule_and_of_its_time_zone() -> None:
    from flows.detect import closed_day

    def of(*when: int, zone: str) -> tuple[str, float]:
        start, end = closed_day(datetime(*when, tzinfo=UTC), zone)  # type: ignore[arg-type,misc]
        return datetime.fromtimestamp(start / 1e6, UTC).isoformat(), (end - start) / 3.6e9

    assert of(2026, 6, 2, 2, 30, zone="UTC") == ("2026-06-01T00:00:00+00:00", 24)
    assert of(2026, 6, 2, 23, 30, zone="Europe/Berlin") == ("2026-06-01T22:00:00+00:00", 24)
    assert of(2026, 3, 30, 2, 0, zone="Europe/Berlin") == ("2026-03-28T23:00:00+00:00", 23)
    assert of(2026, 10, 26, 2, 0, zone="Europe/Berlin") == ("2026-10-24T22:00:00+00:00", 25)


def test_the_form_has_descriptions_limits_and_choices(tmp_path: Path) -> None:
    from flows.deploy import Plan, deployments

    nightly = deployments(Plan(log="log", output=tmp_path, name="x"))[0]
    parts = nightly._parameter_openapi_schema.model_dump()["definitions"]
    assert parts["SampleSettings"]["properties"]["cap"]["description"]
    assert parts["SampleSettings"]["properties"]["cap"]["minimum"] == 1
    assert parts["FineClusters"]["properties"]["selection"]["enum"] == ["eom", "leaf"]


def test_deploy_puts_three_schedules_with_zone_and_limit_on_the_server(
    tmp_path: Path, prefect_api: str
) -> None:
    log = write(rows(), tmp_path)
    words = (COMMAND, "deploy", log, "--output", tmp_path / "out", "--name", "x", "--zone", "Europe/Berlin")
    ran = call(prefect_api, *words)
    assert ran.returncode == 0, ran.stderr
    names = [f"x-{name}" for name in CRONS]
    assert {d["name"]: d["schedules"][0]["schedule"]["cron"] for d in deployed(*names)} == dict(
        zip(names, CRONS.values(), strict=True)
    )
    for deployment in deployed(*names):
        assert deployment["schedules"][0]["schedule"]["timezone"] == "Europe/Berlin"
        assert deployment["global_concurrency_limit"]["limit"] == 1
        assert deployment["concurrency_options"]["collision_strategy"] == "ENQUEUE"
        assert {"hydrascope", "x"} <= set(deployment["tags"])
        assert deployment["work_pool_name"] == "hydrascope"
    assert until(lambda: ask("/flow_runs/count", deployments={"name": {"any_": ["x-nightly"]}}), 90)


@pytest.mark.parametrize("log", ["log", "simplecache::/data/log", "s3://bucket/log"])
def test_what_a_schedule_reads_is_found_from_any_folder(
    tmp_path: Path, prefect_api: str, monkeypatch: pytest.MonkeyPatch, log: str
) -> None:
    from flows.cli_schedules import _plan

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    for encoder, found in (("models/mine", str(tmp_path / "models" / "mine")), ("some/model", "some/model")):
        Path("c.toml").write_text(f"encoder = '{encoder}'\n")
        plan = _plan("deploy", log, Path("out"), "x", Path("c.toml"), None, "UTC", None)
        assert plan.settings.encoder == found
        assert (plan.log, plan.output) == (str(tmp_path / log) if log == "log" else log, tmp_path / "out")


@pytest.mark.usefixtures("prefect_api")
def test_an_encoder_that_is_not_fitted_is_not_refitted(tmp_path: Path) -> None:
    from flows.deploy import Plan, deployments
    from flows.settings import DetectSettings

    for encoder, active in (("fitted", True), ("some/model", False), ("fitted", True)):
        plan = Plan(log="log", output=tmp_path, name="w", settings=DetectSettings(encoder=encoder))
        for deployment in deployments(plan):
            deployment.apply()
        found = {one["name"]: one["schedules"][0]["active"] for one in deployed("w-nightly", "w-weekly")}
        assert found == {"w-nightly": True, "w-weekly": active}


def test_the_file_of_schedules_says_the_same_as_the_command(tmp_path: Path, prefect_api: str) -> None:
    prefect = Path(sys.executable).with_name("prefect")
    call(prefect_api, prefect, "work-pool", "create", "hydrascope", "--type", "process")
    env = {"HYDRASCOPE_INPUT": "log", "HYDRASCOPE_OUTPUT": str(tmp_path)}
    ran = call(prefect_api, prefect, "--no-prompt", "deploy", "--all", **env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = deployed(*CRONS)
    assert {d["name"]: d["schedules"][0]["schedule"]["cron"] for d in found} == CRONS
    assert {d["global_concurrency_limit"]["limit"] for d in found} == {1}
    assert {d["concurrency_options"]["collision_strategy"] for d in found} == {"ENQUEUE"}
    assert {d["parameters"].get("output") for d in found} == {str(tmp_path)}
    assert {d["name"]: d["parameters"].get("log") for d in found} == {
        "nightly": "log", "weekly": "log", "cleaning": None,
    }  # fmt: skip
    assert [d["job_variables"]["env"] for d in found] == [QUIET] * 3


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seeed": 1}, "'seeed' was unexpected"),
        ({"sample": {"caps": 1}}, "'caps' was unexpected"),
        ({"sample": {"cap": 0}}, "less than the minimum of 1"),
    ],
)
def test_an_unknown_or_wrong_setting_is_refused_by_the_server(
    tmp_path: Path, settings: Any, said: str
) -> None:
    from prefect.exceptions import PrefectHTTPStatusError

    from flows.deploy import Plan, deployments

    made = deployments(Plan(log="log", output=tmp_path, name="refusing"))[0].apply()
    given = {"log": "log", "output": str(tmp_path), "settings": settings}
    with pytest.raises(PrefectHTTPStatusError, match=said):
        ask(f"/deployments/{made}/create_flow_run", parameters=given)


def test_a_scheduled_run_fires_and_a_late_one_catches_up_each_over_its_own_day(
    tmp_path: Path, prefect_api: str
) -> None:
    """Guards what fails in silence with a newer sqlalchemy: the server is healthy and schedules nothing."""
    from prefect import get_client
    from prefect.states import Scheduled

    from flows.deploy import Plan, deployments

    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    log = write(
        rows().with_columns(timestamp=rows()["timestamp"] + (today - timedelta(days=1) - START)), tmp_path
    )
    output = tmp_path / "out"
    made = deployments(Plan(log=str(log), output=output, name="often"))[0].apply()
    due = today - timedelta(days=3, hours=-2)
    with get_client(sync_client=True) as client:
        client.create_flow_run_from_deployment(made, state=Scheduled(scheduled_time=due))
    with serving(prefect_api, log, "--output", output, "--name", "often", "--nightly", "* * * * *"):
        late, *_, fired = until(lambda: len(runs := finished("often-nightly")) > 1 and runs, 200)
    days = [f"{today - timedelta(days=ago):%Y-%m-%d}" for ago in (4, 1)]
    assert [late["name"], fired["name"]] == [f"detect {day}" for day in days]
    assert (late["auto_scheduled"], fired["auto_scheduled"]) == (False, True)
    assert fired["tags"] == ["auto-scheduled", "hydrascope", "often"]
    assert list(json.loads((output / "latest.json").read_text())["current"]) == days


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--zone", "Mars/Olympus"], "--zone Mars/Olympus"),
        (["--nightly", "at noon"], "--nightly at noon"),
        (["--name", "R&D"], "--name 'R&D'"),
        (["--name", ""], "--name ''"),
        (["--webhook", "example.com/x"], "--webhook 'example.com/x'"),
        (["--webhook", "http://[bad"], "--webhook 'http://[bad'"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(
    tmp_path: Path, prefect_api: str, words: list[str], said: str
) -> None:
    ran = call(prefect_api, COMMAND, "deploy", "log", "--output", tmp_path / "out", *words)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert said in ran.stderr


def test_without_a_server_schedules_are_refused_in_one_line(tmp_path: Path) -> None:
    ran = call("", COMMAND, "serve", "log", "--output", tmp_path / "out")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "needs a Prefect server" in ran.stderr


@pytest.mark.parametrize("command", ["detect", "deploy"])
def test_a_server_that_does_not_answer_is_named_in_one_line(tmp_path: Path, command: str) -> None:
    url = "http://127.0.0.1:9/api"
    ran = call(url, COMMAND, command, write(rows(), tmp_path), "--output", tmp_path / "out")
    assert (ran.returncode, ran.stderr.count("\n"), (tmp_path / "out").exists()) == (1, 1, False), ran.stderr
    assert f"hydrascope: prefect: Failed to reach API at {url}" in ran.stderr
