"""Who takes part: fragments gathered, campaigns grown by their own template, groups folded into one."""

import numpy as np
import polars as pl
import pytest

from campaigns.crews import OTHER_OPERATOR, crews, one_or_two
from campaigns.groups import Group, about, gathered
from campaigns.judge import JudgeSettings, _folded, judge
from campaigns.marks import found_in, mark_of
from campaigns.members import alike, grown, parts, widened
from campaigns.merge import fold, settled
from campaigns.people import people
from campaigns.traffic import Traffic, traffic
from tests.traffic_planted import accounts_of, group_of, numbers, plant

ORDINARY = ("person", 600, "heavy", "people", range(0, 60))
CREW = ("hydra", 30, "even", "flat", range(100, 110))

OTHER = ("other", 60, "brisk", "flat", range(108, 120))


def joined(
    log: Traffic, found: list[Group], labels: dict[str, np.ndarray], *, far: bool = False
) -> list[Group]:
    """Return campaigns with all who join; those who are of one already stay."""
    core = np.isin(np.arange(log.n_accounts), np.concatenate([group.members for group in found]))
    return widened(log, found, people(log, labels["topics"], 0), labels, core, far=far)


def log_of(seed: int, crowds: list[tuple[str, int, str, str, range]], run: dict[str, int]) -> Traffic:
    """Return planted traffic in which the rows of some crowds are of one run: first letters to label."""
    rows, accounts = plant(seed, [ORDINARY, *crowds])
    label = pl.col("account_id").str.slice(0, 5).replace_strict(run, default=None, return_dtype=pl.Int32)
    return traffic(rows.with_columns(cluster_run=label), accounts)


def test_clusters_that_a_group_alone_makes_up_are_gathered_and_popular_ones_are_not():
    log = log_of(0, [CREW], {})
    part = about(log, (("full", 100), ("full", 101), ("full", 3)))
    crew = Group(
        clusters=part.clusters, rows=part.rows, candidates=numbers(log, "hydra"), confidence=np.ones(30)
    )
    (whole,) = gathered(log, [crew])
    labels = set(log.clusters["full"][whole.rows].tolist())
    assert set(range(100, 110)) <= labels
    assert not labels & set(range(4, 60))


def test_accounts_of_both_groups_do_not_make_two_operators_one():
    crowds = [("slow", 30, "even", "flat", range(100, 110)), ("fast", 40, "brisk", "flat", range(100, 110))]
    log = log_of(0, crowds, {})
    law = people(log, log.clusters["full"], 0)
    slow, fast = numbers(log, "slow"), numbers(log, "fast")
    apart = one_or_two(log, slow, fast[20:], law)
    assert apart < OTHER_OPERATOR
    assert one_or_two(log, np.union1d(slow, fast[:20]), fast, law) == apart
    assert one_or_two(log, slow, slow[:5], law) == 0


def test_a_campaign_grows_to_all_who_work_with_its_template_and_leaves_out_who_tried_it_once():
    log = log_of(1, [CREW, ("tries", 20, "even", "people", range(0, 60))], {"hydra": 0, "tries": 0})
    tries = np.isin(log.account, numbers(log, "tries"))
    mostly = tries & (np.random.default_rng(0).random(len(tries)) > 0.05)
    labels = {"run": np.where(mostly, -1, log.clusters["run"]), "topics": log.clusters["full"]}
    crew = numbers(log, "hydra")
    law, founders = people(log, log.clusters["full"], 0), group_of(log, crew[:12])
    larger = grown(log, founders, law, labels, np.zeros_like(tries))
    assert set(larger.members.tolist()) == set(crew.tolist())
    taken = np.isin(log.account, crew[6:20])  # another's, but for what the founders have of it
    larger = grown(log, founders, law, labels, taken)
    assert set(larger.members.tolist()) == set(crew.tolist()) - set(crew[12:20].tolist())


