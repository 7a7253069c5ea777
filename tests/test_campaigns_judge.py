from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from campaigns.candidates import candidates
from campaigns.evidence.repeats import repeated
from campaigns.explain import FEWEST, at_most, weigh
from campaigns.judge import JudgeSettings, _crews, judge
from campaigns.link import LinkSettings
from campaigns.people import people
from campaigns.profiles import account_profiles, by_cluster
from campaigns.records import Wording, records
from campaigns.traffic import traffic
from campaigns.vocabulary import Direction, Explanation, Signal, Status
from campaigns.volumes import volumes
from campaigns.weighing import Weighing, evidence
from tests.traffic_planted import START, accounts_of, group_of, numbers, plant, rows_at

ORDINARY = ("person", 1_500, "heavy", "people", range(0, 150))


def judged(seed, crowds, settings=JudgeSettings()):  # noqa: B008  (frozen)
    return judge_of(*plant(seed, [ORDINARY, *crowds]), settings)


def judge_of(rows, accounts, settings=JudgeSettings()):  # noqa: B008  (frozen)
    log = traffic(rows, accounts)
    texts = pl.Series("text", [f"question number {i}" for i in range(rows.height)])
    topics = log.clusters["full"]
    nobody = np.full(log.n_accounts, -1)
    cases = judge(log, topics, texts, nobody, settings, seed=0)
    order = [(not case.reported, -max(case.log_e, 0.0)) for case in cases]
    assert order == sorted(order)
    return log, cases


def names_of(log, case):
    return set(log.accounts["account_id"].gather(case.group.members).str.slice(0, 4))


def reported(log, cases):
    return [names_of(log, case) for case in cases if case.reported]


def test_an_even_group_round_the_clock_is_reported_with_its_accounts():
    log, cases = judged(0, [("hydra", 40, "even", "flat", range(200, 210))])
    assert reported(log, cases) == [{"hydr"}]
    case = next(case for case in cases if case.reported)
    assert len(case.group.members) == 40
    assert case.decision_reason.endswith("does not tell whether it is metered service or one organisation")
    ids, day = dict.fromkeys(case.group.clusters, "k"), datetime(2026, 6, 1, tzinfo=UTC)
    [said] = records(log, [case], ids, [Wording("", [])], (day, day)).campaigns
    by_name = dict(line.split(": ", 1) for line in said["not_tested"])
    assert by_name["one_organisation"] == "no org_id column"
    assert by_name["metered_service"] == "as repeats was not tested"
    assert by_name["shared_addresses"] == "no ip column"
    assert "no model column" in by_name["crews"]


@pytest.mark.parametrize("volumes", ["heavy", "capped"])
def test_a_crowd_with_hours_of_its_own_is_listed_and_not_reported(volumes):
    log, cases = judged(1, [("class", 60, volumes, "people", range(200, 203))])
    assert reported(log, cases) == []
    names = [log.accounts["account_id"].gather(case.group.candidates) for case in cases]
    assert any(name.str.starts_with("class").mean() > 0.8 for name in names)


@pytest.mark.parametrize(("shared", "named"), [(True, "NETWORK"), (False, "INDEPENDENT")])
def test_ordinary_users_of_shared_addresses_are_set_aside_as_those_of_a_network(shared: bool, named: str):
    rows, accounts = plant(3, [ORDINARY, ("proxy", 60, "heavy", "people", range(200, 203))])
    number = pl.col("account_id").str.extract(r"(\d+)$").cast(pl.Int64) % (5 if shared else 10_000)
    rows = rows.with_columns(ip=pl.format("{}.{}", pl.col("account_id").str.slice(0, 4), number))
    settings = JudgeSettings(ignore=(Signal.TASKS, Signal.QUOTA))  # what tells a tool's users from others
    log, cases = judge_of(rows, accounts, settings)
    ours = [case for case in cases if "prox" in names_of(log, case)]
    assert ours
    assert not any(case.reported for case in ours)
    assert {case.lookalike.explanation for case in ours} == {Explanation[named]}
    assert all(str(Explanation[named]).split("_")[0] in case.decision_reason for case in ours)
    weighed = {weighed.explanation for case in ours for weighed in case.explanations}
    assert Explanation.INDEPENDENT in weighed
    assert (Explanation.NETWORK in weighed) == shared


