"""Fixtures that more than one test file uses."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The development data beside the project; a test that asks for it is skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data" / "prompts_dev.parquet").exists():
        pytest.skip(f"no development data at {folder}")
    return folder
