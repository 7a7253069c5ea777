"""What stands in many accounts' prompts is left out, to the letter, and nothing else."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from embeddings.boilerplate import boilerplate, seen_without
from embeddings.views import View, ViewSettings, view_texts
from flows.pipeline import complete, plain
from flows.run import Run, open_run
from flows.settings import DetectSettings
from tests.tiny import START, use_tiny_encoder, write

SYSTEM = "You are Sonde, an assistant made by Acme.\nAnswer honestly, and in few words.\n\nUser:"
OTHER = "You are the writing coach of Acme. Keep the tone of the author and explain each change."


def tasks(n: int, seed: int = 0) -> pl.Series:
    rng = np.random.default_rng(seed)
    return pl.Series([" ".join(f"w{word}" for word in rng.integers(5_000, size=12)) for _ in range(n)])


def test_a_system_prompt_is_found_to_the_letter_and_leaves_what_was_there_without_it() -> None:
    texts = tasks(300)
    (passage,) = boilerplate((SYSTEM + " " + texts).to_list())
    assert passage == SYSTEM
    for view in View:
        seen = seen_without(view, SYSTEM + " " + texts, {passage: 1.0}, ViewSettings())
        assert seen == view_texts(view, texts.to_list(), ViewSettings())


def test_a_date_in_a_system_prompt_parts_it_in_two() -> None:
    days = pl.Series([f" On day {i % 7} of the month " for i in range(300)])
    found = boilerplate((SYSTEM + days + OTHER + " " + tasks(300)).to_list())
    assert set(found) == {SYSTEM + " On day", "of the month " + OTHER}


def test_products_have_a_system_prompt_each() -> None:
    texts = tasks(400)
    shown = [SYSTEM, OTHER, "", ""]
    found = boilerplate([f"{shown[i % 4]} {text}" for i, text in enumerate(texts)])
    assert found == pytest.approx({SYSTEM: 0.25, OTHER: 0.25})


@pytest.mark.parametrize(("n", "every"), [(99, 1), (300, 6)])
def test_what_few_accounts_have_is_no_boilerplate(n: int, every: int) -> None:
    texts = [f"{SYSTEM} {text}" if i % every == 0 else text for i, text in enumerate(tasks(n))]
    assert boilerplate(texts) == {}


def test_a_passage_of_a_part_of_the_accounts_is_a_run_where_there_is_no_other() -> None:
    template = "Now grade this answer from one to ten, and say why: "
    plain_, ours = tasks(60), template + tasks(40, seed=1)
    texts = pl.concat([SYSTEM + " " + plain_, SYSTEM + " " + ours, tasks(60, seed=2)])
    seen = seen_without(View.RUN, texts, {SYSTEM: 0.6}, ViewSettings())
    assert seen[:60] == [SYSTEM] * 60
    assert set(seen[60:100]) == {"Now grade this answer from one to ten , and say why"}
    assert set(seen[100:]) == {""}
    assert set(seen_without(View.RUN, texts, {SYSTEM: 0.9}, ViewSettings())[:60]) == {""}


def test_a_log_with_a_system_prompt_in_every_request_gives_the_clusters_of_the_log_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_encoder(monkeypatch.setattr)
    rng = np.random.default_rng(0)
    account = np.sort(rng.integers(0, 120, 1_500))
    steps = "Show every single step of the reasoning, one a line: "
    template = pl.Series([steps if a < 20 else "" for a in account])
    log = pl.DataFrame(
        {
            "request_id": [f"r{i}" for i in range(len(account))],
            "timestamp": [START + timedelta(minutes=3 * i) for i in range(len(account))],
            "account_id": [f"a{a:03}" for a in account],
            "prompt": template + tasks(len(account)),
        }
    )

    def run(name: str, log: pl.DataFrame) -> Run:
        written = str(write(log, tmp_path / name))
        return open_run(written, tmp_path / name / "out", DetectSettings(), (None, None))

    bare, dressed = run("bare", log), run("dressed", log.with_columns(prompt=SYSTEM + " " + pl.col("prompt")))
    folders = [complete(one, plain()) for one in (bare, dressed)]
    for name in ("n_prompts", "n_accounts", "template", "keywords"):
        one, other = (pl.read_parquet(folder / "clusters.parquet")[name].to_list() for folder in folders)
        assert one == other
    shown = pl.read_parquet(folders[1] / "campaign_exemplars.parquet")["prompt"]
    assert shown.str.contains("Sonde").all()