@pytest.mark.parametrize("hours", ["flat", "office"])
def test_a_tool_under_a_quota_is_not_reported_though_its_hours_are_nobodys_own(hours):
    log, cases = judged(1, [("tool", 160, "capped", hours, range(200, 203))])
    assert reported(log, cases) == []
    assert all(case.log_e <= 0 and case.q_value == 1 for case in cases)
    assert cases[0].lookalike.explanation is Explanation.AUTOMATION


def test_volumes_more_even_than_a_quota_makes_them_are_reported_whatever_the_hours():
    log, cases = judged(1, [("hydra", 90, "even", "people", range(200, 203))])
    assert reported(log, cases) == [{"hydr"}]


@pytest.mark.parametrize("hours", ["flat", "office"])
def test_customers_jobs_with_volumes_of_their_own_are_explained_whatever_their_hours(hours):
    log, cases = judged(2, [("cron", 60, "heavy", hours, range(200, 202))])
    assert reported(log, cases) == []
    assert any(case.lookalike.explanation is Explanation.AUTOMATION for case in cases)


@pytest.mark.parametrize("people", [1_500, 200])
def test_a_published_job_at_its_default_minute_is_explained_however_much_of_the_log_it_is(people):
    crowd, ordinary = ("action", 200, "even", "flat", range(200, 202)), (*ORDINARY[:1], people, *ORDINARY[2:])
    log, cases = judge_of(*plant(2, [ordinary, crowd]))
    assert reported(log, cases) == [{"acti"}]
    on_time = pl.when(pl.col("account_id").str.starts_with("action")).then(
        pl.col("timestamp").dt.truncate("1h") + pl.duration(seconds=pl.col("text") % 100)
    )
    rows, accounts = plant(2, [ordinary, crowd])
    log, cases = judge_of(rows.with_columns(on_time.otherwise("timestamp").alias("timestamp")), accounts)
    assert reported(log, cases) == []
    assert cases[0].lookalike.explanation is Explanation.SCHEDULED


def test_one_prompt_an_account_sent_all_week_is_no_harvest():
    rows, accounts = plant(2, [ORDINARY, ("check", 40, "brisk", "flat", range(200, 202))])
    rng = np.random.default_rng(0)  # people ask what others ask, now and then
    popular = pl.when(pl.Series(rng.random(rows.height) < 0.2)).then(
        pl.Series(rng.integers(9_000, 9_400, rows.height))
    )
    job = pl.col("account_id").str.starts_with("check")
    prompt = pl.when(job).then(pl.col("account_id").rank("dense")).otherwise(popular)
    text = pl.coalesce(prompt, 10_000 + pl.col("text")).rank("dense").cast(pl.UInt32) - 1
    log, cases = judge_of(rows.with_columns(text=text), accounts)
    assert reported(log, cases) == []
    assert (
        next(case for case in cases if "chec" in names_of(log, case)).lookalike.explanation
        is Explanation.VIRAL
    )


def test_an_explanation_is_not_said_to_fit_for_what_such_a_crowd_does_not_do():
    log, cases = judged(1, [("class", 60, "capped", "people", range(200, 203))])
    case = next(case for case in cases if "clas" in names_of(log, case))
    hours = case.findings[Signal.RHYTHM]
    assert hours.direction is Direction.AGAINST
    fits = {weighed.explanation: hours.sentence in weighed.speaks_for for weighed in case.explanations}
    assert fits[Explanation.TOOL]
    assert not fits[Explanation.AUTOMATION]


