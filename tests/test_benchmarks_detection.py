from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

pytest.importorskip("benchmarks.detection", reason="benchmarks lie beside the tests")

from benchmarks.detection.calibration import summary
from benchmarks.detection.logs import grid, planned
from benchmarks.detection.rivals.blocks import densest
from benchmarks.detection.rivals.coposting import coposting_groups
from benchmarks.detection.rivals.cosine import cosine_groups
from benchmarks.detection.rivals.space import text_space
from benchmarks.detection.score import CONFIDENT, account_confidence, confidence, interval
from campaigns.simulation.library import SCENARIOS


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
    groups = method(planted, text_space(planted, 0), 0)
    assert [f"op{i}" for i in range(10)] in [sorted(g) for g in groups]


def test_the_densest_block_is_the_planted_one():
    rng = np.random.default_rng(1)
    noise = np.c_[rng.integers(10, 200, 300), rng.integers(10, 300, 300)]
    block = np.array([(a, o) for a in range(10) for o in range(10)])
    accounts, objects = densest(np.unique(np.r_[noise, block], axis=0))
    assert accounts == set(range(10))
    assert objects == set(range(10))


def test_the_plan_plays_every_scenario_of_its_split_and_no_other():
    for split in ("tuning", "heldout"):
        played = {c.name for log in planned(split, True, 1, 1) for c in log.campaigns}
        assert played == {n for n, s in SCENARIOS.items() if s.split == split}
    assert len(grid("fixed_preamble", "tuning", 2)) == 40


def test_the_interval_of_nine_in_ten_is_wilsons():
    low, high = interval(9, 10)
    assert (round(low, 3), round(high, 3)) == (0.596, 0.982)


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
        {"signal": ["evenness"] * 4, "log_e": np.log([100.0, 1.0, 0.5, 0.5]), "log": [1, 1, 2, 2]}
    )
    (line,) = summary(found)
    assert (line["groups"], line["mean e"], line["p <= 0.05"], line["p <= 0.001"]) == (
        4,
        "25.50",
        "0.2500",
        "0.0000",
    )
