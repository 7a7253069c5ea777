"""A run on disk: finished or not there, resumed, alone at its work, the same whatever happens on the way."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import polars as pl
import pytest
from filelock import FileLock

from embeddings.clusters import cluster_vectors
from flows import stages
from flows.errors import HydrascopeError, InputError, StageError, StorageError
from flows.pipeline import complete, plain, prepare
from flows.request import open_run
from flows.run import Run, begin, load_run, locked, perform, sweep
from flows.settings import DetectSettings
from flows.stages import vectors_of
from tests.tiny import planted, rows, same_tables, tables, use_tiny_encoder, write

STAGES = (
    "sample", "views:skeleton", "fit", "embed", "index", "neighbours:skeleton/0", "cluster", "link",
    "evidence", "report",
)  # fmt: skip


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_encoder(monkeypatch.setattr)


def opened(folder: Path, **settings: Any) -> Run:
    log = write(rows(), folder)
    return open_run(str(log), folder / "out", DetectSettings(**settings), (None, None))


def driven(log: Path, output: Path, victim: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "tests.kill_driver", str(log), str(output), victim]
    root = Path(__file__).resolve().parents[1]
    return subprocess.run(call, capture_output=True, text=True, cwd=root, check=False)


def test_opening_a_run_writes_nothing(tmp_path: Path) -> None:
    opened(tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("tiny")
def test_the_strength_of_a_cluster_is_the_mean_over_its_prompts(tmp_path: Path) -> None:
    again = planted().filter(pl.col("account_id") > "a70").with_columns(pl.format("{}b", "request_id"))
    log = write(pl.concat([planted(), again.head(90)]), tmp_path)
    run = open_run(str(log), tmp_path / "out", DetectSettings(), (None, None))
    prepare(run, plain())
    perform(stages.evidence, run)
    rows = pl.read_parquet(run.place("link") / "rows.parquet")
    of_text = np.load(run.place("views", "full") / "of_text.npy")
    strengths = np.load(run.place("cluster", "full") / "strengths.npy")[of_text][rows["text"]]
    rows = rows.with_columns(strength=strengths).drop_nulls("cluster_full").sort("cluster_full")
    expected = rows.group_by("cluster_full", maintain_order=True).agg(pl.col("strength").mean())["strength"]
    found = pl.read_parquet(run.place("evidence") / "clusters.parquet").filter(pl.col("view") == "full")
    np.testing.assert_allclose(found["strength"], expected)


def test_a_stage_is_finished_or_not_there(tmp_path: Path) -> None:
    run = opened(tmp_path)
    begin(run)

    def half(run: Run, part: str, out: Path) -> dict[str, int]:
        (out / "half.txt").write_text("half")
        raise RuntimeError("words of a prompt")

    with pytest.raises(StageError, match=r"^stage half failed: RuntimeError at test_flows_run.py:\d+$"):
        perform(half, run)
    assert run.done("half") is None
    assert not run.place("half").exists()


def test_clusters_are_those_of_the_engine_with_the_settings_of_the_run(tmp_path: Path) -> None:
    found = []
    shouted = planted().with_columns(pl.format("{}b", "request_id"), pl.col("prompt").str.to_uppercase())
    log = write(pl.concat([planted(), shouted]), tmp_path)
    for smoothing, share in ((0, 1.0), (6, 0.35)):
        settings = DetectSettings(clusters={"smoothing": smoothing, "join": share, "min_cluster_size": 4})
        run = open_run(str(log), tmp_path / f"out{smoothing}", settings, (None, None))
        prepare(run, plain())
        counts = pl.read_parquet(run.place("views", "full") / "texts.parquet")["count"].to_numpy()
        labels = np.load(run.place("cluster", "full") / "labels.npy")
        vectors = vectors_of(run, "full")
        expected, _ = cluster_vectors(vectors, counts, settings.index, settings.clusters, settings.seed)
        assert labels.tolist() == expected.labels.tolist()
        assert run.done("index", "full")["points"] == len(np.unique(vectors, axis=0)) <= len(vectors) / 2
        found.append(labels.tolist())
    assert found[0] != found[1]


def test_a_finished_stage_is_not_done_again(tmp_path: Path) -> None:
    run = opened(tmp_path)
    begin(run)
    calls = []

    def once(run: Run, part: str, out: Path) -> dict[str, int]:
        calls.append(part)
        return {"n": len(calls)}

    first = [perform(once, run, part) for part in ("a/0", "a/1")]
    again = perform(once, load_run(run.folder), "a/0")
    assert calls == ["a/0", "a/1"]
    assert again == first[0] | {"resumed": True}


def test_a_stage_whose_counts_the_disk_lost_is_done_again(tmp_path: Path) -> None:
    run = opened(tmp_path)
    begin(run)

    def whole(run: Run, part: str, out: Path) -> dict[str, int]:
        return {"n": 1}

    perform(whole, run)
    (run.place("whole") / "done.json").write_text("")  # as a power cut leaves a file
    assert run.done("whole") is None
    assert "resumed" not in perform(whole, run)
    assert "resumed" in perform(whole, run)


def test_a_full_disk_is_an_error_that_may_pass(tmp_path: Path) -> None:
    run = opened(tmp_path)
    begin(run)

    def full(run: Run, part: str, out: Path) -> dict[str, int]:
        raise OSError(28, "No space left on device", str(out))

    with pytest.raises(StorageError, match="stage full failed: No space left on device"):
        perform(full, run)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ESTALE, "Stale file handle", "/log/account_id=alice/x.parquet"),
            "is not in the output",
        ),
        (ValueError("no such day: my disk says errno 28"), "ValueError at"),
        (ValueError("errno 99999999999"), "ValueError at"),
        (pl.exceptions.ComputeError("No space left on device (os error 28)"), "No space left on device: /"),
        (pl.exceptions.ComputeError("os error 99999999999"), "ComputeError at"),
    ],
)
def test_an_error_that_others_wrote_is_named_by_its_number_and_by_no_file_of_the_log(
    tmp_path: Path, error: Exception, said: str
) -> None:
    run = opened(tmp_path)
    begin(run)

    def stage(run: Run, part: str, out: Path) -> dict[str, int]:
        raise error

    with pytest.raises(StageError, match=said) as caught:
        perform(stage, run)
    assert "alice" not in str(caught.value)


def test_the_request_is_what_changes_the_result(tmp_path: Path) -> None:
    run = opened(tmp_path)
    assert opened(tmp_path, work={"workers": 2, "time_limit": 5}).request == run.request
    assert opened(tmp_path, seed=1).request != run.request
    assert opened(tmp_path, clusters={"min_cluster_size": 7}).request != run.request
    moved = write(rows(), tmp_path / "elsewhere")
    assert open_run(str(moved), tmp_path / "out2", DetectSettings(), (None, None)).run_id == run.run_id
    assert run.run_id[0] == "r"


def test_a_log_that_changed_since_it_was_opened_is_refused(tmp_path: Path) -> None:
    run = opened(tmp_path)
    write(rows(prompt=["other words"] * 40), tmp_path)
    with pytest.raises(InputError, match=r"log.parquet changed while it was read"):
        complete(run, plain())
    assert list((tmp_path / "out" / ".staging").glob("*/")) == []


@pytest.mark.usefixtures("tiny")
def test_a_run_that_was_cut_off_is_resumed_from_where_the_log_was_moved(tmp_path: Path) -> None:
    log = write(rows(), tmp_path / "there")
    begin(open_run(str(log), tmp_path / "out", DetectSettings(), (None, None)))
    moved = log.rename(tmp_path / "moved.parquet")
    run_dir = complete(open_run(str(moved), tmp_path / "out", DetectSettings(), (None, None)), plain())
    assert json.loads((run_dir / "manifest.json").read_text())["inputs"]["log"] == str(moved)


def test_a_run_that_was_cut_off_is_resumed_where_its_output_was_moved(tmp_path: Path) -> None:
    log = str(write(planted(), tmp_path))

    def dies(stage: str, part: str, counts: dict[str, Any]) -> None:
        if stage == "fit":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        complete(open_run(log, tmp_path / "out", DetectSettings(), (None, None)), plain(dies))
    (tmp_path / "out").rename(tmp_path / "moved")
    run_dir = complete(open_run(log, tmp_path / "moved", DetectSettings(), (None, None)), plain())
    assert run_dir.is_relative_to(tmp_path / "moved")


def test_who_waits_for_a_call_that_is_refused_looks_for_itself(tmp_path: Path) -> None:
    run = open_run(str(write(rows(), tmp_path)), tmp_path / "out", DetectSettings(), (None, None))
    begun, said = threading.Event(), list[str]()

    def refused() -> None:
        try:
            with locked(run):
                begin(run)
                begun.set()
                time.sleep(0.3)
                raise InputError("the log is at fault")
        except HydrascopeError as error:
            said.append(str(error))

    calls = [threading.Thread(target=refused) for _ in range(2)]
    calls[0].start()
    begun.wait()
    calls[1].start()
    for called in calls:
        called.join()
    assert said == ["the log is at fault"] * 2
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = write(rows(), tmp_path)
    for output, said in (
        (tmp_path / "file" / "out", "is not a folder that may be written"),
        (Path("/proc/out"), "is not a folder that may be written"),
        (tmp_path / "new" / ("x" * 256), "longer than 255 bytes"),
    ):
        with pytest.raises(InputError, match=said):
            open_run(str(log), output, DetectSettings(), (None, None))


def test_an_output_whose_tables_would_be_read_as_the_log_is_refused(tmp_path: Path) -> None:
    write(rows(), tmp_path / "date=2026-06-01")
    for name in ("", "date=2026-06-01", "team=one"):
        with pytest.raises(InputError, match="would be read as log"):
            open_run(str(tmp_path), tmp_path / name, DetectSettings(), (None, None))
    with pytest.raises(InputError, match="would be read as log"):
        open_run(str(tmp_path / "date=*"), tmp_path, DetectSettings(), (None, None))
    (tmp_path / "link").symlink_to(tmp_path)
    for log, name in (("**/*.parquet", "out"), ("link", ""), ("link/d*/*", "")):
        with pytest.raises(InputError, match="would be read as log"):
            open_run(str(tmp_path / log), tmp_path / name, DetectSettings(), (None, None))
    others = (
        ("", "out"),
        ("*/*.parquet", "out"),
        ("date=2026-06-01", "out"),
        ("date=2026-06-01/log.parquet", ""),
        ("date=*", "out"),
    )
    for log, name in others:
        open_run(str(tmp_path / log), tmp_path / name, DetectSettings(), (None, None))


def test_an_output_in_a_folder_that_may_not_be_entered_is_refused(tmp_path: Path) -> None:
    with fsspec.open("memory://closed/log.parquet", "wb") as file:
        rows().write_parquet(file)
    settings, closed = DetectSettings(), tmp_path / "closed"
    closed.mkdir(mode=0)
    open_run("memory://closed", tmp_path / "out", settings, (None, None))
    root = os.geteuid() == 0
    if root:
        os.setresuid(65534, 65534, 0)
    try:
        with pytest.raises(InputError, match="is not a folder that may be written"):
            open_run("memory://closed", closed / "new" / "out", settings, (None, None))
    finally:
        if root:
            os.setresuid(0, 0, 0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"encoding": {"prompt_name": "clustering"}}, "prompt_name 'clustering': the fitted encoder has"),
        ({"index": {"factory": "IVF16,PQ7"}}, "'IVF16,PQ7' does not suit vectors of 256 dimensions"),
    ],
)
def test_what_the_encoder_cannot_do_is_refused(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        opened(tmp_path, **settings)


def test_a_window_that_ends_before_it_starts_is_refused(tmp_path: Path) -> None:
    log = write(rows(), tmp_path)
    with pytest.raises(InputError, match="is not after its start"):
        open_run(str(log), tmp_path / "out", DetectSettings(), (86_400_000_000, 0))


@pytest.mark.usefixtures("tiny")
def test_killed_at_each_stage_and_started_again_it_ends_with_the_same_tables(tmp_path: Path) -> None:
    log = write(planted(), tmp_path)
    whole = complete(open_run(str(log), tmp_path / "whole", DetectSettings(), (None, None)), plain())
    output = tmp_path / "out"
    for victim in (*STAGES, "publish"):
        ran = driven(log, output, victim)
        assert ran.returncode == -signal.SIGKILL, (victim, ran.stderr)
        assert (output / "latest.json").exists() == (victim == "publish")
        assert len(list(output.glob("date=*/run_id=*"))) == (victim == "publish")
    ended = driven(log, output, "none")
    assert ended.returncode == 0, ended.stderr
    run_dir = Path(ended.stdout)
    assert run_dir.name == whole.name
    assert same_tables(run_dir, whole)
    assert tables(run_dir)["campaigns"].height
    assert list((output / ".staging").glob("*/")) == []


@pytest.mark.usefixtures("tiny")
def test_a_resumed_stage_is_not_done_twice(tmp_path: Path) -> None:
    run = opened(tmp_path)
    did: list[str] = []

    def stops(stage: str, part: str, counts: dict[str, Any]) -> None:
        did.append(stage)
        if stage == "embed":
            raise StageError("test", "stop here")

    with pytest.raises(StageError):
        complete(run, plain(stops))
    resumed: list[str] = []
    complete(run, plain(lambda stage, part, counts: resumed.append(stage) if "resumed" in counts else None))
    assert did[0] == "sample"
    assert resumed == ["sample", "views", "views", "views", "fit", "embed"]


@pytest.mark.usefixtures("tiny")
def test_a_kill_while_a_finished_run_is_cleared_away_leaves_nothing_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(folder: Path, **_: Any) -> None:
        if (folder / "request.json").exists():
            (folder / "request.json").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", dies)
        with pytest.raises(KeyboardInterrupt):
            complete(opened(tmp_path), plain())
    complete(opened(tmp_path, seed=1), plain())
    resumed: list[str] = []
    complete(
        opened(tmp_path), plain(lambda stage, part, counts: resumed.extend([stage] * ("resumed" in counts)))
    )
    assert resumed == []


@pytest.mark.usefixtures("tiny")
def test_a_published_request_is_answered_at_once(tmp_path: Path) -> None:
    run = opened(tmp_path)
    first = complete(run, plain())
    changed = first.stat().st_mtime_ns

    def no_stage(*_: Any) -> None:
        raise AssertionError("a stage ran")

    again = complete(opened(tmp_path), no_stage)
    assert (again, again.stat().st_mtime_ns) == (first, changed)


@pytest.mark.usefixtures("tiny")
def test_two_runs_of_one_window_at_the_same_time_do_not_harm_each_other(tmp_path: Path) -> None:
    log = write(rows(), tmp_path)
    found: list[Path] = []

    def go(seed: int) -> None:
        run = open_run(str(log), tmp_path / "out", DetectSettings(seed=seed), (None, None))
        found.append(complete(run, plain()))

    threads = [threading.Thread(target=go, args=(seed,)) for seed in (0, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    latest = json.loads((tmp_path / "out" / "latest.json").read_text())
    published = list((tmp_path / "out").glob("date=*/run_id=*"))
    assert [run.name for run in published] == [f"run_id={latest['current']['2026-06-01']}"]


def test_a_fitted_encoder_serves_every_later_run_until_a_refit_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_encoder(monkeypatch.setattr)
    fits: list[str] = []

    def fit(texts: Any, counts: Any, folder: Path, settings: Any, seed: int) -> str:
        fits.append(f"e{len(fits)}")
        folder.mkdir(parents=True)
        return fits[-1]

    monkeypatch.setattr("embeddings.fit.fit_encoder", fit)

    def encoder(log: Path, **settings: Any) -> str:
        run = open_run(str(log), tmp_path / "out", DetectSettings(**settings), (None, None))
        manifest = json.loads((complete(run, plain()) / "manifest.json").read_text())
        return str(manifest["encoder"]["identity"])

    june, july = write(rows(), tmp_path / "june"), write(rows(prompt=["words"] * 40), tmp_path / "july")
    assert [encoder(june), encoder(july), encoder(june, encoding={"batch_tokens": 64})] == ["e0"] * 3
    assert encoder(july, fit={"dimension": 64}) == "e1"
    assert encoder(july, topics=4) == "e0"  # as if nobody had asked for another fit
    for current in (tmp_path / "out" / "encoder").glob("current-*.json"):
        current.unlink()
    assert [encoder(june, topics=5), encoder(july, topics=5)] == ["e2"] * 2


@pytest.mark.usefixtures("tiny")
def test_a_fitted_encoder_is_on_the_disk_before_later_runs_can_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda opened: kept.add(os.fstat(opened).st_ino))
    complete(opened(tmp_path), plain())
    assert (tmp_path / "out" / "encoder" / "tiny" / "tiny").stat().st_ino in kept


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("shards", [1, 3])
def test_the_tables_do_not_depend_on_the_number_of_shards(
    tmp_path: Path, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.stages.SHARD_LEAST", 50)
    monkeypatch.setattr("embeddings.index.BLOCK_LEAST", 50)
    log = write(planted(), tmp_path)
    one = complete(open_run(str(log), tmp_path / "one", DetectSettings(), (None, None)), plain())
    settings = DetectSettings.model_validate({"work": {"shards": shards}})
    told: list[tuple[str, str, dict[str, Any]]] = []
    run = open_run(str(log), tmp_path / "other", settings, (None, None))
    other = complete(run, plain(lambda *done: told.append(done)))
    assert same_tables(one, other)
    for stage, what in (("embed", "texts"), ("neighbours", "points")):
        sizes = [counts[what] for name, part, counts in told if name == stage and part.startswith("full/")]
        assert len(sizes) == shards
        assert min(sizes) > 200


@pytest.mark.usefixtures("tiny")
def test_a_call_that_waited_goes_on_with_the_shards_of_the_one_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.stages.SHARD_LEAST", 50)
    monkeypatch.setattr("embeddings.index.BLOCK_LEAST", 50)
    log = str(write(planted(), tmp_path))
    whole = complete(open_run(log, tmp_path / "whole", DetectSettings(), (None, None)), plain())
    first, second = (
        open_run(
            log, tmp_path / "out", DetectSettings.model_validate({"work": {"shards": shards}}), (None, None)
        )
        for shards in (3, 1)
    )

    def dies(stage: str, part: str, counts: dict[str, Any]) -> None:
        if stage == "embed":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        complete(first, plain(dies))
    assert same_tables(complete(second, plain()), whole)


@pytest.mark.usefixtures("tiny")
def test_an_encoder_that_another_run_has_kept_meanwhile_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "out" / "encoder" / "tiny"

    def meanwhile(folder: Path) -> None:
        if folder.name == "model":
            kept.mkdir(parents=True)
            (kept / "theirs").touch()

    monkeypatch.setattr("flows.stages.sync", meanwhile)
    complete(opened(tmp_path), plain())
    assert [file.name for file in kept.iterdir()] == ["theirs"]


def test_stale_staging_is_swept_and_what_is_at_work_is_left(tmp_path: Path) -> None:
    runs = [opened(tmp_path, seed=seed) for seed in range(3)]
    for run in runs:
        begin(run)
    (runs[1].folder / "request.json").rename(runs[1].folder / "rows.parquet")  # as a kill can leave it
    locks = [Path(f"{run.folder}.lock") for run in runs]
    with FileLock(locks[0]), FileLock(locks[2]):
        for place in (runs[0].folder, runs[1].folder, *locks[::2]):
            os.utime(place, (time.time() - 9 * 86_400,) * 2)
        assert sweep(runs[0].output, 7) == 1
    assert [run.folder.exists() for run in runs] == [True, False, True]
    assert [lock.exists() for lock in locks] == [True, False, True]
    assert sweep(runs[0].output, 7) == 1
    assert [lock.exists() for lock in locks] == [False] * 3
