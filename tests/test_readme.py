"""The README does what it says: its commands and queries are run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's commands were run, in order."""
    place = tmp_path_factory.mktemp("reader")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for block in blocks("bash"):
        done = subprocess.run(
            ["bash", "-euc", block],
            cwd=place,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    return place


def test_the_python_of_the_readme_runs_on_what_its_commands_made(folder: Path):
    assert blocks("python")
    for block in blocks("python"):
        done = subprocess.run([sys.executable, "-c", block], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "accounts:" in done.stdout  # the title of a campaign


def test_the_sql_of_the_readme_runs_on_what_its_commands_made(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    assert blocks("sql")
    for block in blocks("sql"):
        assert duckdb.sql(block).fetchall()


def test_every_make_target_of_the_readme_is_there():
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([\w-]+)", README)) <= targets


def test_the_readme_explains_every_column_and_every_closed_word():
    from campaigns import vocabulary
    from flows.tables import TABLES

    said = set(re.findall(r"`([^`\s]+)`", re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)))
    columns = {name for schema in TABLES.values() for name in schema.names}
    words = {
        word for enum in (vocabulary.Signal, vocabulary.Explanation, vocabulary.Capability) for word in enum
    }
    assert not (columns | {str(word) for word in words}) - said


def test_every_file_that_the_documents_link_to_is_there():
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        links = re.findall(r"\]\(([^)#\s]+)\)", document.read_text("utf-8"))
        assert links
        assert all((document.parent / link).exists() for link in links if not link.startswith("http"))