def test_a_campaign_does_not_become_a_crowd_of_which_each_account_differs_a_little_from_the_one_before():
    one_by_one = ("later", 120, "even", "flat", range(100, 103))
    log = log_of(0, [("hydra", 12, "brisk", "flat", range(100, 103)), one_by_one], {})
    crew, later, rng = numbers(log, "hydra"), numbers(log, "later"), np.random.default_rng(0)
    begins = np.zeros(log.n_accounts)
    begins[later] = np.linspace(0, 14, len(later))
    day, of_day = log.hour // 24, 7 + begins[log.account] + rng.normal(0, 1.5, len(log.hour))
    theirs = np.isin(log.account, [*crew, *later])
    log.hour[theirs] = (24 * day + np.clip(of_day, 0, 23).astype(np.int64))[theirs]
    topics, nobody = log.clusters["full"], np.zeros(len(log.account), dtype=bool)
    larger = grown(log, group_of(log, crew), people(log, topics, 0), {"topics": topics}, nobody)
    assert larger.members.tolist() == crew.tolist()


def test_a_request_in_fifty_of_a_busy_account_is_no_work_with_the_template():
    log = log_of(1, [CREW, ("busy0", 120, "brisk", "flat", range(0, 60))], {"hydra": 0, "busy0": 0})
    busy, rng = numbers(log, "busy"), np.random.default_rng(0)
    theirs = np.isin(log.account, busy)
    eight = np.where(theirs, busy[log.account % 8], log.account)  # of 120
    other = theirs & (rng.random(len(eight)) > 1 / 50)
    run = pl.Series(np.where(other, -1, log.clusters["run"])).replace(-1, None)
    rows = log.rows.with_columns(account_id=log.accounts["account_id"].gather(eight), cluster_run=run)
    log = traffic(rows, accounts_of(rows))
    crew, topics = numbers(log, "hydra"), log.clusters["full"]
    nobody = np.zeros(len(log.account), dtype=bool)
    labels = {"run": log.clusters["run"], "topics": topics}
    larger = grown(log, group_of(log, crew[:12]), people(log, topics, 0), labels, nobody)
    assert larger.members.tolist() == crew.tolist()


def test_a_campaign_with_a_template_does_not_take_in_what_else_its_accounts_write():
    log = log_of(8, [CREW], {"hydra": 0})
    crew = numbers(log, "hydra")
    aside = np.isin(log.account, crew) & (log.clusters["full"] >= 106)
    run = np.where(aside, 1, log.clusters["run"])
    rows = np.flatnonzero(run == 0)
    founders = Group(clusters=(("run", 0),), rows=rows, candidates=crew[:20], confidence=np.ones(20))
    labels = {"run": run, "topics": log.clusters["full"]}
    larger = grown(log, founders, people(log, log.clusters["full"], 0), labels, np.zeros_like(aside))
    assert set(larger.members.tolist()) == set(crew.tolist())
    assert not aside[larger.rows].any()


def test_who_was_found_with_a_campaign_by_what_both_ask_is_none_of_it_without_its_template():
    log = log_of(1, [CREW, ("asks", 5, "even", "flat", range(100, 110))], {"hydra": 0})
    crew, labels = numbers(log, "hydra"), {"run": log.clusters["run"], "topics": log.clusters["full"]}
    law, found = people(log, labels["topics"], 0), group_of(log, np.union1d(crew, numbers(log, "asks")))
    larger = grown(log, found, law, labels, np.zeros(len(log.account), dtype=bool))
    assert larger.members.tolist() == crew.tolist()


def test_hours_of_its_own_do_not_put_an_account_out_that_works_with_the_template():
    crews = [
        (name, 30, "even", hours, range(100, 103)) for name, hours in (("hydra", "flat"), ("human", "people"))
    ]
    log = log_of(9, crews, {"hydra": 0, "human": 0})
    crew = np.union1d(numbers(log, "hydra"), numbers(log, "human"))
    labels = {"run": log.clusters["run"], "topics": log.clusters["full"]}
    law, nobody = people(log, log.clusters["full"], 0), np.zeros(len(log.account), dtype=bool)
    larger = grown(log, group_of(log, crew), law, labels, nobody)
    assert set(larger.members.tolist()) == set(crew.tolist())


def test_two_crews_with_a_template_of_their_own_between_them_are_one_campaign():
    crews = [CREW, ("other", 30, "even", "flat", range(110, 120))]
    log = log_of(2, crews, {"hydra": 0, "other": 0})
    halves = [group_of(log, numbers(log, name)) for name in ("hydra", "other")]
    campaigns, home = fold(log, halves, people(log, log.clusters["full"], 0), log.clusters["full"])
    assert home == [0, 0]
    assert len(campaigns[0].members) == 60


