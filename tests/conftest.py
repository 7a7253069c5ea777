"""Fixtures that more than one test file uses."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.server import set_defaults

# Before anything imports Prefect: no test touches the home of whoever runs it, or a server of theirs.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="hydrascope-tests-")
atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)
os.environ["PREFECT_UI_ENABLED"] = "1"  # for the tests in a browser
os.environ.pop("PREFECT_API_URL", None)
set_defaults()


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[str]:
    """A Prefect server for the session, schedules and automations included; yields the URL of its API."""
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from rich.console import Console

    from flows.server import own_server

    with own_server(Console(stderr=True)) as url, temporary_settings({PREFECT_API_URL: url}):
        yield url


@pytest.fixture(scope="session")
def shared() -> Path:
    """The development data beside the project; a test that asks for it is skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data" / "prompts_dev.parquet").exists():
        pytest.skip(f"no development data at {folder}")
    return folder
