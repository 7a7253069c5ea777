from dataclasses import replace
from datetime import timedelta
from itertools import product

import numpy as np
import polars as pl
import pytest

from campaigns.evidence.capability import capabilities, capability
from campaigns.evidence.clock import off_the_clock
from campaigns.evidence.constant_total import constant_total
from campaigns.evidence.evenness import evenness
from campaigns.evidence.finding import MOST, RARE, log_e_value, not_tested, share_ratio
from campaigns.evidence.quota import quota
from campaigns.evidence.repeats import question_bank, repeated, repeats
from campaigns.evidence.rhythm import rhythm
from campaigns.evidence.round_clock import round_clock
from campaigns.evidence.sustained import sustained
from campaigns.evidence.tasks import shared_tasks
from campaigns.evidence.template import template
from campaigns.explain import best, weigh
from campaigns.groups import Group, profile_groups
from campaigns.link import LinkSettings
from campaigns.people import people
from campaigns.profiles import MIN_ROWS
from campaigns.traffic import traffic
from campaigns.vocabulary import Capability, Direction, Explanation, Signal, Status
from campaigns.volumes import volumes
from tests.traffic_planted import START, group_of, numbers, plant, rows_at


def everybody(log):
    return group_of(log, np.arange(log.n_accounts))


def test_a_repeat_is_asked_at_another_time_and_not_just_sent_again():
    log = traffic(*rows_at([("a", 1, 7), ("a", 2, 7), ("b", 3, 8), ("c", 4, 8), ("c", 5, 9)]))
    assert repeated(log).again.tolist() == [0, 0, 1, 1, 0]
    log = traffic(*rows_at([("a", 1, 7), ("a", 2, 8), ("a", 3, 7), ("b", 4, 9)]))
    assert repeated(log).again.tolist() == [1, 0, 1, 0]
    assert repeated(log).usual == pytest.approx((2 / 3 + 0) / 2)
    log = traffic(*rows_at([("a", 1 + i / 20, 7) for i in range(4)] + [("b", hour, 8) for hour in range(4)]))
    assert repeated(log).again.tolist() == [0] * 4 + [1] * 4  # retries in a few minutes; one prompt, all day