def test_crews_are_compared_with_all_that_a_campaign_has_become():
    chain = [(name, 40, "even", "flat", range(100 + 5 * i, 110 + 5 * i)) for i, name in enumerate("abc")]
    log = log_of(0, chain, {})
    parts = [group_of(log, numbers(log, name)) for name in "abc"]
    assert fold(log, parts, people(log, log.clusters["full"], 0), log.clusters["full"])[1] == [0, 0, 0]


def test_two_crews_with_a_template_each_stay_two_though_they_share_a_topic():
    crews = [CREW, ("other", 30, "even", "flat", range(105, 115))]
    log = log_of(3, crews, {"hydra": 0, "other": 1})
    halves = [group_of(log, numbers(log, name)) for name in ("hydra", "other")]
    _, home = fold(log, halves, people(log, log.clusters["full"], 0), log.clusters["full"])
    assert home == [0, 1]


def test_some_accounts_of_another_crew_in_a_group_with_a_template_do_not_make_the_crews_one():
    common = range(60)  # what everybody asks about
    crews = [(name, 40, "even", "flat", common) for name in ("hydra", "other")]
    log = log_of(3, crews, {"hydra": 0, "other": 1})
    mixed = np.union1d(numbers(log, "hydra"), numbers(log, "other")[:9])
    groups = [group_of(log, some) for some in (mixed, numbers(log, "other"))]
    _, home = fold(log, groups, people(log, log.clusters["full"], 0), log.clusters["full"])
    assert home == [0, 1]


@pytest.mark.parametrize(("volumes", "sizes"), [("brisk", [30, 30]), ("even", [60])])
def test_crews_that_send_at_different_rates_are_two_whatever_both_ask(volumes, sizes):
    log = log_of(2, [CREW, ("other", 30, volumes, "flat", range(106, 116))], {})
    law, topics = people(log, log.clusters["full"], 0), log.clusters["full"]
    both = group_of(log, np.union1d(numbers(log, "hydra"), numbers(log, "other")))
    found = crews(log, both, law, {"topics": topics})
    assert [len(crew.members) for crew in found] == sizes
    assert sorted(np.concatenate([crew.members for crew in found])) == both.members.tolist()
    halves = [group_of(log, numbers(log, name)) for name in ("hydra", "other")]
    assert len(fold(log, halves, law, topics)[0]) == len(sizes)


def test_crews_of_which_each_account_asks_about_a_few_things_are_two_where_those_tell_how_much_it_sends():
    crowds = [
        ("hydra", 40, "even", "people", range(100, 140)),
        ("other", 40, "brisk", "people", range(115, 155)),
    ]
    log = log_of(0, crowds, {})
    hydra, topics = numbers(log, "hydra"), log.clusters["full"]
    both = group_of(log, np.union1d(hydra, numbers(log, "other")))
    shares = [
        np.isin(crew.members, hydra).mean()
        for crew in crews(log, both, people(log, topics, 0), {"topics": topics})
    ]
    assert len(shares) == 2
    assert min(shares) < 0.25 < 0.75 < max(shares)  # some ask only what accounts of the other ask as well


def test_accounts_of_one_rate_are_one_crew_though_some_ask_other_things_than_others():
    names = [f"c{i:02}" for i in range(12)]
    log = log_of(2, [(name, 40, "even", "people", range(100, 140)) for name in names], {})
    law, labels = people(log, log.clusters["full"], 0), {"topics": log.clusters["full"]}
    assert all(len(crews(log, group_of(log, numbers(log, name)), law, labels)) == 1 for name in names)


def asking(log: Traffic, model: np.ndarray) -> Traffic:
    """Return a log that names the model of each row."""
    return traffic(log.rows.with_columns(model=pl.Series([f"m{i}" for i in model])), log.accounts)


def models(log: Traffic, *turning: str) -> np.ndarray:
    """Return models by row: mostly each account's own, but those that turn do so together."""
    rng = np.random.default_rng(0)
    own = rng.integers(0, 3, log.n_accounts)[log.account]
    mostly = np.where(rng.random(len(own)) < 0.1, rng.integers(0, 3, len(own)), own)
    together = np.isin(log.account, [account for name in turning for account in numbers(log, name)])
    return np.where(together, np.where(log.hour < 84, 0, 3), mostly)


