"""What goes wrong: a disk that is full, work that takes too long, a process that is killed, two at once."""

import http.server
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from flows.errors import StorageError
from flows.pipeline import complete, plain
from flows.request import open_run
from flows.settings import DetectSettings, WorkSettings
from flows.watch import STOPPED
from tests.prefect_api import ask, latest_run, until
from tests.tiny import planted, rows, same_tables, use_tiny_encoder, write

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_encoder(monkeypatch.setattr)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def detect(log: Path, output: Path, **settings: Any) -> Path:
    return complete(open_run(str(log), output, DetectSettings(**settings), (None, None)), plain())


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def driver(log: Path, output: Path, *words: str, **env: str) -> subprocess.Popen[str]:
    call = [sys.executable, "-m", "tests.kill_driver", str(log), str(output), *words]
    whole = os.environ | env
    return subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=whole
    )


@pytest.mark.usefixtures("tiny")
def test_a_disk_that_is_full_is_named_and_the_published_run_is_untouched(
    tmp_path: Path, small_disk: Path
) -> None:
    log, output = write(planted(), tmp_path), small_disk / "out"
    first = detect(log, output)
    before = contents(first) | {output / "latest.json": (output / "latest.json").read_bytes()}
    filler = small_disk / "filler"
    for left in (0, 4_000, 40_000, 100_000, 200_000, 300_000):
        filler.unlink(missing_ok=True)
        stat = os.statvfs(small_disk)
        filler.write_bytes(bytes(max(0, stat.f_bavail * stat.f_frsize - left)))
        with pytest.raises(StorageError, match=r"^stage \w+ failed: No space left on device: /\S+$"):
            detect(log, output, seed=1)
        assert {file: file.read_bytes() for file in before} == before
    filler.unlink()
    assert same_tables(detect(log, output, seed=1), detect(log, tmp_path / "elsewhere", seed=1))


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("most", [10, 3_000, 20_000])
def test_a_file_that_cannot_be_written_to_its_end_is_named(tmp_path: Path, most: int) -> None:
    log = write(planted(), tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        with pytest.raises(StorageError, match=r"^stage \w+ failed: File too large: /\S+$"):
            detect(log, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "out").glob("date=*"))
    assert detect(log, tmp_path / "out").exists()


def test_two_processes_that_are_asked_for_one_window_publish_it_once(tmp_path: Path) -> None:
    log = write(planted(), tmp_path)
    both = [driver(log, tmp_path / "out", "none") for _ in range(2)]
    said = [(*process.communicate(), process.returncode) for process in both]
    assert [code for *_, code in said] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert len(list((tmp_path / "out").glob("date=*/run_id=*"))) == 1
    assert not (tmp_path / "out" / "superseded").exists()


SLOW = """
import sys, time
from pathlib import Path
import flows.stages
from flows.detect import detect_run
from flows.request import open_run
from flows.settings import DetectSettings
from tests.tiny import use_tiny_encoder
use_tiny_encoder(setattr)
import embeddings.clusters
embeddings.clusters.cluster = lambda *_: time.sleep(120)
run = open_run(sys.argv[1], Path(sys.argv[2]), DetectSettings(work={"time_limit": 4}), (None, None))
detect_run(run, lambda *_: None)
"""


@pytest.mark.prefect
def test_work_that_takes_too_long_is_stopped_and_the_server_is_told(tmp_path: Path, prefect_api: str) -> None:
    log = write(rows(), tmp_path)
    env = os.environ | {"PREFECT_API_URL": prefect_api, "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}
    call = [sys.executable, "-c", SLOW, str(log), str(tmp_path / "out")]
    began = time.monotonic()
    ran = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, env=env, check=False)
    assert (ran.returncode, time.monotonic() - began < 60) == (1, True), ran.stderr
    told = "stage cluster failed: it took longer than 4 s, the setting work.time_limit"
    assert ran.stderr == f"\nhydrascope: {told}; the same call again resumes there\n"
    assert latest_run()["state"]["message"] == told
    assert latest_run()["state_type"] == "FAILED"