def test_one_mix_of_tasks_rules_out_a_service_where_the_log_says_whose_the_keys_are():
    rows, accounts = plant(2, [ORDINARY, ("hydra", 60, "even", "flat", range(200, 210))])
    rng = np.random.default_rng(0)  # prompts are asked twice on average, the popular ones more
    text = np.repeat(np.arange(rows.height), rng.geometric(0.5, rows.height))[: rows.height]
    rows = rows.with_columns(text=pl.Series(rng.permutation(text)))
    log, cases = judge_of(rows, accounts)
    assert reported(log, cases) == []
    assert any(case.lookalike.explanation is Explanation.SERVICE for case in cases)
    owners = pl.col("account_id").alias("org_id")
    log, cases = judge_of(rows.with_columns(owners), accounts.with_columns(owners))
    assert reported(log, cases) == [{"hydr"}]
    by_name = {weighed.explanation: weighed for weighed in cases[0].explanations}
    assert by_name[Explanation.ORGANISATION].score < 1e-5
    assert "of 60 organisations" in by_name[Explanation.ORGANISATION].speaks_against[0]
    mine, account = pl.col("account_id").str.starts_with("hydra"), pl.col("account_id")
    departments = (
        pl.when(mine)
        .then(account.str.slice(-1).replace_strict({str(i): f"o{i % 3}" for i in range(10)}))
        .otherwise(account)
        .alias("org_id")
    )
    log, cases = judge_of(rows.with_columns(departments), accounts.with_columns(departments))
    assert reported(log, cases) == []
    assert any(case.lookalike.explanation is Explanation.ORGANISATION for case in cases)
    unknown = pl.when(~pl.col("account_id").str.starts_with("hydra")).then("account_id").alias("org_id")
    log, cases = judge_of(rows.with_columns(unknown), accounts.with_columns(unknown))
    assert reported(log, cases) == []


@pytest.mark.parametrize(("topics", "n_reports"), [(range(205, 225), 1), (range(240, 260), 2)])
def test_crews_of_one_volume_and_some_of_the_same_topics_are_one_operator(topics, n_reports):
    crews = [("hydra", 40, "even", "flat", range(200, 220)), ("crew", 40, "even", "flat", topics)]
    log, cases = judged(3, crews)
    assert len(reported(log, cases)) == n_reports


def test_crews_that_are_only_seen_together_are_weighed_and_reported_each_where_the_models_tell_them_apart():
    crews = [("hydra", 40, "brisk", "flat", range(200, 220)), ("crew", 40, "brisk", "flat", range(210, 230))]
    rows, accounts = plant(3, [ORDINARY, *crews])
    own = pl.col("account_id").hash(0) % 3
    turns = pl.col("account_id").str.starts_with("hydra") & (pl.col("timestamp").dt.day() > 4)
    model = pl.when(turns).then(3).otherwise(own).cast(pl.String)
    log, cases = judge_of(rows.with_columns(model=model), accounts)
    names = [log.accounts["account_id"].gather(case.group.members) for case in cases if case.reported]
    shares = sorted(part.str.starts_with("hydra").mean() for part in names)
    assert len(shares) == 2
    assert shares[0] < 0.05 < 0.95 < shares[1]


@pytest.mark.parametrize("even", [True, False])
def test_crews_are_weighed_by_volumes_that_they_were_not_told_apart_by(even: bool):
    rows, accounts = plant(3, [ORDINARY, ("hydra", 40, "brisk", "flat", range(200, 220))])
    account = pl.col("account_id")
    share = account.str.extract(r"(\d+)$").cast(pl.Int64) % 10  # of the held-out half, in tenths
    kept = ~account.str.starts_with("hydra") | ~pl.col("held_out") | (pl.col("text") % 10 < share)
    log = traffic(rows if even else rows.filter(kept), accounts)
    crew = group_of(log, numbers(log, "hydra"))
    law, topics = people(log, log.clusters["full"], 0), log.clusters["full"]
    seen = Weighing(log=log, people=law, topics=topics, known=repeated(log), ignore=())
    assert (seen.passing([crew], 0.05, crews=True) == [0]) == even
    assert seen.looked_at(0).findings[Signal.TASKS].status is Status.NOT_TESTED