@pytest.mark.parametrize(("turning", "sizes"), [(["hydra"], [30, 30]), (["hydra", "other"], [60])])
def test_crews_that_ask_models_in_other_ways_are_two_whatever_they_ask_of_them(turning, sizes):
    log = log_of(2, [CREW, ("other", 30, "even", "flat", range(106, 116))], {})
    log = asking(log, models(log, *turning))
    law, topics = people(log, log.clusters["full"], 0), log.clusters["full"]
    both = group_of(log, np.union1d(numbers(log, "hydra"), numbers(log, "other")))
    found = crews(log, both, law, {"topics": topics})
    assert [len(crew.members) for crew in found] == sizes
    halves = [group_of(log, numbers(log, name)) for name in ("hydra", "other")]
    assert len(fold(log, halves, law, topics)[0]) == len(sizes)


def test_crews_are_told_apart_by_models_however_many_models_others_ask():
    log = log_of(2, [CREW, ("other", 30, "even", "flat", range(106, 116))], {})
    hydra, other = numbers(log, "hydra"), numbers(log, "other")
    anybody = np.random.default_rng(0).integers(2, 50, len(log.account))
    log = asking(
        log, np.where(np.isin(log.account, hydra), 0, np.where(np.isin(log.account, other), 1, anybody))
    )
    law, topics = people(log, log.clusters["full"], 0), log.clusters["full"]
    assert len(fold(log, [group_of(log, hydra), group_of(log, other)], law, topics)[0]) == 2


@pytest.mark.parametrize("turning", [["hydra"], ["hydra", "other"], []])
def test_harvests_of_a_few_topics_an_account_are_two_where_what_they_ask_tells_how_they_ask_models(turning):
    crowds = [("hydra", range(100, 140)), ("other", range(125, 165))]
    log = log_of(3, [(name, 40, "even", "people", topics) for name, topics in crowds], {})
    log = asking(log, models(log, *turning))
    theirs = [numbers(log, name) for name, _ in crowds]
    both = group_of(log, np.union1d(*theirs))
    found = crews(log, both, people(log, log.clusters["full"], 0), {"topics": log.clusters["full"]})
    if turning == ["hydra"]:
        assert len(found) == 2
        assert all(max(np.isin(crew.members, part).mean() for part in theirs) > 0.95 for crew in found)
    else:
        assert [len(crew.members) for crew in found] == [80]


def test_whom_two_campaigns_would_have_joins_the_one_that_it_does_as():
    log = log_of(14, [(name, 30, "even", "flat", range(100, 103)) for name in ("hydra", "other")], {})
    log = asking(log, models(log, "hydra"))
    crew, other = numbers(log, "hydra"), numbers(log, "other")
    found = [group_of(log, crew[:8]), group_of(log, other[:8])]
    wide = [group.members for group in joined(log, found, {"topics": log.clusters["full"]})]
    assert sorted(np.concatenate(wide)) == [*crew, *other]
    assert np.isin(wide[0], crew).mean() > 0.95
    assert np.isin(wide[1], other).mean() > 0.95


def test_another_crew_that_asks_some_of_the_same_keeps_nobody_from_joining():
    crowds = [("hydra", 30, "even", "flat", range(100, 106)), ("other", 30, "even", "flat", range(103, 109))]
    log = log_of(0, crowds, {})
    log = asking(log, models(log, "hydra"))
    crew = numbers(log, "hydra")
    (wide,) = joined(log, [group_of(log, crew[:12])], {"topics": log.clusters["full"]})
    assert wide.members.tolist() == crew.tolist()


def test_whom_a_campaign_took_in_as_it_grew_is_left_to_the_one_that_it_does_as():
    log = log_of(12, [(name, 30, "even", "flat", range(100, 103)) for name in ("hydra", "other")], {})
    log = asking(log, models(log, "hydra"))
    crew, other = numbers(log, "hydra"), numbers(log, "other")
    larger = [group_of(log, np.append(crew, other[20:])), group_of(log, other[:20])]
    core = np.isin(np.arange(log.n_accounts), [*crew[:25], *other[:20]])
    labels = {"topics": log.clusters["full"]}
    first, second = widened(log, larger, people(log, labels["topics"], 0), labels, core)
    assert np.isin(first.members, crew).mean() > 0.9
    assert np.isin(other, second.members).mean() > 0.9


