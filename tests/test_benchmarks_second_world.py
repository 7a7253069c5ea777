from collections import Counter

import numpy as np
import polars as pl
import pytest

pytest.importorskip("benchmarks.detection", reason="benchmarks lie beside the tests")

from benchmarks.detection.second_world.lookalikes import CROWDS
from benchmarks.detection.second_world.operators import CAMPAIGNS, Campaign, operate
from benchmarks.detection.second_world.score import played
from benchmarks.detection.second_world.world import DAYS, World
from campaigns.simulation.generator import generate_pack
from flows.source import REQUIRED


def world(seed: int = 0) -> World:
    people = [[f"people {f} {i}" for i in range(70)] for f in range(8)]
    harvests = [[f"harvest {f} {i}" for i in range(70)] for f in range(8)]
    return World(people=people, harvests=harvests, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("name", CROWDS)
def test_a_crowd_is_of_its_own_kind_and_inside_the_window(name: str):
    made = world()
    CROWDS[name](made)
    traffic, truth = made.log(text_only=False)
    assert set(truth["kind"]) == {f"decoy:{name}"}
    assert set(traffic["account_id"]) <= set(truth["account_id"])
    assert traffic["timestamp"].is_between(pl.datetime(2026, 6, 1), pl.datetime(2026, 6, 1 + DAYS)).all()
    assert traffic["request_id"].is_unique().all()


def test_a_free_tier_stops_at_ten_requests_a_day_and_most_users_reach_it():
    made = world()
    CROWDS["free_tier"](made)
    a_day = Counter((account.name, hour // 24) for account, hours, _ in made.sent for hour in hours)
    counts = np.array(list(a_day.values()))
    assert np.mean(counts <= 10) > 0.97  # a sitting may run past midnight
    assert np.median(counts) == 10


@pytest.mark.parametrize("drawn", [True, False])
def test_a_list_is_gone_through_before_a_task_comes_again_unless_it_is_drawn_from(drawn: bool):
    made = world()
    operate(made, "c", Campaign(accounts=10, rate=8, wording="bare", families=8), drawn=drawn)
    asked = Counter(text for _, _, texts in made.sent for text in texts)
    assert sum(asked.values()) == 10 * 8 * DAYS
    assert (max(asked.values()) > 3) == drawn


@pytest.mark.parametrize(("deal", "most"), [("round", 1), ("weights", 100)])
def test_requests_are_dealt_as_the_campaign_says(deal: str, most: int):
    made = world()
    operate(made, "c", Campaign(accounts=20, rate=20, deal=deal), drawn=False)
    sent = [len(hours) for _, hours, _ in made.sent]
    assert (max(sent) - min(sent) <= most) == (deal == "round")


def test_logs_take_turns_and_every_other_one_has_no_optional_column():
    pack = generate_pack(20_000, 0)
    logs = [played(seed, pack, people=20) for seed in range(5)]
    kinds = Counter(kind for _, truth in logs for kind in truth["kind"].unique())
    assert all(kinds[f"campaign:{name}"] == 1 for name in CAMPAIGNS)
    assert sum(n for kind, n in kinds.items() if kind.startswith("decoy")) == 25
    assert [set(traffic.columns) == set(REQUIRED) for traffic, _ in logs] == [False, True] * 2 + [False]
    again, _ = played(3, pack, people=20)
    assert again.equals(logs[3][0])
