import os
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import floordiv
from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytest.importorskip("benchmarks.detection", reason="benchmarks lie beside the tests")

from benchmarks.detection.__main__ import arguments, chosen
from benchmarks.detection.calibration import summary
from benchmarks.detection.jobs import apart
from benchmarks.detection.logs import grid, planned, published
from benchmarks.detection.rivals.blocks import densest
from benchmarks.detection.rivals.coposting import coposting_groups
from benchmarks.detection.rivals.cosine import cosine_groups
from benchmarks.detection.rivals.space import text_space, tfidf_rows
from benchmarks.detection.rivals.windows import counted
from benchmarks.detection.score import (
    DRESSED,
    OURS,
    SYSTEM_PROMPTS,
    TEXT_ONLY,
    account_confidence,
    first_seen,
    frames,
    run_log,
)
from benchmarks.detection.summary import (
    CONFIDENT,
    at_most,
    by_size,
    confidence,
    found_by,
    interval,
    mean,
    share,
    to_detection,
)
from benchmarks.detection.summary import (
    summary as by_method,
)
from benchmarks.detection.windows_protocol import exceeded, excess, recurring
from campaigns.simulation.library import DECOYS, SCENARIOS
from campaigns.simulation.simulate import play


@pytest.fixture(scope="module")
def planted() -> pl.DataFrame:
    """Ten accounts with one template within seconds of one another, among forty with words of their own."""
    rng = np.random.default_rng(0)
    start = datetime(2026, 6, 1, tzinfo=UTC)
    rows = [
        (
            f"op{i}",
            f"Be a careful grader and score item {k}",
            start + timedelta(hours=k, seconds=i),
        )
        for k in range(12)
        for i in range(10)
    ]
    rows += [
        (f"p{i}", " ".join(f"w{x}" for x in rng.integers(0, 900, 12)), start + timedelta(minutes=float(m)))
        for i in range(40)
        for m in rng.uniform(0, 5000, 10)
    ]
    return pl.DataFrame(rows, schema=["account_id", "prompt", "timestamp"], orient="row")


@pytest.mark.parametrize("method", [coposting_groups, cosine_groups])
def test_a_planted_crew_is_a_group_of_its_own(planted: pl.DataFrame, method):
    numbered = pl.concat_str(pl.lit("966 "), "prompt").alias("prompt")
    for traffic in (planted, planted.with_columns(numbered)):
        groups = method(traffic, text_space(traffic, 0), 0)
        assert [f"op{i}" for i in range(10)] in [sorted(g) for g in groups]


def test_our_tf_idf_is_that_of_scikit_learn():
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = [
        "a red fox ran",
        "the red fox",
        "Red fox, red FOX!",
        "",
        "the the the fox ran",
        "the red dog ran",
    ]
    theirs = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True).fit_transform(words)
    ours = tfidf_rows(pl.Series(words))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose((ours @ ours.T).toarray(), (theirs @ theirs.T).toarray(), atol=1e-6)


def test_the_densest_block_is_the_planted_one():
    rng = np.random.default_rng(1)
    noise = np.c_[rng.integers(10, 200, 300), rng.integers(10, 300, 300)]
    block = np.array([(a, o) for a in range(10) for o in range(10)])
    accounts, objects = densest(np.unique(np.r_[noise, block], axis=0))
    assert accounts == set(range(10))
    assert objects == set(range(10))


def test_the_plan_plays_every_scenario_of_its_split_and_no_other():
    for split in ("tuning", "heldout"):
        plan = planned(split, True, 1, 1)
        played = [c.name for log in plan for c in log.campaigns]
        assert sorted(played) == sorted(n for n, s in SCENARIOS.items() if s.split == split)
        beside = {d.name for log in plan if log.kind == "campaigns" for d in log.decoys}
        assert beside == {n for n, s in DECOYS.items() if s.split == split}
    assert len(grid("fixed_preamble", "tuning", 2)) == 40


def test_days_of_the_public_record_have_its_sizes_and_an_ordinary_crowd():
    requests = {log.strength: log.campaigns[0].accounts * log.campaigns[0].per_day for log in published()}
    assert requests["25000 x 12.6 a day"] == 315_000  # 28.8 million in a quarter
    assert max(requests.values()) == pytest.approx(3e6, rel=0.001)
    assert all(log.settings.days == 1 and len(log.campaigns) == 1 for log in published())
    assert min(log.settings.accounts for log in published()) == 20_000
    beside = [(decoy, requests[log.strength]) for log in published() for decoy in log.decoys]
    assert sorted(d.name for d, _ in beside) == sorted(n for n, d in DECOYS.items() if d.split == "tuning")
    for decoy, campaigns in beside:  # at equal volume, as far as so many accounts would be a crowd
        as_many = decoy.accounts * decoy.per_day == pytest.approx(campaigns, abs=decoy.per_day)
        assert as_many or (decoy.accounts == 25_000 and decoy.accounts * decoy.per_day < campaigns)