def test_accounts_that_are_dealt_to_in_turn_are_one_crew_though_one_kind_is_a_row_ahead():
    log = log_of(2, [CREW, ("other", 30, "even", "flat", range(106, 116))], {})
    both = np.union1d(numbers(log, "hydra"), numbers(log, "other"))
    ahead = np.where(np.isin(np.arange(log.n_accounts), numbers(log, "hydra")), 17, 16)[log.account]
    order = np.random.default_rng(0).permutation(len(log.account))
    place = np.empty(len(order), dtype=np.int64)
    by_account = order[np.argsort(log.account[order], kind="stable")]
    place[by_account] = np.arange(len(order)) - (np.cumsum(log.sent) - log.sent)[log.account[by_account]]
    dealt = ~np.isin(log.account, both) | (place < ahead)
    sent = pl.Series(np.bincount(log.account[dealt]))
    log = traffic(log.rows.filter(pl.Series(dealt)), log.accounts.with_columns(n_total=sent, n_sampled=sent))
    topics = log.clusters["full"]
    found = crews(log, group_of(log, both), people(log, topics, 0), {"topics": topics})
    assert len(found) == 1


def test_accounts_that_work_with_one_template_are_one_crew_at_whatever_rate():
    log = log_of(2, [CREW, ("other", 30, "brisk", "flat", range(106, 116))], {"hydra": 0, "other": 0})
    labels = {"run": log.clusters["run"], "topics": log.clusters["full"]}
    both = group_of(log, np.union1d(numbers(log, "hydra"), numbers(log, "other")))
    (crew,) = crews(log, both, people(log, log.clusters["full"], 0), labels)
    assert crew.members.tolist() == both.members.tolist()


def test_crews_are_the_same_whatever_accounts_are_called():
    crowds = [
        ("person", 500, "heavy", "people", range(60)),
        ("hydra", 40, "even", "flat", range(100, 110)),
        ("other", 40, "brisk", "flat", range(105, 115)),
        ("tool", 60, "capped", "flat", range(120, 123)),
    ]
    rows, accounts = plant(0, crowds)
    names = accounts["account_id"]
    sizes = set()
    for seed in range(8):
        called = names.sample(fraction=1, shuffle=True, seed=seed)
        name = pl.col("account_id").replace_strict(names, called)
        log = traffic(rows.with_columns(name), accounts.with_columns(name))
        crew = np.isin(log.accounts["account_id"], called.filter(names.str.starts_with("hydra")))
        topics = log.clusters["full"]
        both = group_of(log, np.flatnonzero(crew))
        found = crews(log, both, people(log, topics, 0), {"topics": topics}, linking=True)
        sizes.add(tuple(len(part.members) for part in found))
    assert len(sizes) == 1


@pytest.mark.parametrize(("volumes", "sizes"), [("brisk", [30, 30]), ("even", [60])])
def test_a_harvest_beside_a_template_is_a_crew_of_its_own_where_it_sends_at_another_rate(volumes, sizes):
    log = log_of(2, [CREW, ("other", 30, volumes, "flat", range(106, 116))], {"hydra": 0})
    other = numbers(log, "other")
    run = np.where(np.isin(log.account, other), log.clusters["full"] % 3 + 1, log.clusters["run"])
    labels = {"run": run, "topics": log.clusters["full"]}
    both = group_of(log, np.union1d(numbers(log, "hydra"), other))
    assert mark_of(found_in(log, both, labels), labels, both.rows) == "run"
    found = crews(log, both, people(log, labels["topics"], 0), labels)
    assert [len(crew.members) for crew in found] == sizes


@pytest.mark.parametrize(("volumes", "sizes"), [("brisk", [30, 30]), ("even", [60])])
def test_of_one_skeleton_those_who_write_runs_are_a_crew_where_they_send_at_another_rate(volumes, sizes):
    log = log_of(2, [CREW, ("other", 30, volumes, "flat", range(106, 116))], {"hydra": 0})
    both = group_of(log, np.union1d(numbers(log, "hydra"), numbers(log, "other")))
    skeleton = np.where(np.isin(log.account, both.members), 0, -1)
    labels = {"run": log.clusters["run"], "skeleton": skeleton, "topics": log.clusters["full"]}
    assert mark_of(found_in(log, both, labels), labels, both.rows) == "skeleton"
    law = people(log, labels["topics"], 0)
    assert [len(crew.members) for crew in crews(log, both, law, labels)] == sizes
    del labels["run"]
    assert len(crews(log, both, law, labels)) == 1