def of_five(n_crews, n_linking):
    """Return a `crews` that tells accounts apart by their numbers: five each, and the rest."""

    def guessed(log, campaign, people, labels, *, linking=False):
        members, n = campaign.members, n_linking if linking else n_crews
        crew = np.minimum(np.arange(len(members)) // 5, n - 1)
        return [campaign.without(members[crew != i]) for i in range(n)]

    return guessed


def test_a_campaign_is_not_lost_by_crews_of_which_nothing_confirms_one(monkeypatch):
    monkeypatch.setattr("campaigns.judge.crews", of_five(8, 8))
    log, cases = judged(0, [("hydra", 40, "even", "flat", range(200, 210))])
    assert reported(log, cases) == [{"hydr"}]
    assert len(cases[0].group.members) == 40


@pytest.mark.parametrize(("n_linking", "members", "n_alone"), [(1, 40, 0), (2, 35, 1)])
def test_a_crew_that_nothing_confirms_stays_where_the_linking_half_tells_none_apart(
    monkeypatch, n_linking, members, n_alone
):
    log = traffic(*plant(0, [ORDINARY, ("hydra", 40, "even", "flat", range(200, 210))]))
    topics = log.clusters["full"]
    law, groups = people(log, topics, 0), [group_of(log, numbers(log, "hydra"))]
    monkeypatch.setattr("campaigns.judge.crews", of_five(2, n_linking))
    found, alone = _crews(log, groups, [0], law, {"topics": topics}, sure=True)
    assert [len(crew.members) for crew in found.values()] == [members]
    assert len(alone) == n_alone


def in_part(rows, name, most):
    """Put some of a crowd's rows into one cluster: one in twenty of some accounts, up to most of others."""
    share = pl.col("account_id").str.extract(r"(\d+)$").cast(pl.Int64) % 10 * most // 9 + 5
    there = pl.col("account_id").str.starts_with(name) & (pl.col("text").hash(1) % 100 < share)
    cluster = pl.when(there).then(200).otherwise("cluster_full").cast(pl.Int32)
    return rows.with_columns(cluster_full=cluster), there


@pytest.mark.parametrize(("volumes", "found"), [("brisk", [{"hydr"}]), ("heavy", [])])
def test_accounts_that_share_a_part_of_their_work_are_judged_by_all_that_they_sent(volumes, found):
    rows, accounts = plant(2, [ORDINARY, ("hydra", 40, volumes, "flat", range(0, 150))])
    rows, _ = in_part(rows, "hydra", most=90)
    log, cases = judge_of(rows, accounts)
    assert reported(log, cases) == found
    ours = [case for case in cases if case.reported]
    assert all("by all that its accounts sent" in case.decision_reason for case in ours)
    assert all(np.median(case.group.confidence) > 0.95 for case in ours)


@pytest.mark.parametrize(
    ("volumes", "hours", "found"), [("brisk", "flat", [{"hydr"}]), ("heavy", "people", [])]
)
def test_work_of_one_afternoon_may_be_a_class_unless_all_that_its_accounts_send_is_even(
    volumes, hours, found
):
    subject = ("hydra", 40, "even", "flat", range(200, 201))
    rows, _ = plant(2, [ORDINARY, ("hydra", 40, volumes, hours, range(0, 150)), subject])
    afternoon = START + timedelta(days=2, hours=12) + (pl.col("timestamp") - START) / 28
    rows = rows.with_columns(
        timestamp=pl.when(pl.col("cluster_full") == 200).then(afternoon).otherwise("timestamp")
    )
    log, cases = judge_of(rows, accounts_of(rows))
    assert reported(log, cases) == found


def test_what_tells_a_published_job_is_seen_of_the_work_that_is_shared():
    rows, accounts = plant(2, [ORDINARY, ("action", 40, "brisk", "flat", range(0, 150))])
    rows, job = in_part(rows, "action", most=40)
    on_time = pl.col("timestamp").dt.truncate("1h") + pl.duration(seconds=pl.col("text") % 100)
    log, cases = judge_of(rows, accounts)
    assert reported(log, cases) == [{"acti"}]
    rows = rows.with_columns(timestamp=pl.when(job).then(on_time).otherwise("timestamp"))
    assert reported(*judge_of(rows, accounts)) == []


def test_what_a_known_operator_leaves_of_a_group_is_judged_without_it():
    hydra = ("hydra", 40, "even", "flat", range(0, 150))
    rows, accounts = plant(2, [ORDINARY, hydra, ("known", 40, "brisk", "flat", range(210, 220))])
    rows, _ = in_part(rows, "hydra", most=90)
    rows, _ = in_part(rows, "known", most=40)
    log, cases = judge_of(rows, accounts)
    names = [log.accounts["account_id"].gather(case.group.members) for case in cases if case.reported]
    assert [part.str.starts_with("hydra").mean() > 0.9 for part in names] == [False, True]
    assert len(names[1]) >= 30
    known = set(names[0]) | set(names[1])
    for case in cases:
        both = len(known & set(log.accounts["account_id"].gather(case.group.members)))
        n = len(case.group.members)
        said = f"{both} of its {n} accounts {'is' if both == 1 else 'are'} of reported campaigns"
        assert (said in case.decision_reason) == (not case.reported and both > 0)
        assert case.decision_reason.startswith(said) == (not case.reported and 3 * both >= n)
    assert any("of reported campaigns" in case.decision_reason for case in cases)


def test_ordinary_traffic_alone_reports_nothing():
    for seed in range(3, 6):
        assert reported(*judged(seed, [])) == []


def test_what_is_ignored_is_not_weighed_and_what_is_left_may_not_be_enough():
    hydra = ("hydra", 40, "even", "flat", range(200, 210))
    log, cases = judged(0, [hydra], JudgeSettings(ignore=(Signal.EVENNESS,)))
    assert reported(log, cases) == []
    finding = cases[0].findings[Signal.EVENNESS]
    assert (finding.status, finding.reason) == (Status.NOT_TESTED, "left out by the settings")


def test_a_missing_column_is_said_and_counts_for_nothing():
    _, cases = judged(0, [("hydra", 40, "even", "flat", range(200, 210))])
    finding = cases[0].findings[Signal.ADDRESSES]
    assert (finding.status, finding.reason, finding.log_e) == (Status.NOT_TESTED, "no ip column", None)


def test_a_group_that_two_signals_see_through_has_nothing_left_when_all_are_weighed():
    rows, accounts = plant(3, [ORDINARY, ("hydra", 40, "even", "flat", range(200, 210))])
    log = traffic(rows, accounts)
    topics, nobody = log.clusters["full"], np.full(log.n_accounts, -1)
    groups, law, _ = candidates(log, topics, nobody, LinkSettings(), seed=0)
    known, left, most = repeated(log), [], []
    for group in groups:
        findings = evidence(log, group, volumes(log, group, law), law, topics, known)
        left.append(min(weighed.log_e for weighed in weigh(findings)))
        most.append(at_most({signal: findings[signal] for signal in FEWEST}))
    assert (np.array(left) <= np.array(most)).all()
    assert 0 < sum(value > 0 for value in most) < len(groups) / 2
    cases = judge(log, topics, pl.Series("text", ["?"] * rows.height), nobody, JudgeSettings(), seed=0)
    best = sorted((case.log_e for case in cases if case.log_e > 0), reverse=True)
    assert best[:3] == pytest.approx(sorted((value for value in left if value > 0), reverse=True)[:3])


def test_what_a_group_weighs_beforehand_is_told_by_the_half_that_linking_saw():
    rows, accounts = plant(3, [ORDINARY, ("hydra", 40, "even", "flat", range(200, 210))])
    moved = pl.col("timestamp").shuffle(seed=1).over("held_out")
    other = rows.with_columns(timestamp=pl.when("held_out").then(moved).otherwise("timestamp"))

    first = traffic(rows, accounts)
    law = people(first, first.clusters["full"], 0)

    def weights(rows):
        log = traffic(rows, accounts)
        weighing = Weighing(log=log, people=law, topics=log.clusters["full"], known=repeated(log), ignore=())
        crew = numbers(log, "hydra")
        crowds = [crew, *np.array_split(np.setdiff1d(np.arange(log.n_accounts), crew), 20)]
        return [weighing._weight(group_of(log, crowd)) for crowd in crowds]

    hydra, *ordinary = weights(rows)
    n = rows.filter(~pl.col("held_out")).group_by(pl.col("account_id").str.starts_with("hydra")).len()
    assert hydra > n.filter("account_id")["len"].item()  # of ordinary accounts just as many rows as they have
    assert sum(ordinary) == n.filter(~pl.col("account_id"))["len"].item()
    assert weights(other) == [hydra, *ordinary]


def test_who_stands_out_by_itself_is_known_though_nothing_passes():
    log = traffic(*plant(3, [ORDINARY, ("hydra", 40, "even", "flat", range(200, 210))]))
    topics, crew = log.clusters["full"], numbers(log, "hydra")
    law = people(log, topics, 0)
    weighing = Weighing(log=log, people=law, topics=topics, known=repeated(log), ignore=())
    others = np.array_split(np.setdiff1d(np.arange(log.n_accounts), crew), 20)
    crowds = [*others[:10], crew, *others[10:]]
    assert weighing.passing([group_of(log, crowd) for crowd in crowds], 1e-12) == []
    assert weighing.standing_out == [10]


def test_profiles_put_accounts_of_one_mix_together():
    rows, accounts = plant(7, [ORDINARY, ("hydra", 40, "even", "flat", range(200, 240))])
    log = traffic(rows, accounts)
    chosen, vectors = account_profiles(log, log.clusters["full"], seed=0)
    ours = log.accounts["account_id"].gather(chosen).str.starts_with("hydra").to_numpy()
    within, across = vectors[ours] @ vectors[ours].T, vectors[ours] @ vectors[~ours].T
    assert within.mean() > 0.5 > across.mean() + 0.3


def test_accounts_that_all_ask_about_everything_have_no_profile():
    events = [(f"a{i}", hour, topic) for i in range(5) for topic in range(3) for hour in range(20)]
    log = traffic(*rows_at(events))
    chosen, vectors = account_profiles(log, log.rows["text"].to_numpy().astype(np.int64), seed=0)
    assert len(chosen) == len(vectors) == 0


def test_a_group_that_only_false_discovery_control_leaves_out_is_not_called_innocent():
    _, cases = judged(0, [("hydra", 40, "even", "flat", range(200, 210))], JudgeSettings(level=1e-12))
    assert not any(case.reported for case in cases)
    assert cases[0].decision_reason.startswith(f"stands out (e-value {np.exp(cases[0].log_e):,.0f}), but not")
    assert cases[-1].decision_reason.startswith(("better explained", "its accounts behave"))
    _, few = judged(3, [("hydra", 5, "even", "flat", range(200, 210))], JudgeSettings(level=1e-12))
    little, by = few[0].decision_reason.split("; ")
    e_value = np.exp(few[0].log_e)
    assert (
        little == f"stands out a little (e-value {e_value:.3g}), not enough to rule out customers automation"
    )
    assert by == "judged by all that its accounts sent"


def test_a_row_of_another_century_makes_one_more_day_and_not_thousands():
    rows, accounts = plant(1, [ORDINARY])
    stray = pl.col("timestamp").dt.replace(year=1970)
    log = traffic(
        rows.with_columns(
            pl.when(pl.int_range(pl.len()) == 5).then(stray).otherwise("timestamp").alias("timestamp")
        ),
        accounts,
    )
    assert log.n_slots <= 9 * 24
    assert np.bincount(log.hour // 24)[0] == 1


def test_a_cluster_has_the_topic_of_most_of_its_requests_and_noise_keeps_its_own():
    topics = np.array([5, 5, 3, 4, 4, 7, 6])
    labels = np.array([1, 1, 1, 0, -1, 0, 0])
    settled = by_cluster(topics, labels)
    assert settled[:3].tolist() == [5, 5, 5]
    assert settled[4] == 4
    assert len({*settled[[3, 5, 6]].tolist()}) == 1  # three topics, once each: any, but one
    assert topics.tolist() == [5, 5, 3, 4, 4, 7, 6]
    assert by_cluster(topics, np.full(7, -1)).tolist() == topics.tolist()
