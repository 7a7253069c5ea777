"""Where the flow is orchestrated: the Prefect API that is configured, or a server brought up for one command.

Prefect has a server of its own for this. It gives up after 20 seconds, which a first start on a slow machine
exceeds, loses the last events of a run and prints tracebacks after success; so this one is started here,
waited for longer, drained, and stopped. Prefect is imported only when its settings are in place.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from flows.errors import ServerError
from flows.files import first_line

START_LIMIT = 240.0  # seconds; measured: 11 to 25, when the machine is busy more
STOP_LIMIT = 15.0
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_TASKS_DEFAULT_NO_CACHE": "true",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "flows,campaigns,embeddings",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # our code speaks outside of runs as well
}
ON_A_TERMINAL = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}  # we print a line a stage ourselves


def set_defaults() -> None:
    """Set what this project wants of Prefect, where nobody set it otherwise; before Prefect is imported."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


@contextmanager
def orchestrated(console: Console) -> Iterator[None]:
    """Have a Prefect API for as long as the context lasts."""
    set_defaults()
    for name, value in ON_A_TERMINAL.items():
        os.environ.setdefault(name, value)
    with ExitStack() as stack:
        if configured():
            check_answer()
        else:
            url = stack.enter_context(own_server(console))
            os.environ["PREFECT_API_URL"] = url
            stack.callback(os.environ.pop, "PREFECT_API_URL", None)
        yield


def configured() -> bool:
    """Tell whether a Prefect API is named in the environment, the working folder or the active profile."""
    if os.environ.get("PREFECT_API_URL") or _named_here():
        return True
    try:
        profiles = tomllib.loads((_home() / "profiles.toml").read_text())
    except (OSError, ValueError):
        return False
    active = os.environ.get("PREFECT_PROFILE", profiles.get("active"))
    return bool(profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL"))


def _named_here() -> bool:
    """Tell whether one of the files that Prefect looks for in the working folder names an API.

    Prefect is not asked: it takes seconds to import, and its settings would be fixed before our own server
    has an address.
    """
    for name, path in (("prefect.toml", ()), ("pyproject.toml", ("tool", "prefect"))):
        try:
            found: Any = tomllib.loads(Path(name).read_text())
            for key in (*path, "api", "url"):
                found = found[key]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return bool(found)
    try:
        lines = Path(".env").read_text().splitlines()
    except (OSError, ValueError):
        return False
    return any(line.strip().startswith("PREFECT_API_URL=") for line in lines)


def check_answer() -> None:
    """Refuse to go on where the API that is named does not answer, or not to us."""
    from prefect import get_client

    with get_client(sync_client=True) as client:
        try:
            client.raise_for_api_version_mismatch()
        except Exception as error:
            raise ServerError(f"prefect: {first_line(error)}") from None


@contextmanager
def answering() -> Iterator[None]:
    """Say in one line that a server stopped answering in the midst of a run."""
    import httpx

    try:
        yield
    except httpx.HTTPError:
        raise ServerError("prefect: its server stopped answering; the same call again resumes") from None


def _home() -> Path:
    return Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()


@contextmanager
def own_server(console: Console) -> Iterator[str]:
    """Start a server on a free port of the loopback address, yield the URL of its API, stop it."""
    with ExitStack() as stack:
        home = stack.enter_context(_history())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}/api"
        # Prefect settings of the shell reach the server, but for a home that another command is using.
        env = {"PREFECT_UI_ENABLED": "0"} | os.environ | {"PREFECT_HOME": str(home), "PREFECT_API_URL": url}
        log = stack.enter_context((home / "hydrascope-server.log").open("wb"))
        server = subprocess.Popen(
            [sys.executable, "-m", "flows.embedded", str(port)],
            env=env, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        stack.callback(_stop, server)
        began = time.monotonic()
        with console.status("starting Prefect"):
            _await(server, url, home)
        console.print(f"{'prefect':<11}{time.monotonic() - began:>6.1f} s  server for this run at {url}")
        stack.callback(_drain)  # after a failure too
        yield url


@contextmanager
def _history() -> Iterator[Path]:
    """Use Prefect's home, so that runs are kept for later; a temporary one when it cannot be had."""
    home = _home()
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / "hydrascope-server.lock", timeout=0)
        lock.acquire()
    except (
        OSError,
        Timeout,
    ):  # read-only, or another command's server is writing there: SQLite has one writer
        with tempfile.TemporaryDirectory(prefix="hydrascope-prefect-", ignore_cleanup_errors=True) as other:
            yield Path(other)
        return
    try:
        yield home
    finally:
        lock.release()


def _await(server: subprocess.Popen[bytes], url: str, home: Path) -> None:
    until = time.monotonic() + START_LIMIT
    while time.monotonic() < until:
        if server.poll() is not None:
            said = (home / "hydrascope-server.log").read_text(errors="replace").splitlines()
            last = next((line for line in reversed(said) if line.strip()), "it said nothing")
            raise ServerError(f"prefect: its server ended at once: {last.strip()[:200]}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:  # noqa: S310
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise ServerError(f"prefect: its server did not answer in {START_LIMIT:.0f} s; --plain needs none")


def _drain() -> None:
    """Send what logs and events are left, before the server goes."""
    import logging

    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=STOP_LIMIT)
    logging.getLogger("prefect").setLevel(logging.CRITICAL)  # nothing after this is about the run
    time.sleep(1.0)  # the server writes task events down in batches


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    if server.stdin:
        server.stdin.close()