def test_busy_bystanders_do_not_make_one_campaign_of_two():
    rows, accounts = plant(7, [ORDINARY, CREW, ("other", 8, "even", "flat", range(110, 120))])
    quiet = pl.col("account_id").str.starts_with("hydra") & (pl.int_range(pl.len()) % 6 > 0)
    log = traffic(rows.filter(~quiet).with_columns(cluster_run=pl.col("cluster_full") // 110), accounts)
    crew, other = numbers(log, "hydra"), numbers(log, "other")
    pair = [group_of(log, np.append(crew, other[:3])), group_of(log, other)]
    busy = np.bincount(log.account)[other[:3]].sum()
    assert 0.3 < busy / len(pair[0].rows) < 0.5
    _, home = fold(log, pair, people(log, log.clusters["full"], 0), log.clusters["full"])
    assert home == [0, 1]


def test_an_account_that_two_campaigns_claim_for_the_same_requests_stays_with_the_one_that_has_more():
    log = log_of(5, [CREW, ("other", 30, "even", "flat", range(110, 120))], {})
    crew, other = numbers(log, "hydra"), numbers(log, "other")
    whole = group_of(log, crew)
    claims = np.union1d(other, crew[:4])
    some = np.isin(log.account, other) | (np.isin(log.account, crew[:4]) & (log.clusters["full"] < 106))
    larger = Group(clusters=(), rows=np.flatnonzero(some), candidates=claims, confidence=np.ones(len(claims)))
    for pair in ({0: whole, 1: larger}, {0: larger, 1: whole}):
        members = [set(campaign.members.tolist()) for campaign in settled(log, pair).values()]
        assert sorted(map(len, members)) == [30, 30]
        assert set(crew.tolist()) in members


def test_an_account_that_does_other_work_for_each_of_two_campaigns_stays_with_both():
    log = log_of(6, [CREW], {})
    crew = numbers(log, "hydra")
    halves = [np.flatnonzero(np.isin(log.account, crew) & (log.clusters["full"] % 2 == i)) for i in range(2)]
    pair = {
        i: Group(clusters=(), rows=rows, candidates=crew, confidence=np.ones(30))
        for i, rows in enumerate(halves)
    }
    assert [len(campaign.members) for campaign in settled(log, pair).values()] == [30, 30]


def test_a_campaign_of_which_another_claims_most_is_left_out():
    log = log_of(6, [CREW], {})
    crew = numbers(log, "hydra")
    assert {*settled(log, {3: group_of(log, crew), 8: group_of(log, crew[:20])})} == {3}
    assert settled(log, {3: group_of(log, crew[:0])}) == {}


def test_a_crowd_is_listed_once_and_reported_groups_come_first():
    log = log_of(4, [CREW, ("class", 60, "heavy", "people", range(200, 204))], {"hydra": 0, "class": 1})
    texts = pl.Series("text", [f"question number {i}" for i in range(log.rows.height)])
    nobody = np.full(log.n_accounts, -1)
    cases = judge(log, log.clusters["full"], texts, nobody, JudgeSettings(), seed=0)
    assert [case.reported for case in cases] == sorted((case.reported for case in cases), reverse=True)
    quiet = [set(case.group.members.tolist()) for case in cases if not case.reported]
    for i, members in enumerate(quiet):
        assert all(len(members & other) <= min(len(members), len(other)) / 2 for other in quiet[:i])
    assert any(len(members & set(numbers(log, "class").tolist())) > 40 for members in quiet)


def test_a_report_says_of_how_many_of_its_accounts_the_evidence_is():
    log = log_of(4, [("hydra", 60, "even", "flat", range(100, 110))], {"hydra": 0})
    crew = numbers(log, "hydra")
    late = np.isin(log.account, crew[-10:]) & ~log.held_out  # linking sees nothing of these ten
    log.clusters["full"] = np.where(np.isin(log.account, crew), -1, log.clusters["full"])
    log.clusters["run"] = np.where(late, -1, log.clusters["run"])
    texts = pl.Series("text", [f"question number {i}" for i in range(log.rows.height)])
    nobody = np.full(log.n_accounts, -1)
    best = judge(log, log.hour * 0, texts, nobody, JudgeSettings(), seed=0)[0]
    assert best.reported
    came_later = np.intersect1d(best.group.members, crew[-10:])
    assert len(came_later) > 5
    told, untold = best.decision_reason.rsplit("; ", 1)
    assert told.endswith(f"of 50 accounts, whose work {len(came_later)} more share")
    assert untold.endswith("whether it is metered service or one organisation")


def chained(seed: int) -> tuple[Traffic, np.ndarray, np.ndarray]:
    """Return a log with a crew that works on labels in a chain, three accounts on two each; crew, labels."""
    log = log_of(seed, [CREW, ("looks", 3, "even", "people", range(0, 60))], {})
    crew = numbers(log, "hydra")
    place = log.places(crew)[log.account]
    step = np.random.default_rng(seed).integers(0, 2, len(place))
    chain = np.where(place >= 0, 60 + place // 3 + step, log.clusters["full"])
    looks = np.isin(log.account, numbers(log, "looks")) & (step == 1)  # people who ask the same
    return log, crew, np.where(looks, 60 + log.account % 11, chain)


def test_a_campaign_without_a_mark_is_followed_along_its_labels_to_accounts_that_share_none_with_it():
    log, crew, chain = chained(11)
    founders = group_of(log, crew[:6])
    (wide,) = joined(log, [founders], {"topics": chain})
    assert set(wide.members.tolist()) == set(crew.tolist())
    assert set(wide.rows.tolist()) == set(np.flatnonzero(np.isin(log.account, crew)).tolist())
    other = group_of(log, crew[9:12])  # another's, and the chain is cut
    wide, theirs = joined(log, [founders, other], {"topics": chain})
    assert sorted(np.concatenate([wide.members, theirs.members])) == crew.tolist()
    assert not np.isin(crew[9:12], wide.members).any()


def test_only_a_campaign_that_is_followed_far_takes_in_who_asks_what_its_members_ask_now_and_then():
    log = log_of(11, [CREW], {})
    crew, rng = numbers(log, "hydra"), np.random.default_rng(0)
    founders, later = (np.isin(log.account, some) for some in (crew[:12], crew[12:]))
    share = np.where(founders, 0.15, np.where(later, 0.7, 0.01))
    other = np.where(later, rng.integers(0, 60, len(share)), log.clusters["full"])
    topics = np.where(rng.random(len(share)) < share, rng.integers(200, 203, len(share)), other)
    labels, group = {"topics": topics}, group_of(log, crew[:12])
    (near,), (far,) = (joined(log, [group], labels, far=far) for far in (False, True))
    assert near.members.tolist() == crew[:12].tolist()
    assert far.members.tolist() == crew.tolist()


def test_who_asks_mostly_what_two_members_ask_joins_though_everybody_asks_some_of_that():
    log = log_of(0, [CREW], {})
    crew, rng = numbers(log, "hydra"), np.random.default_rng(0)
    share = np.where(np.isin(log.account, crew), 0.9, 0.3)
    common = rng.integers(200, 220, len(share))
    topics = np.where(rng.random(len(share)) < share, common, log.clusters["full"])
    (far,) = joined(log, [group_of(log, crew[:12])], {"topics": topics}, far=True)
    assert far.members.tolist() == crew.tolist()


def test_who_sends_a_fraction_or_a_multiple_of_what_the_members_send_does_not_join_them():
    crowds = [("hydra", 40, "brisk", "flat", range(100, 110)), ("jobs", 20, "heavy", "flat", range(100, 106))]
    log = log_of(0, crowds, {})
    crew, jobs = numbers(log, "hydra"), numbers(log, "jobs")
    (wide,) = joined(log, [group_of(log, crew[:30])], {"topics": log.clusters["full"]}, far=True)
    assert np.isin(crew, wide.members).all()
    assert log.sent[jobs].min() < 10
    assert log.sent[jobs].max() > 90
    assert log.sent[np.intersect1d(jobs, wide.members)].min() > 10
    assert log.sent[np.intersect1d(jobs, wide.members)].max() < 60


def test_people_who_ask_what_a_campaign_without_a_template_asks_and_as_much_are_none_of_it():
    crowds = [("hydra", 40, "even", "flat", range(100, 103)), ("asks", 12, "even", "people", range(100, 103))]
    log = log_of(0, crowds, {})
    crew, labels = numbers(log, "hydra"), {"topics": log.clusters["full"]}
    law, founders = people(log, labels["topics"], 0), group_of(log, crew[:30])
    larger = grown(log, founders, law, labels, np.zeros(len(log.account), dtype=bool))
    (far,) = joined(log, [founders], labels, far=True)
    assert larger.members.tolist() == crew.tolist()
    assert far.members.tolist() == crew.tolist()


@pytest.mark.parametrize("known", [False, True])
def test_who_writes_a_template_of_which_no_member_writes_anything_does_not_join(known: bool):
    log, crew, chain = chained(11)
    place = log.places(crew)[log.account]
    first = np.flatnonzero(place == 0)[:1] if known else []
    run = np.where(place >= 6, 0, -1)
    run[first] = 0
    (wide,) = joined(log, [group_of(log, crew[:6])], {"topics": chain, "run": run})
    assert wide.members.tolist() == (crew if known else crew[:6]).tolist()


def test_a_group_that_stands_out_by_itself_is_of_a_known_operator_or_left_out():
    log = log_of(3, [("hydra", 40, "even", "flat", range(100, 110)), OTHER], {})
    crew, labels = numbers(log, "hydra"), {"topics": log.clusters["full"]}
    beside = [group_of(log, crew[30:]), group_of(log, numbers(log, "other"))]
    law, known = people(log, labels["topics"], 0), {7: group_of(log, crew[:30])}
    assert _folded(log, known, law, labels) == known
    ((name, whole),) = _folded(log, known, law, labels, beside).items()
    assert (name, whole.members.tolist()) == (7, crew.tolist())


def test_another_operator_of_the_same_rate_is_not_followed_to_by_a_request_that_went_astray():
    log = log_of(0, [("hydra", 30, "brisk", "flat", range(100, 108)), OTHER], {})
    crew, others = numbers(log, "hydra"), np.flatnonzero(np.isin(log.account, numbers(log, "other")))
    topics = log.clusters["full"].copy()
    topics[others[np.unique(log.account[others], return_index=True)[1]]] = 100
    (wide,) = joined(log, [group_of(log, crew[:25])], {"topics": topics})
    assert wide.members.tolist() == crew.tolist()


def test_those_of_whom_linking_saw_no_request_may_join_too():
    log, crew, chain = chained(11)
    founders = group_of(log, crew[:6])
    log.held_out[np.isin(log.account, crew[6:])] = True
    (wide,) = joined(log, [founders], {"topics": chain})
    assert set(wide.members.tolist()) == set(crew.tolist())


def test_those_who_are_of_another_rate_as_a_whole_do_not_join():
    log, crew, chain = chained(11)
    fewer = np.isin(log.account, crew[6:]) | (np.arange(len(log.account)) % 5 > 1)
    accounts = log.accounts.with_columns(
        n_total=pl.Series(np.bincount(log.account[fewer])),
        n_sampled=pl.Series(np.bincount(log.account[fewer])),
    )
    slow = traffic(log.rows.filter(pl.Series(fewer)), accounts)
    founders = group_of(slow, crew[:6])
    (wide,) = joined(slow, [founders], {"topics": chain[fewer]})
    assert set(wide.members.tolist()) == set(crew[:6].tolist())


def test_groups_that_are_looked_at_together_are_told_apart_as_each_by_itself():
    log = log_of(12, [CREW, ("other", 25, "brisk", "office", range(0, 12))], {"hydra": 0, "other": 1})
    labels = {**log.clusters, "topics": log.clusters["full"]}
    law = people(log, labels["topics"], 0)
    groups = [about(log, (("full", label),)) for label in range(12)]
    groups += [about(log, (("full", 100), ("full", label))) for label in range(3)]
    groups += [about(log, (("run", 0),)), about(log, (("run", 1),))]
    crowds = [numbers(log, name) for name in ("hydra", "other", "person")]
    for together, alone in (
        (parts(log, groups, law, 5), [part for group in groups for part in parts(log, [group], law, 5)]),
        (alike(log, groups, law, labels), [alike(log, [group], law, labels)[0] for group in groups]),
    ):
        for one, other in zip(together, alone, strict=True):
            assert one.candidates.tolist() == other.candidates.tolist()
            np.testing.assert_allclose(one.confidence, other.confidence, rtol=1e-9)
        ours = [[np.isin(crowd, found.members).sum() for crowd in crowds] for found in together]
        assert any(office > 20 and not person for _, office, person in ours)
