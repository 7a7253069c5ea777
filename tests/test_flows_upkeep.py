"""The weekly refit and the clean-up, as flows on a real Prefect server."""

import json
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.errors import InputError
from flows.pipeline import complete, plain
from flows.request import open_run
from flows.run import begin
from flows.settings import DetectSettings
from tests.prefect_api import latest_run
from tests.tiny import START, rows, use_tiny_encoder, write

pytestmark = pytest.mark.prefect


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tiny encoder under a new name at each fit; holds how many texts each one saw."""
    use_tiny_encoder(monkeypatch.setattr)
    seen: list[int] = []

    def fit(texts: Any, counts: Any, folder: Path, settings: Any, seed: int) -> str:
        folder.mkdir(parents=True)
        seen.append(len(texts))
        return f"e{len(seen)}"

    monkeypatch.setattr("embeddings.fit.fit_encoder", fit)
    return seen


def of_late(folder: Path) -> Path:
    """Write the rows as if sent the day before yesterday."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    shift = today - timedelta(days=2) - START
    return write(rows().with_columns(timestamp=rows()["timestamp"] + shift), folder)


def detected(log: Path, output: Path, **settings: Any) -> dict[str, Any]:
    run = open_run(str(log), output, DetectSettings(**settings), (None, None))
    return dict(json.loads((complete(run, plain()) / "manifest.json").read_text()))


@pytest.mark.usefixtures("prefect_api")
def test_after_a_refit_runs_use_the_new_encoder_and_the_manifest_says_so(
    tmp_path: Path, fits: list[int]
) -> None:
    from flows.upkeep import refit

    log, output = of_late(tmp_path), tmp_path / "out"
    assert detected(log, output)["encoder"]["identity"] == "e1"
    assert refit(str(log), output) == "e2"
    assert latest_run("refit encoder")["name"].startswith("refit encoder ")
    assert len(fits) == 2
    after = detected(log, output, topics=5)
    assert (after["encoder"]["identity"], after["prior"]) == ("e2", {"encoder": "e2"})
    assert list((output / ".staging").glob("*/")) == []
    assert refit(str(log), output, days=1) == ""  # nothing was sent yesterday: the encoder stays
    assert detected(log, output, topics=6)["encoder"]["identity"] == "e2"


@pytest.mark.usefixtures("prefect_api", "fits")
def test_a_refit_leaves_nothing_of_a_log_that_turns_out_to_be_damaged(tmp_path: Path) -> None:
    from flows.upkeep import refit

    log = of_late(tmp_path)
    column = pq.read_metadata(log).row_group(0).column(pq.read_schema(log).get_field_index("prompt"))
    with log.open("r+b") as file:
        file.seek(column.dictionary_page_offset or column.data_page_offset)
        file.write(b"\0" * column.total_compressed_size)
    with pytest.raises(InputError):
        refit(str(log), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("prefect_api")
def test_the_clean_up_leaves_published_runs_and_what_they_were_made_with(
    tmp_path: Path, fits: list[int]
) -> None:
    from flows.upkeep import clean_up

    log, output = write(rows(), tmp_path), tmp_path / "out"
    long_ago = time.time() - 40 * 86_400
    detected(log, output)
    os.utime(next(output.glob("date=*/run_id=*")), (long_ago, long_ago))
    detected(log, output, seed=1)
    begin(open_run(str(log), output, DetectSettings(seed=2), (None, None)))
    (output / "vectors" / "e1").mkdir(parents=True, exist_ok=True)
    assert clean_up(output) == {"unfinished runs": 0, "superseded runs": 0, "encoders": 0}
    for place in [*output.glob("superseded/*/*"), *output.glob("encoder/*"), *output.glob(".staging/*/")]:
        os.utime(place, (long_ago, long_ago))
    lost = output / "date=2026-05-01" / "run_id=r0" / "manifest.json"
    lost.parent.mkdir(parents=True)
    lost.write_text("{")
    assert clean_up(output) == {"unfinished runs": 1, "superseded runs": 1, "encoders": 0}
    shutil.rmtree(lost.parent.parent)  # what an unreadable file names may be in use
    assert clean_up(output) == {"unfinished runs": 0, "superseded runs": 0, "encoders": 1}
    assert [folder.name for folder in output.glob("encoder/*/")] == ["e2"]
    assert not (output / "vectors" / "e1").exists()
    assert len(list(output.glob("date=*/run_id=*"))) == 1
    assert clean_up(output) == {"unfinished runs": 0, "superseded runs": 0, "encoders": 0}


def test_a_run_that_finishes_while_it_is_looked_at_does_not_stop_the_clean_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.upkeep import tidy

    run = open_run(str(write(rows(), tmp_path)), tmp_path / "out", DetectSettings(), (None, None))
    begin(run)
    (run.output / "encoder" / "e1").mkdir(parents=True)
    os.utime(run.output / "encoder" / "e1", (0, 0))
    real = Path.read_text

    def finishes(file: Path) -> str:
        if file.name == "request.json":
            published = run.output / "date=2026-06-01" / "run_id=r1"
            published.mkdir(parents=True)
            (published / "manifest.json").write_text('{"encoder": {"identity": "e1"}}')
            file.unlink()
        return real(file)

    monkeypatch.setattr(Path, "read_text", finishes)
    assert tidy(run.output, 30, 7)["encoders"] == 0