def test_the_public_record_is_not_played_under_the_name_of_another_plan(monkeypatch, capsys):
    for other in (["--split", "heldout"], ["--grid", "fixed_preamble"]):
        monkeypatch.setattr("sys.argv", ["benchmarks.detection", "--record", *other])
        with pytest.raises(SystemExit, match="2"):
            arguments()
        said = capsys.readouterr().err.splitlines()[-1]
        assert "--record" in said
        assert other[0] in said


@pytest.mark.parametrize("words", [["--jobs", "0"], ["--seeds", "-1"]])
def test_a_number_of_nothing_is_refused(words, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks.detection", *words])
    with pytest.raises(SystemExit, match="2"):
        arguments()
    assert words[0] in capsys.readouterr().err.splitlines()[-1]


def test_the_interval_of_nine_in_ten_is_wilsons():
    low, high = interval(9, 10)
    assert (round(low, 3), round(high, 3)) == (0.596, 0.982)
    assert share(9, 10) == "9/10 (.60-.98)"
    assert (share(1, 1), share(0, 0)) == ("1/1", "0/0")


def test_none_of_two_hundred_null_logs_bounds_the_rate_at_three_in_two_hundred():
    assert round(at_most(0, 200), 4) == round(1 - 0.05 ** (1 / 200), 4)


def test_the_mean_over_logs_has_the_interval_of_its_resamples():
    assert mean([0.5, None]) == "0.500"
    assert mean([0.0, 1.0]) == "0.500 (0.00-1.00)"  # a quarter of the resamples each: 0, 0 and 1, 1
    assert mean([None]) is None


def test_large_plans_play_ourselves_alone_unless_asked(monkeypatch):
    def methods(*call):
        monkeypatch.setattr("sys.argv", ["benchmarks.detection", *call])
        return chosen(arguments())

    assert methods("--record") == methods("--grid", "fixed_preamble") == [OURS]
    assert methods("--record", "--methods", "HDBSCAN") == ["HDBSCAN"]
    assert len(methods()) > len(methods("--quick")) > 5


def _record(strength: str, accounts: int, per_day: float, found: bool) -> dict:
    campaign = {"name": "one", "found": found, "n_reports": int(found)}
    scored = {"n_reports": 1, "n_false": 0, "precision": 1.0, "recall": 0.5, "average_precision": 0.5}
    return {
        "method": "hydrascope", "kind": "campaigns", "strength": strength, "seconds": 1.0, "log": "x",
        "score": {**scored, "campaigns": [campaign], "lookalikes": []},
        "sizes": {"one": {"accounts": accounts, "per_day": per_day, "shape": "task", "rows": 7}},
    }  # fmt: skip


def test_the_smallest_size_is_that_of_fewest_requests_found_nine_times_in_ten():
    few = [_record("", 8, 5.0, i < 8) for i in range(10)]
    enough = [_record("", 15, 5.0, i < 9) for i in range(10)]
    many = [_record("", 15, 15.0, True) for _ in range(10)]
    lines, smallest = by_size(few + enough + many, "hydrascope")
    assert [line["5 a day"] for line in lines] == ["8/10 (.49-.94)", "9/10 (.60-.98)"]
    assert [line["15 a day"] for line in lines] == ["", "10/10 (.72-1.00)"]
    assert smallest == "Smallest found nine times in ten: 15 accounts, 5 requests a day each."


def test_found_shares_are_counted_by_strength_over_logs():
    records = [_record("weak", 8, 1.0, False), _record("weak", 8, 1.0, True), _record("strong", 8, 1.0, True)]
    table = found_by(records, lambda r, c: r["strength"])
    assert table["weak"]["hydrascope"].startswith("1/2")
    assert table["strong"]["hydrascope"].startswith("1/1")
    (line,) = by_method(records)
    assert line["found"].startswith("2/3")


def test_days_to_detection_are_the_median_of_the_logs_in_which_it_was_found():
    days = [{"campaign": "one", "day": d, "rows": r} for d, r in [(2, 100), (4, 300), (6, 500), (None, None)]]
    (line,) = to_detection(days)
    assert (line["found"][:3], line["median day"], line["median rows"]) == ("3/4", "4", "300")


def test_the_accounts_of_a_report_are_right_when_they_are_of_its_operator():
    campaigns = pl.DataFrame({"campaign_id": ["c", "d"], "reported": [True, False]})
    accounts = pl.DataFrame(
        {
            "campaign_id": ["c", "c", "c", "c", "d"],
            "account_id": ["a", "b", "x", "y", "a"],
            "confidence": [0.99, 0.95, 0.94, 0.1, 1.0],
        }
    )
    truth = pl.DataFrame(
        {"account_id": ["a", "b", "x", "y"], "kind": ["campaign:one", "campaign:one", "organic", "organic"]}
    )
    lines = confidence([{"confidence": account_confidence(campaigns, accounts, truth)}] * 2)
    assert [line["accounts"] for line in lines] == [2, 0, 0, 0, 4, 2]
    assert (lines[4]["right"], lines[4]["said"]) == ("0.50", "0.94")
    assert lines[5]["right"] == "1.00"
    assert len(lines) == len(CONFIDENT) - 1


def test_calibration_counts_small_p_values_and_the_mean_of_e():
    found = pl.DataFrame(
        {
            "signal": ["evenness"] * 4,
            "rows": ["its own"] * 4,
            "log_e": np.log([100.0, 1.0, 0.5, 0.5]),
            "log": [1, 1, 2, 2],
        }
    )
    (line,) = summary(found)
    assert (line["groups"], line["mean e"], line["p <= 0.05"], line["p <= 0.001"]) == (
        4,
        "25.50",
        "0.2500",
        "0.0000",
    )


def test_a_phrase_counts_by_its_rows_in_the_window_against_those_of_the_pool():
    fixed = [f"Tell me step by step about n{i}" for i in range(10)]
    other = [f"a{i} b{i} c{i} d{i}" for i in range(30)]
    phrases = recurring(pl.Series(fixed + other))
    windows = counted(np.array([[*range(10), *range(10, 20)], range(10, 30)]), 40)
    pool = np.r_[np.zeros(10), np.zeros(10), np.ones(20)].astype(np.float32)
    with_it, without = excess(windows, phrases, pool)
    assert with_it == pytest.approx(10 * np.log(2))  # ten of twenty rows against none of twenty
    assert without == 0.0


def test_a_threshold_is_exceeded_by_the_share_that_it_is_set_for():
    scores = np.arange(100.0)
    assert [(scores > exceeded(scores, x)).mean() for x in (0.0, 0.03, 1.0)] == [0.0, 0.03, 1.0]


def test_what_fails_or_is_killed_takes_no_other_log_with_it():
    came = dict(apart(partial(floordiv, 10), [0, 5], 2))
    assert isinstance(came[0], ZeroDivisionError)
    assert came[5] == 2
    ((_, killed),) = apart(os._exit, [9], 1)
    assert isinstance(killed, BrokenProcessPool)


def test_a_method_that_fails_leaves_the_others_of_its_log(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def detected(traffic: pl.DataFrame, folder: Path, ignore: Sequence[str], sample: int | None):
        asked.append((traffic.columns, sample and round(traffic.height / sample)))
        if len(asked) == 1:
            raise RuntimeError("full disk")
        return frames([])

    monkeypatch.setattr("benchmarks.detection.score.detect", detected)
    log = grid("fixed_preamble", "tuning", 1)[0]
    log = replace(log, settings=replace(log.settings, accounts=50))
    failed, text_only, _ = run_log(log, None, ["hydrascope", TEXT_ONLY, "hydrascope, a third sampled"])
    assert failed["failed"] == "RuntimeError: full disk"
    assert text_only["score"]["n_missed"] == 1
    assert asked[1:] == [(["request_id", "timestamp", "account_id", "prompt"], None), (asked[0][0], 3)]


def test_behind_system_prompts_each_account_uses_one_product(monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(
        "benchmarks.detection.score.detect", lambda traffic, *_: asked.append(traffic) or frames([])
    )
    log = grid("fixed_preamble", "tuning", 1)[0]
    run_log(replace(log, settings=replace(log.settings, accounts=50)), None, ["hydrascope", DRESSED])
    plain, dressed = asked
    product = [next(p for p in SYSTEM_PROMPTS if text.startswith(p)) for text in dressed["prompt"]]
    assert [p + text for p, text in zip(product, plain["prompt"], strict=True)] == dressed["prompt"].to_list()
    used = (
        dressed.with_columns(product=pl.Series(product))
        .group_by("account_id")
        .agg(pl.col("product").unique())
    )
    assert used["product"].list.len().max() == 1
    assert used["product"].explode().n_unique() == len(SYSTEM_PROMPTS)


def test_the_first_day_is_that_of_the_first_report_that_holds_half_of_those_come_so_far(
    monkeypatch: pytest.MonkeyPatch,
):
    def detected(traffic: pl.DataFrame, folder: Path, ignore: Sequence[str], sample: int | None):
        time = traffic["timestamp"]
        crew = truth.filter(pl.col("kind").str.starts_with("campaign:"))["account_id"]
        seen = traffic.filter(pl.col("account_id").is_in(crew.implode()))["account_id"].unique()
        campaigns = pl.DataFrame(
            {"campaign_id": ["c"], "reported": [time.max() - time.min() > timedelta(days=1)]}
        )
        return campaigns, pl.DataFrame({"campaign_id": "c", "account_id": seen, "confidence": 1.0})

    log = grid("fixed_preamble", "tuning", 1)[0]
    log = replace(log, settings=replace(log.settings, accounts=50))
    truth = play(None, log.settings, log.campaigns, log.decoys).truth
    monkeypatch.setattr("benchmarks.detection.score.detect", detected)
    (line,) = first_seen(log, None)
    assert (line["campaign"], line["day"]) == ("fixed_preamble", 2)
    assert line["rows"] > 0
