import dataclasses
from functools import cache

import numpy as np
import polars as pl
import pytest

from campaigns.simulation.assemble import Simulated
from campaigns.simulation.cache import cached_tokens
from campaigns.simulation.generator import generate_pack
from campaigns.simulation.library import DECOYS, SCENARIOS
from campaigns.simulation.pack import in_split, load_pack
from campaigns.simulation.presets import PRESETS
from campaigns.simulation.scenario import Partition, Scenario, Shape
from campaigns.simulation.simulate import SimulationSettings, play, simulate

OPTIONAL = [
    *("org_id", "session_id", "ip", "asn", "country", "user_agent", "tls_fingerprint", "model", "endpoint"),
    *("plan", "output_hash", "input_tokens", "cached_tokens", "output_tokens", "status", "account_created"),
]
SMALL = SimulationSettings(accounts=300, campaigns=(), decoys=())


@cache
def pack() -> pl.DataFrame:
    return generate_pack(9000, 0)


@pytest.fixture(scope="module")
def demo() -> Simulated:
    return simulate(pack(), SimulationSettings(accounts=800, seed=3))


def work(name: str, **changes: object) -> pl.DataFrame:
    """The rows of one scenario beside three hundred ordinary accounts."""
    log = play(pack(), SMALL, [dataclasses.replace((SCENARIOS | DECOYS)[name], **changes)], [])
    rows = log.traffic.with_columns(log.labels["kind"].cast(pl.String))
    return rows.filter(pl.col("kind") == f"campaign:{name}")


def test_a_log_has_every_column_of_the_contract_in_order_of_time(demo: Simulated):
    assert demo.traffic.columns == ["request_id", "timestamp", "account_id", "prompt", *OPTIONAL]
    assert demo.traffic["timestamp"].is_sorted()
    assert demo.traffic["request_id"].n_unique() == demo.traffic.height
    assert sum(demo.traffic.null_count().row(0)) == 0
    assert demo.traffic["prompt"].str.len_chars().min() > 0


def test_the_truth_names_each_account_of_the_log_once(demo: Simulated):
    assert sorted(demo.truth["account_id"]) == sorted(set(demo.traffic["account_id"]))
    kinds = {f"campaign:{n}" for n in SimulationSettings().campaigns}
    kinds |= {f"decoy:{n}" for n in SimulationSettings().decoys}
    assert set(demo.truth["kind"]) == kinds | {"organic"}


def test_the_demo_is_about_fifty_thousand_requests_of_four_thousand_accounts():
    log = simulate(None, PRESETS["demo"])
    assert 40_000 < log.traffic.height < 60_000
    assert PRESETS["demo"].accounts == 4000


def test_the_same_seed_gives_the_same_log_and_another_seed_another():
    one, two = (simulate(None, dataclasses.replace(SMALL, seed=s)).traffic for s in (1, 1))
    assert one.equals(two)
    assert not one.equals(simulate(None, dataclasses.replace(SMALL, seed=20261128)).traffic)


def test_a_null_log_has_no_campaign():
    log = simulate(pack(), dataclasses.replace(PRESETS["null"], accounts=300))
    assert not log.truth["kind"].str.starts_with("campaign:").any()
    assert log.truth["kind"].str.starts_with("decoy:").any()


@pytest.mark.parametrize("name", [*SCENARIOS, *DECOYS])
def test_every_scenario_can_be_played_at_about_its_declared_volume(name: str):
    scenario = (SCENARIOS | DECOYS)[name]
    log = play(pack(), dataclasses.replace(SMALL, accounts=100), [scenario], [])
    rows = (log.labels["kind"] == f"campaign:{name}").sum()
    assert rows == pytest.approx(scenario.accounts * scenario.per_day * 7, rel=0.6)


def test_tasks_are_asked_once_but_for_an_accounts_own_retries():
    rows = work("fixed_preamble")
    accounts = rows.group_by("prompt").agg(pl.col("account_id").n_unique())["account_id"]
    assert (accounts > 1).mean() < 0.01


def test_round_robin_is_even_and_heavy_work_is_not():
    def dispersion(name: str) -> float:
        n = work(name)["account_id"].value_counts()["count"].to_numpy()
        return n.var() / n.mean()

    assert dispersion("fixed_preamble") < 1
    assert dispersion("human_hours") > 5


