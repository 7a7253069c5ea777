"""The flow on a Prefect server whose database is Postgres, Debian's."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prefect_api import ask, latest_run, tasks_of, until
from tests.tiny import rows, write

pytestmark = pytest.mark.prefect
ROOT = Path(__file__).resolve().parents[1]
# A process of its own: Prefect sends the events of a process to the first server it met, the session's here.
DETECT = """
import sys
from pathlib import Path
from flows.detect import detect
from tests.tiny import use_tiny_encoder
use_tiny_encoder(setattr)
sys.exit(not detect(sys.argv[1], Path(sys.argv[2])).exists())
"""


@pytest.fixture
def postgres() -> Iterator[str]:
    """A Postgres server of its own on a free port; yields the URL that Prefect is given."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.skip("Debian's postgresql is not installed")
    folder = tempfile.mkdtemp(prefix="hydrascope-postgres-")
    user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
    if user:
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = ["-D", f"{folder}/data"]
    make = [binaries[-1] / "initdb", *data, "-U", "prefect", "--auth=trust", "--no-sync"]
    subprocess.run(make, check=True, capture_output=True, user=user, cwd=folder)
    serve = [binaries[-1] / "postgres", *data, "-p", str(port), "-k", folder, "-h", "127.0.0.1"]
    server = subprocess.Popen(serve, stderr=subprocess.DEVNULL, user=user, cwd=folder)
    ready = [binaries[-1] / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    until(lambda: subprocess.run(ready, check=False).returncode == 0)
    yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
    server.send_signal(signal.SIGINT)  # its fast way to stop
    server.wait(30)
    shutil.rmtree(folder)


def test_a_server_on_postgres_runs_the_flow_and_schedules(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from rich.console import Console

    from flows.deploy import Plan, deployments
    from flows.server import own_server

    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", postgres)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    log = write(rows(), tmp_path)
    with own_server(Console(stderr=True)) as url, temporary_settings({PREFECT_API_URL: url}):
        call = [sys.executable, "-c", DETECT, str(log), str(tmp_path / "out")]
        subprocess.run(call, check=True, cwd=ROOT, env=os.environ | {"PREFECT_API_URL": url})
        assert latest_run()["state_type"] == "COMPLETED"
        until(lambda: len(tasks_of(latest_run())) >= 17)
        deployments(Plan(log=str(log), output=tmp_path / "out", name="x"))[0].apply()
        until(lambda: ask("/flow_runs/count", deployments={"name": {"any_": ["x-nightly"]}}), 120)
    assert not (tmp_path / "home" / "prefect.db").exists()