def test_a_request_that_was_refused_and_sent_from_another_account_is_no_repeat():
    rows, accounts = rows_at([("a", 1, 7), ("b", 2, 7), ("b", 3, 8)])
    refused = traffic(rows.with_columns(status=pl.Series([429, 200, 200])), accounts)
    answered = traffic(rows.with_columns(status=pl.Series([200, 200, None])), accounts)
    assert repeated(refused).again.tolist() == [0, 0, 0]
    assert repeated(answered).again.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("minute", "direction"),
    [
        (lambda account, i: 1.0, None),  # of the log: rounded times
        (lambda account, i: 20.0 * (i % 3), None),
        (lambda account, i: (17 * account) % 60 + 0.2, Direction.AGAINST),
        (lambda account, i: 5.0 * (7 * account + 5 * i) % 60, None),
        *(
            (lambda account, i, n=n: (account / 30 / n + i / n) % 1 * 60, Direction.AGAINST)
            for n in (2, 3, 4, 6)  # times an hour
        ),
        (lambda account, i: 0.3 + (account + i) / 40 if account % 3 else 31.0 * i % 60, Direction.AGAINST),
        (lambda account, i: (7.3 * i + 3.1 * account) % 60, Direction.FOR),
    ],
)
def test_jobs_keep_to_their_minute_of_the_hour_and_a_queue_to_none(minute, direction):
    rows, accounts = rows_at([(f"a{i % 30}", i // 5, i) for i in range(600)])
    late = [timedelta(minutes=minute(i % 30, i // 30) - 5) for i in range(600)]
    log = traffic(rows.with_columns(timestamp=pl.col("timestamp") + pl.Series(late)), accounts)
    finding = off_the_clock(log, everybody(log))
    assert finding.direction is direction if direction else finding.status is Status.NOT_TESTED


def test_texts_without_spaces_have_a_template_of_characters():
    texts = [f"请把下面的句子翻译成英文{filling}" for filling in ("苹果", "天空", "海洋", "石头")]
    assert template(texts, 4, 4).statistic == 1


def test_an_order_at_the_end_of_a_long_request_is_read():
    pages = "the quick brown fox. " * 1_000
    asks = capabilities(pl.Series([pages + "Think aloud before the answer.", pages]))
    assert asks.sum(axis=1).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("asked", "kind", "share"),
    [
        ("Translate into French: ", Capability.TRANSLATION, 1.0),
        ("Score from 1 to 5, and solve it again. ", Capability.GRADING, 1.0),
        ("Think this through out loud, false starts and all. ", Capability.REASONING, 1.0),
        ("Reason it through and write every thought between <reasoning> tags. ", Capability.REASONING, 1.0),
        ("You are an autonomous agent. Print Thought, Action, Action Input: ", Capability.AGENTIC, 1.0),
        ("Write a task that this persona would create, persona to ask: ", Capability.SYNTHETIC_DATA, 1.0),
        ("Come up with 20 tasks like this one. ", Capability.SYNTHETIC_DATA, 1.0),
        ("Drop greetings and false starts. ", Capability.DATA_CLEANING, 1.0),
        ("", Capability.GENERAL, None),
    ],
)
def test_what_a_group_is_after_is_what_its_template_says_even_where_it_is_most_of_the_log(asked, kind, share):
    log = traffic(*rows_at([(f"a{i % 50}", i // 50, i) for i in range(500)]))
    texts = [f"{asked if i % 50 < 40 else ''}Solve for the number of apples: x = {i}" for i in range(500)]
    crew = np.flatnonzero(log.accounts["account_id"].is_in([f"a{i}" for i in range(40)]).to_numpy())
    group = Group(clusters=(), rows=np.arange(500), candidates=crew, confidence=np.ones(len(crew)))
    asks = capabilities(pl.Series("text", texts).gather(log.rows["text"]))
    finding, found = capability(log, group, asks, asks.sum(axis=0))
    assert found is kind
    assert finding.statistic == share


def test_a_prompt_that_is_sampled_a_few_times_is_no_question_bank():
    log = traffic(*rows_at([(f"a{i % 30}", i % 160, i % 150) for i in range(600)]))
    assert question_bank(log, everybody(log), repeated(log)).direction is Direction.FOR


def test_a_sample_hides_no_question_bank():
    rng = np.random.default_rng(0)
    events = [(f"a{i % 100:02}", float(rng.uniform(0, 168)), int(rng.integers(60))) for i in range(6_000)]
    for share in (1.0, 0.1):
        log = sampled(events, share)
        assert question_bank(log, everybody(log), repeated(log)).statistic > 0.5


def test_many_accounts_with_one_set_of_questions_are_not_betrayed_by_repeats():
    log = traffic(*rows_at([(f"a{i % 30}", i % 160, i % 12) for i in range(600)]))
    assert question_bank(log, everybody(log), repeated(log)).direction is Direction.AGAINST


@pytest.mark.parametrize(
    ("accounts", "text", "direction"),
    [
        (400, lambda i: i // 8, Direction.FOR),  # eight answers to each prompt, from eight of many accounts
        (20, lambda i: i // 8, Direction.AGAINST),  # from as many, which is most
        (100, lambda i: i % 300, Direction.AGAINST),  # three of its own to each account, over and over
    ],
)
def test_a_long_list_of_which_each_prompt_is_asked_by_few_is_no_question_bank(accounts, text, direction):
    log = traffic(*rows_at([(f"a{i % accounts}", i % 160, text(i)) for i in range(4_000)]))
    assert question_bank(log, everybody(log), repeated(log)).direction is direction


def test_a_harvest_without_a_repeat_is_no_question_bank():
    log = traffic(*rows_at([(f"a{i % 30}", i % 160, i) for i in range(600)]))
    assert question_bank(log, everybody(log), repeated(log)).direction is Direction.FOR


@pytest.mark.parametrize(
    ("sizes", "direction"),
    [
        ("one", Direction.FOR),
        ("three", Direction.FOR),
        ("drawn", Direction.FOR),  # two lists, each with replacement, one far longer than the other
        ("popular", Direction.AGAINST),
        ("viral", Direction.NEUTRAL),
    ],
)
def test_what_a_group_asks_once_or_some_few_times_is_no_service_though_others_ask_it_too(sizes, direction):
    rng = np.random.default_rng(1)
    drawn = np.concatenate([rng.poisson(8, 60), rng.poisson(0.7, 940)])
    popular, viral = rng.geometric(0.4, 1_000), np.where(np.arange(1_000), 1, 6_000)
    each = {"one": 1, "three": 3, "drawn": drawn, "popular": popular, "viral": viral}
    asked = rng.permutation(np.repeat(np.arange(1_000), each[sizes]))[: 6_999 if sizes == "viral" else 1_000]
    swept = [(f"op{i % 20:02}", i % 160, int(text)) for i, text in enumerate(asked)]
    others = [(f"p{i % 97:02}", i % 160, i % 1_500) for i in range(3_000)]  # popular, also with the group
    log = traffic(*rows_at(swept + others))
    topics = np.digitize(log.rows["text"].to_numpy(), [1, 60])
    finding = repeats(log, group_of(log, numbers(log, "op")), repeated(log), topics)
    assert finding.statistic == 1.0
    assert finding.direction is direction
    assert ("from a list that is gone through" in finding.sentence) == (sizes in ("three", "drawn"))


def test_repeats_among_some_requests_are_as_many_as_in_samples_of_that_size():
    rng = np.random.default_rng(0)
    text = np.minimum(rng.geometric(0.002, 4_000), 900)
    log = traffic(*rows_at([(f"p{i % 200}", i % 160, t) for i, t in enumerate(text)]))
    known = repeated(log)

    def among() -> float:
        counts = np.bincount(rng.choice(text, 300, replace=False))
        return counts[counts > 1].sum() / 300

    assert known.usual_among(300) == pytest.approx(np.mean([among() for _ in range(200)]), rel=0.05)
    assert known.usual_among(4_000) == pytest.approx(known.usual)


def test_in_a_log_of_free_text_repeats_say_nothing():
    log = traffic(*rows_at([(f"a{i % 30}", i % 160, i) for i in range(600)]))
    finding = repeats(log, everybody(log), repeated(log), np.zeros(len(log.account), dtype=np.int64))
    assert (finding.status, finding.log_e) == (Status.NOT_TESTED, None)


@pytest.mark.parametrize(("hours", "direction"), [("flat", Direction.FOR), ("people", Direction.AGAINST)])
def test_only_a_group_that_never_sleeps_is_round_the_clock(hours, direction):
    if hours == "flat":
        log = traffic(*plant(1, [("a", 40, "even", "flat", range(5))]))
    else:
        rng = np.random.default_rng(0)
        log = traffic(*rows_at([(f"a{i % 40}", 24 * (i % 7) + rng.integers(8, 18), i) for i in range(900)]))
    assert round_clock(log, everybody(log)).direction is direction


@pytest.mark.parametrize(
    ("days", "direction"), [(range(7), Direction.FOR), ((3, 4), Direction.AGAINST), ((4,), Direction.AGAINST)]
)
def test_a_crowd_before_one_date_is_told_from_work_that_goes_on(days, direction):
    rng = np.random.default_rng(0)
    events = [(f"a{i % 40}", 24 * days[i // 40 % len(days)] + rng.integers(8, 18), i) for i in range(900)]
    log = traffic(*rows_at([*events, ("first", 0, 900), ("last", 167, 901)]))
    assert sustained(log, everybody(log)).direction is direction


@pytest.mark.parametrize(
    ("sittings", "direction"),
    [
        (lambda account, i: (24 * (account % 7) + 24 * (i % 2) * 3 + 9 + i % 3) % 168, Direction.AGAINST),
        (lambda account, i: 24 * (i % 5) + 13 + i % 3, Direction.AGAINST),
        (lambda account, i: 24 * (i % 5) + 8 + (7 * account + 3 * i) % 10, Direction.FOR),
    ],
)
def test_trainings_and_courses_are_told_from_office_hours(sittings, direction):
    events = [(f"a{i % 40:02}", sittings(i % 40, i // 40), i) for i in range(1200)]
    log = traffic(*rows_at([*events, ("first", 0, 1200), ("last", 167, 1201)]))
    assert sustained(log, everybody(log)).direction is direction


def test_of_accounts_seen_on_one_day_each_it_is_not_known_whether_work_goes_on():
    events = [(f"a{i % 42:02}", 24 * (i % 7) + 8 + i // 42 % 12, i) for i in range(900)]
    log = traffic(*rows_at(events))
    assert sustained(log, everybody(log)).reason == "no account was seen on two days"


def test_three_days_are_three_days_in_an_office_as_well():
    def told(days: int) -> tuple[Status, str | None]:
        events = [(f"a{i % 40:02}", i % days * 24 + 8 + i // 40 % 12, i) for i in range(1200)]
        log = traffic(*rows_at(events))
        assert log.n_slots < days * 24
        return sustained(log, everybody(log)).status, constant_total(log, everybody(log)).reason

    assert told(3)[0] is Status.TESTED
    assert told(2)[0] is Status.NOT_TESTED
    assert "fewer than three days" in str(told(2)[1])
    assert "fewer than three days" not in str(told(3)[1])


@pytest.mark.parametrize(("bound", "above"), [(0.2, False), (0.75, False), (0.1, True)])
@pytest.mark.parametrize("tight", [8.0, 30.0])
def test_a_share_in_which_accounts_differ_says_no_more_than_chance(bound, above, tight):
    rng = np.random.default_rng(0)

    def e_value() -> float:
        rates = rng.beta(tight * bound, tight * (1 - bound), 30)
        account = np.repeat(np.arange(30), rng.poisson(50 * rng.gamma(2, 0.5, 30)) + 1)
        hits = rng.random(len(account)) < rates[account]
        return np.exp(log_e_value(share_ratio(hits, account, bound, above=above)[0]))

    said = np.array([e_value() for _ in range(500)])
    assert said.mean() < 1.5  # of events, not accounts, the mean is thousands
    assert (said > 20).mean() < 0.02


@pytest.mark.parametrize(("busy", "others"), [(160, 9 * [3]), (500, 9 * [10]), (800, 4 * [3])])
def test_a_share_that_one_account_sets_says_no_more_than_chance(busy, others):
    rng = np.random.default_rng(0)
    account = np.repeat(np.arange(1 + len(others)), [busy, *others])

    def e_value() -> float:
        hits = rng.random(len(account)) < rng.beta(6, 2, 1 + len(others))[account]
        return np.exp(log_e_value(share_ratio(hits, account, 0.75)[0]))

    assert np.mean([e_value() for _ in range(1_000)]) < 1.2


def test_one_account_with_most_of_the_events_is_not_the_crowd():
    def said(busy: int) -> float:
        account = np.repeat(np.arange(10), [busy, *[10] * 9])
        hits = np.concatenate([np.arange(busy) % 20 < 1, np.arange(90) % 10 < 2])  # of the rest: as innocent
        return share_ratio(hits, account, 0.2)[0]

    assert said(10) < 0
    assert said(2_000) < np.log(20)


def test_a_share_of_accounts_that_are_alike_is_a_likelihood_ratio_of_events():
    rng = np.random.default_rng(0)
    account = np.repeat(np.arange(2_000), 3)
    hits = rng.random(6_000) < 0.16
    ratio, share = share_ratio(hits, account, 0.2)
    one, other = share * np.log(share / 0.2), (1 - share) * np.log((1 - share) / 0.8)
    assert ratio == pytest.approx(6_000 * (one + other) - 0.5 * np.log(6_000), rel=0.05)
    one, other = share * np.log(share / 0.1), (1 - share) * np.log((1 - share) / 0.9)
    assert share_ratio(hits, account, 0.1)[0] == pytest.approx(
        -6_000 * (one + other) - 0.5 * np.log(6_000), rel=0.05
    )
    assert share_ratio(hits[:30], account[:30], 0.1)[0] <= -1  # of few events it is never less against


def test_what_a_class_does_speaks_for_a_class():
    def fits(hour) -> tuple[int, Explanation]:
        log = traffic(*rows_at([(f"a{i % 40:02}", hour(i), i) for i in range(1_200)]))
        found = {f.signal: f for f in (sustained(log, everybody(log)), round_clock(log, everybody(log)))}
        found |= {
            s: not_tested(s, "of no concern") for s in (Signal.REPEATS, Signal.CLOCK, Signal.QUESTION_BANK)
        }
        weighed = weigh(found)
        [said] = [w for w in weighed if w.explanation is Explanation.CLASS]
        assert set(said.speaks_for + said.speaks_against) <= {f.sentence for f in found.values()}
        return len(said.speaks_for), best(weighed).explanation

    every_evening = fits(lambda i: i // 40 % 5 * 24 + 18 + i // 200 % 2)
    assert every_evening == (2, Explanation.CLASS)
    assert fits(lambda i: i * 7 % 168) == (0, Explanation.INDEPENDENT)


def test_who_sat_on_two_days_with_few_requests_is_of_a_training():
    rng = np.random.default_rng(0)

    def e_value() -> float:
        days = [rng.permutation(7)[:2] for _ in range(40)]
        sent = [(a, 24 * days[a][i % 2] + rng.integers(8, 18)) for a in range(40) for i in range(2 + a % 3)]
        log = traffic(
            *rows_at([(f"a{a:02}", hour, i) for i, (a, hour) in enumerate([*sent, (40, 0), (40, 167)])])
        )
        log.held_out[:] = rng.random(len(log.held_out)) < 0.5
        return np.exp(sustained(log, everybody(log)).log_e or 0.0)

    assert np.mean([e_value() for _ in range(40)]) < 1


def test_a_job_that_ran_once_does_not_tell_its_minute():
    minutes = np.random.default_rng(0).random(200) * 60
    once = [(f"a{i:03}", i % 150, i) for i in range(200)]
    rows, accounts = rows_at(once)
    rows = rows.with_columns(
        pl.col("timestamp") + pl.duration(seconds=pl.Series(minutes * 60).cast(pl.Int64))
    )
    log = traffic(rows, accounts)
    assert off_the_clock(log, everybody(log)).status is Status.NOT_TESTED


def test_what_the_clock_says_does_not_depend_on_the_names_of_accounts():
    rng = np.random.default_rng(0)
    events = [
        (a, hour + rng.random()) for a in range(60) for hour in rng.choice(168, rng.integers(2, 5), False)
    ]

    def share(names: np.ndarray) -> float | None:
        log = traffic(*rows_at([(f"a{names[a]:02}", hour, i) for i, (a, hour) in enumerate(events)]))
        return off_the_clock(log, everybody(log)).statistic

    assert len({round(share(rng.permutation(60)) or 0.0, 9) for _ in range(4)}) == 1


def runs(starts: list[tuple[str, float]], minutes: float):
    """Return a log of runs of thirty requests in some minutes each, from hours on."""
    rng = np.random.default_rng(1)
    events = [(name, start + spent / 60) for name, start in starts for spent in rng.uniform(0, minutes, 30)]
    return traffic(*rows_at([(name, hour - 5 / 60, i) for i, (name, hour) in enumerate(events)]))


def test_a_run_that_an_hour_cuts_in_two_has_not_come_twice_on_time():
    starts = np.random.default_rng(0).uniform(0, 100, 300)
    once = runs([(f"a{i:03}", start) for i, start in enumerate(starts)], 4)
    assert off_the_clock(once, everybody(once)).status is Status.NOT_TESTED
    hourly = runs([(f"a{i:03}", 5 * run + i / 4 + 0.98) for i in range(30) for run in range(6)], 3)
    assert off_the_clock(hourly, everybody(hourly)).statistic > 0.99


def test_two_days_of_log_cannot_tell_a_rush_from_steady_work():
    log = traffic(*rows_at([(f"a{i % 30}", i % 48, i) for i in range(600)]))
    assert sustained(log, everybody(log)).status is Status.NOT_TESTED


@pytest.mark.parametrize(("steady", "accounts", "rows"), [(True, 80, 80), (False, 80, 80), (False, 200, 6)])
def test_programs_keep_no_hours_either_but_days_of_their_own(steady, accounts, rows):
    rng = np.random.default_rng(5)
    ordinary, _ = plant(2, [("p", 300, "heavy", "people", range(30))])
    crowd_of = []
    for i in range(accounts):
        days = rng.choice(7, rows, p=None if steady else rng.dirichlet(np.full(7, 1.2)))
        crowd_of += [(f"a{i:03}", 24 * int(day) + int(rng.integers(24)), 9_000 + i) for day in days]
    hour = (ordinary["timestamp"] - START).dt.total_hours()
    events = zip(ordinary["account_id"], hour, ordinary["text"], strict=True)
    log = traffic(*rows_at([*events, *crowd_of]))
    group = group_of(log, numbers(log, "a"))
    finding = rhythm(log, group, people(log, np.zeros(len(log.account), dtype=np.int64), 0))
    assert finding.ratio > RARE
    assert (finding.log_e > RARE) == steady


@pytest.mark.parametrize(("sent", "direction"), [("even", Direction.FOR), ("capped", Direction.AGAINST)])
def test_a_quota_makes_volumes_even_and_leaves_some_below_it(sent, direction):
    log = traffic(*plant(2, [("p", 300, "heavy", "people", range(30)), ("a", 80, sent, "people", range(5))]))
    group = group_of(log, numbers(log, "a"))
    law = people(log, log.clusters["full"], 0)
    finding = quota(volumes(log, group, law))
    assert finding.direction is direction
    assert finding.log_e <= evenness(volumes(log, group, law)).log_e


def test_a_quota_a_day_leaves_volumes_as_even_as_the_days_on_which_each_comes():
    rng = np.random.default_rng(4)
    busy = np.minimum(rng.pareto(1.0, 1_000) + 1, 500).astype(int)
    events = [(f"p{i}", int(hour), 0) for i, n in enumerate(busy) for hour in rng.integers(168, size=n)]
    for i in range(120):
        for day in np.flatnonzero(rng.random(7) < 0.6):
            hours = 24 * day + rng.integers(8, 22, min(rng.poisson(12), 10))
            events += [(f"a{i:03}", int(hour), 0) for hour in hours]
    log = traffic(*rows_at(events))
    law = people(log, np.zeros(len(log.account), dtype=np.int64), 0)
    sent = volumes(log, group_of(log, numbers(log, "a")), law)
    assert evenness(sent).direction is Direction.FOR
    assert quota(sent).direction is not Direction.FOR


def test_accounts_of_a_query_profile_are_no_more_even_for_having_rows_enough_for_one():
    rng = np.random.default_rng(4)
    sent = rng.poisson(np.minimum(rng.gamma(1.0, 8.0, 900), 6.0))  # a quota, in a log of one day
    events = [(f"a{i:03}", int(rng.integers(24)), 0) for i in np.repeat(np.arange(900), sent)]
    log = traffic(*rows_at(events))
    profiles = np.where(log.linking >= MIN_ROWS, 0, -1)
    group = profile_groups(log, profiles, LinkSettings())[0]
    law = people(log, np.zeros(len(log.account), dtype=np.int64), 0)
    unaware = quota(volumes(log, replace(group, least=1), law))
    assert unaware.direction is Direction.FOR
    assert quota(volumes(log, group, law)).direction is not Direction.FOR


def test_prompts_of_many_small_topics_are_no_list_for_coming_about_as_often_by_chance():
    rng = np.random.default_rng(0)
    prompt = np.repeat(np.arange(900), rng.geometric(1 / 1.3, 900))  # two or three a topic
    events = [(f"a{rng.integers(60):02}", float(rng.uniform(0, 168)), i) for i in prompt]
    log = traffic(*rows_at(events))
    found = repeats(log, everybody(log), repeated(log), prompt // 3)
    assert found.direction is not Direction.FOR


def test_thousands_who_send_little_are_not_even_for_having_the_three_rows_that_a_life_takes():
    rng = np.random.default_rng(0)
    sent = rng.poisson(rng.gamma(1.0, 1.0, 4_000))
    events = [(f"a{i:04}", float(rng.uniform(0, 168)), 0) for i in np.repeat(np.arange(4_000), sent)]
    log = traffic(*rows_at(events))
    law = people(log, np.zeros(len(log.account), dtype=np.int64), 0)
    assert evenness(volumes(log, everybody(log), law)).direction is not Direction.FOR


@pytest.mark.parametrize(("shape", "speaks"), [(np.inf, True), (1.5, False)])
def test_a_few_rows_an_account_and_day_show_one_rate(shape, speaks):
    rng = np.random.default_rng(1)
    rate = np.full(300, 4.0) if np.isinf(shape) else rng.gamma(shape, 4 / shape, 300)
    events = crowd(rng, "p", rng.gamma(0.8, 8, 500)) + crowd(rng, "o", rate)
    log = traffic(*rows_at([(name, hour / 7, i) for name, hour, i in events]))
    law = people(log, np.zeros(len(log.account), dtype=np.int64), 0)
    finding = evenness(volumes(log, group_of(log, numbers(log, "o")), law))
    assert (finding.log_e > RARE) == speaks


def test_who_is_counted_out_by_a_quota_is_even_by_the_day_as_well():
    rng = np.random.default_rng(2)
    wanted = np.minimum(rng.poisson(rng.gamma(1.5, 60, 80)), 40)  # in the whole window, all of it alike
    events = [(f"o{i:02}", float(rng.uniform(0, 168)), 0) for i in np.repeat(np.arange(80), wanted)]
    log = traffic(*rows_at(crowd(rng, "p", rng.gamma(0.8, 30, 600)) + events))
    law = people(log, np.zeros(len(log.account), dtype=np.int64), 0)
    seen = volumes(log, group_of(log, numbers(log, "o")), law)
    assert seen.log_ratio > RARE
    assert seen.over_count < 0


def test_all_that_accounts_sent_is_less_of_a_surprise_where_a_part_of_it_made_them_a_group():
    log = traffic(*plant(3, [("p", 200, "heavy", "people", range(30)), ("o", 15, "even", "flat", range(9))]))
    law = people(log, log.clusters["full"], 0)
    chosen = group_of(log, numbers(log, "o"))
    shared = replace(chosen, rows=chosen.rows[log.clusters["full"][chosen.rows] < 3], whole=True)
    every, shared_only = volumes(log, shared, law), volumes(log, replace(shared, whole=False), law)
    assert every.readings[0].counts.tolist() == volumes(log, chosen, law).readings[0].counts.tolist()
    assert every.readings[0].counts.sum() > shared_only.readings[0].counts.sum()
    assert 0 < every.log_ratio < volumes(log, chosen, law).log_ratio


def sampled(events: list[tuple[str, float, int]], share: float):
    """Return a log of which a share was sampled: the totals of accounts are known all the same."""
    rows, whole = rows_at(events)
    kept = np.random.default_rng(7).random(rows.height) < share
    rows = rows.filter(pl.Series(kept)).with_columns(weight=pl.lit(1 / share))
    found = rows.group_by("account_id").agg(n_sampled=pl.len())
    accounts = whole.drop("n_sampled").join(found, on="account_id", how="left")
    return traffic(rows, accounts.with_columns(pl.col("n_sampled").fill_null(0)).sort("account_id"))


def crowd(rng: np.random.Generator, name: str, rates: np.ndarray) -> list[tuple[str, float, int]]:
    account = np.repeat(np.arange(len(rates)), rng.poisson(rates))
    return [(f"{name}{i:04}", float(rng.uniform(0, 168)), 0) for i in account]


@pytest.mark.parametrize("mixed", [False, True])
def test_a_sample_makes_volumes_of_people_no_more_even_and_hides_no_queue(mixed):
    rng = np.random.default_rng(11)
    people_ = crowd(rng, "p", rng.gamma(0.8, 80, 600))
    alike, queue = crowd(rng, "a", rng.gamma(2.0, 30, 30)), crowd(rng, "q", np.full(30, 60.0))
    rest = crowd(rng, "a", rng.gamma(0.8, 40, 30)) + crowd(rng, "q", rng.gamma(0.8, 40, 30)) if mixed else []
    said, spread = {}, {}
    for share in (1.0, 1 / 6):
        log = sampled([*people_, *((*e[:2], 1) for e in alike + queue), *rest], share)
        law = people(log, np.zeros(len(log.account), dtype=np.int64), 0)
        work = np.flatnonzero(log.rows["text"].to_numpy() == 1)
        for name in "aq":
            group = group_of(log, numbers(log, name))
            group = replace(group, rows=np.intersect1d(group.rows, work))
            seen = volumes(log, group, law)
            said[name, share] = seen.log_ratio
            assert seen.log_ratio <= seen.log_ratio_at_most
            linking = group.rows[~log.held_out[group.rows]]
            rows = np.bincount(log.account[group.rows])[np.unique(log.account[linking])]
            shown = evenness(seen)
            assert f" {rows.mean():.1f} sampled rows each" in shown.sentence
            spread[name, share] = shown.statistic
    assert said["a", 1 / 6] < (-8 if mixed else -10)
    assert said["q", 1 / 6] > (5 if mixed else 15)
    if not mixed:  # all their rows count: a sample shows the spread that the whole log has
        assert 8 < spread["a", 1 / 6] == pytest.approx(spread["a", 1.0], rel=0.35)
        assert spread["q", 1 / 6] == pytest.approx(spread["q", 1.0], rel=0.35)


def test_volumes_of_a_single_account_are_not_compared():
    log = traffic(*rows_at([("a", hour, hour) for hour in range(30)]))
    sent = volumes(log, everybody(log), people(log, np.zeros(len(log.account), dtype=np.int64), 0))
    assert evenness(sent).status is quota(sent).status is Status.NOT_TESTED


@pytest.mark.parametrize("bystanders", [0, 3])
def test_a_few_bystanders_do_not_hide_that_the_others_are_even(bystanders):
    events = [(f"a{i % 41:02d}", i // 10, i) for i in range(41 * 40)]
    events += [(f"b{i}", hour, 5_000 + i) for i in range(bystanders) for hour in (3, 150)]
    rng = np.random.default_rng(6)
    events += [
        (f"p{i}", int(rng.integers(168)), 9_000 + i)
        for i in range(300)
        for _ in range(int(rng.pareto(1)) + 4)
    ]
    log = traffic(*rows_at(events))
    crowd = np.flatnonzero(~log.accounts["account_id"].str.starts_with("p").to_numpy())
    group = group_of(log, crowd)
    law = people(log, np.zeros(len(log.account), dtype=np.int64), 0)
    sent = volumes(log, group, law)
    assert evenness(sent).direction is quota(sent).direction is Direction.FOR


def test_accounts_in_turns_under_a_steady_load_are_told_from_accounts_that_burst_by_themselves():
    rng = np.random.default_rng(3)
    turns = [(f"a{hour % 40:02}", hour, 12 * hour + k) for hour in range(168) for k in range(12)]
    alone = [
        (f"a{i % 40:02}", slot, 12 * i + k)
        for i, slot in enumerate(rng.integers(0, 168, 168))
        for k in range(12)
    ]
    assert constant_total_of(turns).direction is Direction.FOR
    assert constant_total_of(alone).direction is not Direction.FOR


def test_turns_of_batches_that_are_not_all_of_a_length_are_a_steady_load_too():
    for seed in range(1, 6):
        rng = np.random.default_rng(seed)
        sizes = rng.choice([8, 24], 168)  # a total as uneven as batches are, less than accounts of their own
        turns = [(f"a{slot % 40}", slot, 24 * slot + k) for slot in range(168) for k in range(sizes[slot])]
        alone = [
            (f"a{i % 40}", slot, 24 * i + k)
            for i, slot in enumerate(rng.integers(0, 168, 168))
            for k in range(sizes[i])
        ]
        found = constant_total_of(turns)
        assert found.effect > 1.8
        assert found.log_e > RARE
        assert constant_total_of(alone).direction is not Direction.FOR


def test_how_clumped_independent_accounts_are_is_the_mean_over_all_ways_to_turn_them():
    rng = np.random.default_rng(5)
    events = [
        (f"a{a}", 24 * int(rng.integers(4)) + 5 + int(rng.integers(3))) for a in range(3) for _ in "123"
    ]
    events = [(name, slot, i) for i, (name, slot) in enumerate(2 * [e for e in events for _ in range(9)])]
    events += [("a0", 0, 1_000), ("a1", 95, 1_001)]  # four whole days
    log = traffic(*rows_at(events))
    finding = constant_total(log, everybody(log))
    squares = np.zeros(24)
    for turns in product(range(4), repeat=3):
        day, hour = (log.hour // 24 + np.array(turns)[log.account]) % 4, log.hour % 24
        held, seen = (
            np.histogram2d(day[half], hour[half], [np.arange(5), np.arange(25)])[0]
            for half in (log.held_out, ~log.held_out)
        )
        days, hours = seen.sum(axis=1) + 1, seen.sum(axis=0) + 1
        expected = held.sum() * np.outer(days / days.sum(), hours / hours.sum())
        squares += ((held - expected) ** 2).sum(axis=0) / 4**3
    rows = np.bincount(log.hour[log.held_out] % 24, minlength=24)
    clump = float(rows @ np.maximum(squares / np.maximum(rows, 1), 1.01) / rows.sum())
    assert finding.effect / finding.statistic == pytest.approx(clump)


def test_a_steady_total_is_seen_where_the_last_day_has_three_hours():
    rng = np.random.default_rng(0)
    turns = [
        (f"a{a:02}", slot) for slot in range(75) for a in rng.choice(40, 2, replace=False) for _ in range(20)
    ]
    assert constant_total_of([(a, slot, i) for i, (a, slot) in enumerate(turns)]).direction is Direction.FOR


def test_jobs_by_the_clock_take_no_turns_however_steady_their_total():
    jobs = [(f"a{i:02}", 24 * day + (7 * i) % 24, i) for i in range(48) for day in range(7) for _ in range(6)]
    assert constant_total_of(jobs).direction is not Direction.FOR


def test_two_busy_accounts_are_no_steady_total_though_each_is_as_steady_as_itself():
    rng = np.random.default_rng(1)
    busy = [
        (name, 24 * day + int(rng.integers(8, 20))) for name, day in (("a", 0), ("b", 3)) for _ in range(300)
    ]
    others = [(f"c{i % 9}", int(rng.integers(0, 168))) for i in range(270)]
    events = [(name, slot, i) for i, (name, slot) in enumerate(busy + others)]
    assert constant_total_of(events).direction is not Direction.FOR


def test_a_busy_account_is_not_the_crowd_that_it_follows():
    rng = np.random.default_rng(0)
    hours = 24 * rng.integers(0, 7, 400) + rng.normal(14, 3.5, 400) % 24
    busy = [("busy", int(min(hour, 167)), i) for i, hour in enumerate(hours)]
    others = [(f"a{i % 9}", int(rng.integers(0, 168)), 400 + i) for i in range(19)]
    people_there = plant(1, [("p", 200, "heavy", "people", range(30))])
    rows, accounts = (
        pl.concat([some, more], how="diagonal")
        for some, more in zip(people_there, rows_at(busy + others), strict=True)
    )
    log = traffic(rows.with_columns(request_id=pl.int_range(pl.len()).cast(pl.String)), accounts)
    law = people(log, np.zeros(len(log.account), dtype=np.int64), 0)
    alike = log.accounts["account_id"].str.contains("^(busy|a[0-9])$").to_numpy()
    rows_of = np.flatnonzero(alike[log.account])
    group = Group(
        clusters=(), rows=rows_of, candidates=np.flatnonzero(alike), confidence=np.ones(int(alike.sum()))
    )
    assert rhythm(log, group, law).direction is not Direction.FOR


@pytest.mark.parametrize(("hours", "queue"), [("habit", False), ("flat", True)])
def test_people_with_hours_of_the_day_of_their_own_and_no_sessions_are_no_queue(hours, queue):
    log = traffic(*plant(2, [("p", 300, "heavy", "people", range(30)), ("x", 60, "even", hours, range(30))]))
    law = people(log, log.clusters["full"], 0)._replace(rhythm=16.0)  # as of logs at large
    found = rhythm(log, group_of(log, numbers(log, "x")), law)
    assert (found.direction is Direction.FOR) == queue
    assert ("fed from one queue" if queue else "but people's hours explain") in found.sentence


@pytest.mark.parametrize("known", [True, False])
def test_the_turns_of_a_conversation_count_once_for_hours_and_topics(known):
    rows, accounts = plant(
        3, [("p", 300, "heavy", "people", range(30)), ("x", 60, "even", "flat", range(30))]
    )
    turns = [
        rows.with_columns(
            pl.format("{}/{}", "request_id", pl.lit(turn)).alias("request_id"),
            pl.col("timestamp") + timedelta(minutes=turn / 10),
            held_out=pl.Series(np.random.default_rng(turn).random(rows.height) < 0.5),
            goes_on=pl.lit(value=turn > 0 and known),
        ).filter(pl.col("account_id").str.starts_with("x") | (turn == 0))
        for turn in range(4)
    ]
    log = traffic(pl.concat(turns), accounts)
    group, topics = group_of(log, numbers(log, "x")), log.clusters["full"]
    law = people(log, topics, 0)
    found = [rhythm(log, group.decisions(log), law), shared_tasks(log, group.decisions(log), law, topics)]
    assert [finding.direction is Direction.FOR for finding in found] == [known, known]


def constant_total_of(events):
    log = traffic(*rows_at(events))
    return constant_total(log, everybody(log))


def test_accounts_that_send_one_at_a_time_take_no_turns():
    finding = constant_total_of([(f"a{i % 40}", i // 3, i) for i in range(168 * 3)])
    assert finding.status is Status.NOT_TESTED


def test_a_hidden_side_costs_a_factor_of_two_and_no_side_decides_alone():
    assert log_e_value(-1e6) == pytest.approx(np.log(0.5))
    assert log_e_value(1e6) == MOST
    assert log_e_value(0.0) == pytest.approx(0.0)


def test_the_mean_e_value_over_people_is_at_most_one():
    ratios = []
    for seed in range(12):
        log = traffic(*plant(seed, [("p", 300, "heavy", "people", range(30))]))
        topics = log.clusters["full"]
        law = people(log, topics, 0)
        for chosen in np.array_split(np.random.default_rng(seed).permutation(log.n_accounts), 10):
            candidates = np.sort(chosen)
            rows = np.flatnonzero(np.isin(log.account, candidates))
            group = Group(clusters=(), rows=rows, candidates=candidates, confidence=np.ones(len(candidates)))
            ratios.append([rhythm(log, group, law).log_e, shared_tasks(log, group, law, topics).log_e])
    assert (np.exp(np.array(ratios)).mean(axis=0) <= 1).all()


def test_ids_and_tables_do_not_depend_on_the_order_of_the_rows():
    rows, accounts = plant(5, [("hydra", 20, "even", "flat", range(4))])
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=1)
    assert campaign_ids(rows, accounts) == campaign_ids(shuffled, accounts)


def campaign_ids(rows: pl.DataFrame, accounts: pl.DataFrame):
    from campaigns.judge import JudgeSettings, judge
    from campaigns.records import campaign_id

    log = traffic(rows, accounts)
    texts = pl.Series("text", [f"ask {i}" for i in range(rows.height)])
    cases = judge(log, log.clusters["full"], texts, np.full(log.n_accounts, -1), JudgeSettings(), 0)
    return sorted(campaign_id(log, case) for case in cases)
