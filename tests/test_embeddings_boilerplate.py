"""What stands in many accounts' prompts is left out, to the letter, and nothing else."""

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from embeddings.boilerplate import boilerplate, without
from flows.pipeline import complete, plain, prepare
from flows.request import open_run
from flows.results import Inputs, read_inputs
from flows.settings import DetectSettings
from tests.tiny import START, use_tiny_encoder, write

SYSTEM = "You are Sonde, an assistant made by Acme.\nAnswer honestly, and in few words.\n\nUser:"
OTHER = "You are the writing coach of Acme. Keep the tone of the author and explain each change."


def tasks(n: int, seed: int = 0) -> pl.Series:
    rng = np.random.default_rng(seed)
    return pl.Series([" ".join(f"w{word}" for word in rng.integers(5_000, size=12)) for _ in range(n)])


def of_people(n: int) -> np.ndarray:
    return 1 + np.random.default_rng(1).poisson(np.random.default_rng(2).gamma(0.8, 20, n))


def test_a_system_prompt_is_found_to_the_letter_and_leaves_what_was_there_without_it() -> None:
    texts = tasks(300)
    found = boilerplate((SYSTEM + " " + texts).to_list(), np.full(300, 20))
    assert found == [SYSTEM]
    assert without(SYSTEM + " " + texts, found).equals(texts)
    assert without("  " + texts, []).equals("  " + texts)


@pytest.mark.parametrize(
    "system",
    [
        "Report CO₂ in kg/m² and H₂O in m³, with ½ a line for each of them, always.",
        "आप एक सहायक हैं और आप ग्राहकों के सवालों का जवाब विनम्रता से देते हैं कृपया हिन्दी में लिखें",
        "1️⃣ Read the question. 2️⃣ Answer it in a few words. 3️⃣ Stop.",
    ],
)
def test_a_system_prompt_is_found_in_any_script(system: str) -> None:
    for texts in (system + " " + tasks(300), tasks(300) + " " + system):
        left = without(texts, boilerplate(texts.to_list(), of_people(300)))
        assert left.equals(tasks(300))


def test_a_system_prompt_of_modules_is_left_out_piece_by_piece() -> None:
    rng = np.random.default_rng(4)
    modules = [f"{name} does as follows. " + text for name, text in zip("abcdefgh", tasks(8, 9), strict=True)]
    chosen = [" ".join(modules[m] for m in rng.choice(8, 3, replace=False)) for _ in range(600)]
    texts = SYSTEM + " " + pl.Series(chosen) + " " + tasks(600)
    left = without(texts, boilerplate(texts.to_list(), of_people(600)))
    assert left.str.split(" ").list.len().mean() < 13.0  # the task's twelve words, and hardly more


def test_some_words_in_front_of_what_all_have_go_with_it() -> None:
    heads = [
        f"{('Act as Alpha, for readers.', 'Be the Beta bot here.')[i % 2]} {SYSTEM} " for i in range(400)
    ]
    texts = pl.Series(heads) + tasks(400)
    left = without(texts, boilerplate(texts.to_list(), of_people(400)))
    assert left.equals(tasks(400))


@pytest.mark.parametrize("text", [" ", "two words"])
def test_texts_of_fewer_words_than_a_passage_have_none(text: str) -> None:
    assert boilerplate([text] * 100, of_people(100)) == []


def test_a_prompt_that_is_nothing_but_a_system_prompt_stays() -> None:
    texts = pl.Series([SYSTEM, f"{SYSTEM} and a question"])
    assert without(texts, [SYSTEM]).to_list() == [SYSTEM, "and a question"]


def test_a_date_in_a_system_prompt_parts_it_in_two() -> None:
    days = pl.Series([f" On day {i % 7} of the month " for i in range(300)])
    found = boilerplate((SYSTEM + days + OTHER + " " + tasks(300)).to_list(), of_people(300))
    assert found == ["of the month " + OTHER, SYSTEM + " On day"]


@pytest.mark.parametrize("even", [True, False])
def test_products_have_a_system_prompt_each_and_the_passage_of_accounts_that_send_alike_is_an_operators(
    even: bool,
) -> None:
    shown = [SYSTEM, OTHER, "", ""]
    texts = [f"{shown[i % 4]} {text}" for i, text in enumerate(tasks(400))]
    sent = of_people(400)
    sent[::4] = np.random.default_rng(3).poisson(30, 100) if even else sent[::4]
    assert boilerplate(texts, sent) == ([OTHER] if even else [OTHER, SYSTEM])


@pytest.mark.parametrize(("n", "every"), [(99, 1), (300, 6)])
def test_what_few_accounts_have_is_no_boilerplate(n: int, every: int) -> None:
    texts = [f"{SYSTEM} {text}" if i % every == 0 else text for i, text in enumerate(tasks(n))]
    assert boilerplate(texts, of_people(n)) == []


def test_a_log_behind_the_system_prompts_of_two_products_is_that_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_encoder(monkeypatch.setattr)
    rng = np.random.default_rng(0)
    weight = rng.gamma(0.8, 1, 200) + 0.1
    account = rng.choice(200, 1_800, p=weight / weight.sum())
    steps = "Show every single step of the reasoning, one a line: "
    asked = tasks(600).gather(rng.integers(0, 600, len(account)))  # by accounts of either product
    log = pl.DataFrame(
        {
            "request_id": [f"r{i}" for i in range(len(account))],
            "timestamp": [START + timedelta(minutes=3 * i) for i in range(len(account))],
            "account_id": [f"a{a:03}" for a in account],
            "prompt": pl.Series([steps if a < 30 else "" for a in account]) + asked,
        }
    )

    def found(name: str, log: pl.DataFrame) -> tuple[Inputs, Path]:
        written = str(write(log, tmp_path / name))
        run = open_run(written, tmp_path / name / "out", DetectSettings(), (None, None))
        prepare(run, plain())
        return read_inputs(run), complete(run, plain())

    product = pl.Series([(SYSTEM, OTHER)[a % 2] + " " for a in account])
    bare, clean = found("bare", log)
    behind, dressed = found("dressed", log.with_columns(prompt=product + pl.col("prompt")))
    assert behind.log.rows["text"].equals(bare.log.rows["text"])
    assert behind.texts.equals(bare.texts)
    assert behind.prompts.to_list() == (product + bare.prompts).to_list()
    told = [
        json.loads((run / "manifest.json").read_text())["boilerplate_characters"] for run in (clean, dressed)
    ]
    assert told == [0, len(SYSTEM) + len(OTHER)]
    for name in ("n_prompts", "n_accounts", "template", "keywords"):
        one, other = (pl.read_parquet(run / "clusters.parquet")[name].to_list() for run in (clean, dressed))
        assert one == other
    shown = pl.read_parquet(dressed / "campaign_exemplars.parquet")["prompt"]
    assert shown.str.contains("Acme").all()