def test_half_of_a_free_tier_reach_its_quota_and_the_rest_keep_volumes_of_their_own():
    n = work("free_tier", accounts=400)["account_id"].value_counts()["count"]
    assert n.max() == 42
    assert (n == 42).mean() == pytest.approx(0.5, abs=0.1)
    assert n.filter(n < 42).std() > 8


def test_a_published_job_runs_on_the_hour_for_every_account_alike():
    rows = work("published_job")
    assert set(rows["timestamp"].dt.hour()) == {0, 4, 8, 12, 16, 20}
    assert rows["timestamp"].dt.minute().max() <= 5
    n = rows["account_id"].value_counts()["count"]
    assert n.var() < n.mean()


def test_a_course_meets_every_evening():
    rows = work("evening_course")
    assert set(rows["timestamp"].dt.hour()) == {18, 19}
    assert rows["timestamp"].dt.date().n_unique() == 7


def test_contiguous_shards_keep_the_order_of_the_set():
    def families(partition: Partition) -> float:
        rows = work("benchmark_sweep", partition=partition)
        return rows.group_by("account_id").agg(pl.col("prompt").str.slice(0, 5).n_unique())["prompt"].mean()

    assert families(Partition.CONTIGUOUS) < 0.7 * families(Partition.RANDOM)


def test_a_quarter_of_camouflaged_traffic_is_the_work():
    log = play(pack(), SMALL, [SCENARIOS["camouflage"]], [])
    crew = log.truth.filter(pl.col("kind") != "organic")["account_id"]
    mine = (log.traffic["account_id"].is_in(crew.implode())).sum()
    assert (log.labels["kind"] != "organic").sum() / mine == pytest.approx(0.25, abs=0.08)


def test_banned_accounts_fall_silent_and_successors_are_new():
    log = play(pack(), SMALL, [SCENARIOS["banned_and_back"]], [])
    assert log.enforcement.height == 50
    assert set(log.enforcement["action"]) == {"ban"}
    rows = log.traffic.join(log.enforcement.rename({"timestamp": "ban"}), on="account_id")
    assert (rows["timestamp"] <= rows["ban"]).all()
    crew = log.truth.filter(pl.col("kind") != "organic").select("account_id")
    later = log.traffic.join(crew, on="account_id").join(log.enforcement, on="account_id", how="anti")
    born = later.group_by("account_id").agg(pl.col("account_created").first())["account_created"]
    assert born.dt.date().min() >= log.traffic["timestamp"].dt.date().min()


def test_short_lived_accounts_span_their_lifetime_at_most():
    span = (
        work("short_lived")
        .group_by("account_id")
        .agg((pl.col("timestamp").max() - pl.col("timestamp").min()).dt.total_seconds() / 86_400)["timestamp"]
    )
    assert span.max() <= 2.0
    assert span.len() > 120


def test_a_translated_set_asks_each_task_in_many_languages():
    prompts = work("translation")["prompt"]
    assert prompts.n_unique() > 0.9 * prompts.len()
    assert prompts.str.contains("Japanese").mean() == pytest.approx(1 / 20, abs=0.03)


def test_a_fixed_preamble_is_one_and_paraphrases_are_many():
    first = pl.col("prompt").str.slice(0, 60)
    assert work("fixed_preamble").select(first).n_unique() == 1
    assert work("paraphrased_templates").select(first).n_unique() > 30


def test_operators_of_one_shape_have_words_of_their_own():
    suffixed = [one for one in SCENARIOS.values() if one.shape is Shape.SUFFIX]
    log = play(pack(), SMALL, suffixed, [])
    rows = log.traffic.with_columns(log.labels["kind"].cast(pl.String))
    last = rows.with_columns(pl.col("prompt").str.split("\n").list.last())
    common = [
        last.filter(pl.col("kind") == f"campaign:{one.name}")["prompt"].mode().item() for one in suffixed
    ]
    assert len(suffixed) == len(set(common)) == 3


def test_shared_and_rotating_addresses_are_few_and_many():
    assert work("one_network")["ip"].n_unique() <= 4
    rows = work("rotating_proxies")
    assert rows["ip"].n_unique() > 0.5 * rows.height


