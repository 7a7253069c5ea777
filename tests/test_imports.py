"""The rooms import one way: campaigns/ and embeddings/ know neither each other nor flows/."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "embeddings": {"campaigns", "flows", "prefect"},
    "campaigns": {
        "embeddings", "flows", "prefect", "faiss", "hdbscan", "sentence_transformers", "torch",
    },
    "flows": {"benchmarks", "tests"},
}  # fmt: skip
HEAVY = ("torch", "sentence_transformers", "faiss", "hdbscan", "sklearn", "prefect", "polars", "pydantic")


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_room_imports_what_it_must_not_know(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    wrong = {str(file.relative_to(ROOT)): imported(file) & FORBIDDEN[room] for file in files}
    assert {file: names for file, names in wrong.items() if names} == {}


def test_only_the_flow_and_what_deploys_it_know_prefect() -> None:
    knowing = {file.name for file in (ROOT / "flows").glob("*.py") if "prefect" in imported(file)}
    assert knowing <= {"artifacts.py", "detect.py", "server.py", "deploy.py", "upkeep.py"}


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import atexit, sys
from flows.cli import app
atexit.register(lambda: print("heavy:", [name for name in {HEAVY!r} if name in sys.modules]))
app(["--help"])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout.endswith("heavy: []\n")
    assert "detect" in ran.stdout
    assert "verdict" not in ran.stdout


def test_settings_are_read_without_the_libraries_that_compute() -> None:
    code = "import sys, flows.settings; print([n for n in ('torch', 'faiss', 'prefect') if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout == "[]\n"