LOSES = """
import sys, threading, time
from flows import watch
from flows.cli import main, app
watch.PATIENCE = float(sys.argv.pop())

@app.command
def lose(how: str) -> None:
    with watch.stop_holds() as check:
        try:
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("lost", flush=True)
        if how == "and-hang":
            threading.Event().wait()
        if how == "and-fail":
            raise RuntimeError
        check()

main()
"""


@pytest.mark.parametrize(
    ("how", "patience", "signals"),
    [("and-go-on", 60, 1), ("and-fail", 60, 1), ("and-hang", 1, 1), ("and-hang", 60, 2)],
)
def test_a_stop_that_was_lost_holds(how: str, patience: int, signals: int) -> None:
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", LOSES, "lose", how, str(patience)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    for said in ["ready", "lost"][:signals]:
        assert process.stdout.readline().strip() == said
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=50)
    assert (process.returncode, err.split("\n")[-2:]) == (130, [f"hydrascope: {STOPPED}", ""])
    assert time.monotonic() - began < 50


def test_a_command_that_was_begun_with_ctrl_c_ignored_ignores_it() -> None:
    brief = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + LOSES.replace("(60)", "(2)")
    process = subprocess.Popen(
        [sys.executable, "-c", brief, "lose", "and-go-on", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=50) == ("", "")
    assert process.returncode == 0


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


@pytest.mark.prefect
@pytest.mark.usefixtures("tiny")
def test_a_killed_flow_is_marked_and_resumed_and_its_campaigns_call_the_webhook_once_each(
    tmp_path: Path, hook: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, prefect_api: str
) -> None:
    import polars as pl
    from prefect import flow, get_client
    from prefect.flow_engine import run_flow
    from prefect.states import Pending

    from flows import deploy
    from flows.artifacts import tell
    from flows.detect import detect as detection

    url, got = hook
    monkeypatch.setattr(deploy, "SILENCE", timedelta(seconds=20))
    plan = deploy.Plan(log="log", output=tmp_path, name="hydrascope", webhook=url)
    for each in (plan, plan, replace(plan, name="Other one", webhook="http://127.0.0.1:1/")):
        deploy.automate(each)
    assert sorted(a["name"] for a in ask("/automations/filter")) == [
        deploy.STUCK, f"{deploy.TELL} of Other one", f"{deploy.TELL} of hydrascope",
    ]  # fmt: skip
    time.sleep(2)  # the server learns of automations from an event
    log, output = write(planted(), tmp_path), tmp_path / "out"
    killed = driver(log, output, "cluster", "flow", PREFECT_API_URL=prefect_api)
    assert (killed.communicate(), killed.returncode)[1] == -signal.SIGKILL
    run = latest_run()
    assert run["state_type"] == "RUNNING"
    deploy.automate(plan)  # as a service that starts again does: it goes on waiting

    def state() -> Any:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(UUID(run["id"])).state

    assert until(lambda: (found := state()).is_crashed() and found.message, 90) == deploy.UNHEARD
    run_dir = detection(str(log), output)
    assert same_tables(run_dir, detect(log, tmp_path / "whole"))
    found = pl.read_parquet(run_dir / "campaigns.parquet").with_columns(reported=pl.lit(value=True))
    found = pl.concat([found.with_columns(pl.format("{}{}", "campaign_id", pl.lit(i))) for i in range(52)])
    found = found.head(52)
    found.write_parquet(run_dir / "campaigns.parquet")
    nightly, began = deploy.deployments(plan)[0].apply(), datetime.now(UTC).isoformat()
    with get_client(sync_client=True) as client:
        due = [client.create_flow_run_from_deployment(nightly, state=Pending()) for _ in range(2)]
    for each in due:  # the second as if the run were called again
        run_flow(
            flow(name="tell")(tell), each, {"run_dir": run_dir, "output": output, "settings": WorkSettings()}
        )
    until(lambda: len(got) == found.height > 50, 180)  # fifty calls, one by one
    reported = {"event": {"name": ["hydrascope.campaign.reported"]}, "occurred": {"since": began}}
    assert ask("/events/filter", filter=reported)["total"] == found.height
    told = {one["campaign"]: one["accounts"] for one in got}
    assert told == dict(found.select("campaign_id", "n_accounts").iter_rows())
    assert set(got[0]) == {"campaign", "accounts", "requests", "capability", "run_id", "window_start"}