def test_cached_tokens_agree_with_a_slow_search_for_common_prefixes():
    rng = np.random.default_rng(0)
    stems = ["".join(rng.choice(list("abcdefgh"), 9000)) for _ in range(3)]
    texts = pl.Series([stems[i % 3][: 4000 + 400 * i] + "xyz" * 500 for i in range(9)])
    n = 120
    number, tenant = rng.integers(0, 9, n), rng.integers(0, 2, n)
    time = np.sort(rng.uniform(0, 4000, n))
    size = (texts.str.len_chars().to_numpy() // 4)[number]
    slow = np.zeros(n, np.int64)
    for i in range(n):
        for j in range(i):
            if tenant[i] == tenant[j] and time[i] - time[j] <= 300:
                a, b = texts[int(number[i])], texts[int(number[j])]
                common = next((k for k in range(min(len(a), len(b))) if a[k] != b[k]), min(len(a), len(b)))
                tokens = int(min(common / 4, size[i], size[j]))
                if tokens >= 1024:
                    slow[i] = max(slow[i], 1024 + (tokens - 1024) // 128 * 128)
    fast = cached_tokens(texts, number, size, tenant, time)
    assert np.mean(np.abs(fast - slow) <= 128) > 0.99
    assert (fast > 0).any()


def test_pages_of_instructions_are_cached_inside_an_organisation_only():
    long = dataclasses.replace(SCENARIOS["long_preamble"], one_org=True, per_day=60)
    log = play(pack(), SMALL, [long], [])
    hit = log.traffic["cached_tokens"] > 0
    assert hit.filter(log.labels["kind"] != "organic").mean() > 0.8
    apart = play(pack(), SMALL, [dataclasses.replace(long, one_org=False)], [])
    assert (apart.traffic["cached_tokens"] > 0).filter(apart.labels["kind"] != "organic").mean() < 0.6


def test_the_generator_writes_distinct_texts_of_every_role_in_many_languages():
    texts = pack()
    assert texts["prompt"].n_unique() == texts.height > 7000
    assert set(texts["role"]) == {"organic", "distillation", "probe", "shared_template"}
    assert texts["lang"].n_unique() >= 10
    assert not texts["prompt"].str.contains("[{}]").any()


def test_free_texts_and_tasks_of_a_pack_never_meet():
    loaded = load_pack(pack(), np.random.default_rng(0))
    families = np.arange(len(loaded.size))
    free = {int(n) for r in range(400) for n in loaded.free(families, np.full(len(families), r))}
    tasks = set(loaded.tasks(families).tolist())
    assert not free & tasks
    assert {int(n) for r in range(400) for n in loaded.task(families, np.full(len(families), r))} == tasks


def test_a_family_belongs_to_one_split_only():
    names = [f"family {i}" for i in range(200)]
    tuning = [in_split(n, "tuning") for n in names]
    assert tuning == [not in_split(n, "heldout") for n in names]
    assert 70 < sum(tuning) < 130


@pytest.mark.parametrize(
    "texts",
    [
        {"prompt": ["hello"], "family": ["f"], "role": ["organic"]},
        {"prompt": ["a", "a", "b"], "family": ["f", "f", None], "role": ["odd", "odd", "new"]},
    ],
)
def test_a_pack_of_one_prompt_or_of_unknown_roles_is_used_as_it_is(texts: dict[str, list[str]]):
    settings = SimulationSettings(accounts=30, campaigns=("fixed_preamble",), decoys=("homework_class",))
    log = simulate(pl.DataFrame(texts), settings)
    assert log.traffic.height > 100


def test_bad_calls_are_refused_with_a_clear_line():
    with pytest.raises(ValueError, match="there is no scenario 'nonsense'"):
        simulate(None, SimulationSettings(campaigns=("nonsense",)))
    with pytest.raises(ValueError, match="lacks the columns"):
        simulate(pl.DataFrame({"prompt": ["a"]}), SMALL)
    with pytest.raises(ValueError, match="no prompt"):
        simulate(pl.DataFrame(schema=dict.fromkeys(("prompt", "family", "role"), pl.String)), SMALL)


def test_two_of_one_scenario_get_different_names():
    one = Scenario(name="x", sentence="", shape=Shape.TASK, accounts=5, per_day=3)
    log = play(pack(), SMALL, [one, one], [])
    assert set(log.truth["kind"]) == {"organic", "campaign:x", "campaign:x-2"}


def test_scenarios_declare_what_they_betray_and_who_may_look():
    assert all(s.declared for s in SCENARIOS.values())
    for table in (SCENARIOS, DECOYS):
        assert {s.split for s in table.values()} == {"tuning", "heldout"}
