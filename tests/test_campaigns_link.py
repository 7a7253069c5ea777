import numpy as np
import polars as pl
import pytest
from scipy.optimize import brentq

from campaigns.groups import linked_groups, network_groups, networks
from campaigns.link import LinkSettings, link, overlaps
from campaigns.traffic import traffic
from tests.traffic_planted import plant, rows_at


def crowd(rng, accounts, clusters, rows):
    return rng.choice(accounts, rows), rng.choice(clusters, rows)


def test_rows_of_accounts_and_clusters_are_those_that_a_search_finds():
    rows, accounts = plant(0, [("person", 30, "heavy", "people", range(0, 9))])
    log = traffic(rows.sample(fraction=1.0, shuffle=True, seed=1), accounts)
    for chosen in (np.array([7, 2, 29]), np.arange(30), np.empty(0, dtype=np.int64)):
        assert log.rows_of(chosen).tolist() == np.flatnonzero(np.isin(log.account, chosen)).tolist()
    assert log.rows_in("full", 3).tolist() == np.flatnonzero(log.clusters["full"] == 3).tolist()


def test_shared_accounts_and_their_expectation_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    account, cluster = crowd(rng, np.arange(50), np.arange(6), 200)
    activity = np.bincount(account, minlength=50)
    pairs = overlaps(account, cluster, activity, 6)
    assert len(pairs.left) == 15
    size = np.bincount(cluster, minlength=6)
    for left, right, shared, expected in zip(*pairs, strict=True):
        both = set(account[cluster == left]) & set(account[cluster == right])
        assert shared == len(both)
        by_hand = sum(
            (1 - np.exp(-n * size[left] / 200)) * (1 - np.exp(-n * size[right] / 200)) for n in activity
        )
        assert np.isclose(expected, by_hand)


def test_by_accounts_as_many_are_expected_in_each_cluster_as_are_there():
    rng = np.random.default_rng(0)
    account, cluster = crowd(rng, np.arange(300), np.arange(5), 1_500)
    few = crowd(rng, np.arange(20), np.array([5, 6]), 900)
    account, cluster = np.r_[account, few[0], np.arange(320)], np.r_[cluster, few[1], np.full(320, 7)]
    activity = np.bincount(account, minlength=330)
    pairs = overlaps(account, cluster, activity, 8, by_accounts=True)
    present = []
    for c in range(8):
        there = min(len(set(account[cluster == c])), 319.5)
        rate = brentq(lambda y, there=there: -np.expm1(-y * activity).sum() - there, 0, 50)
        present.append(-np.expm1(-rate * activity))
    for left, right, _, expected in zip(*pairs, strict=True):
        assert np.isclose(expected, present[left] @ present[right], rtol=1e-4)


def test_clusters_worked_by_the_same_accounts_are_one_group():
    rng = np.random.default_rng(1)
    ours = crowd(rng, np.arange(40), np.arange(4), 300)
    others = crowd(rng, np.arange(40, 4_000), np.arange(4, 60), 12_000)
    account, cluster = (np.concatenate(part) for part in zip(ours, others, strict=True))
    group = link(account, cluster, np.bincount(account, minlength=4_000), 60, LinkSettings())
    assert len(set(group[:4])) == 1
    assert group[0] not in group[4:]


def test_two_operators_in_one_popular_topic_stay_apart():
    rng = np.random.default_rng(2)
    first = crowd(rng, np.arange(30), np.array([0, 1]), 200)
    second = crowd(rng, np.arange(30, 60), np.array([2, 3]), 200)
    topic = crowd(rng, np.arange(3_000), np.array([4]), 6_000)
    account, cluster = (np.concatenate(part) for part in zip(first, second, topic, strict=True))
    group = link(account, cluster, np.bincount(account, minlength=3_000), 5, LinkSettings())
    assert group[0] == group[1]
    assert group[2] == group[3]
    assert group[0] != group[2]


def test_a_cluster_of_few_accounts_is_in_no_group():
    group = link(np.array([0, 1, 2]), np.array([0, 0, 0]), np.ones(3, dtype=np.int64), 1, LinkSettings())
    assert group.tolist() == [-1]


def test_a_preamble_and_the_tasks_behind_it_that_begin_alike_are_a_group():
    n_short = [30] * 10 + [15] * 20  # of the sixty requests of each account, the others are of the longer run
    work = [(f"c{i:02}", int(k >= short)) for i, short in enumerate(n_short) for k in range(60)]
    people = [(f"p{i:04}", None) for i in range(1_000)]
    rows, accounts = rows_at([(name, i % 160, i) for i, (name, _) in enumerate(work + people)])
    labels = pl.Series("cluster_run", [label for _, label in work + people], dtype=pl.Int32)
    groups = linked_groups(traffic(rows.with_columns(labels), accounts), LinkSettings())
    assert [group.clusters for group in groups] == [
        (("run", 0),),
        (("run", 1),),
        (("run", 0), ("run", 1)),
    ]
    assert len(groups[-1].rows) == len(work)


def test_clusters_of_few_accounts_are_linked_to_nobodys():
    crews = [("one", 11, 0), ("one", 11, 1), ("few", 3, 2), ("two", 11, 3)]
    events = [(f"{name}{i % n:02}", label) for name, n, label in crews for i in range(4 * n + 1)]
    events += [(f"p{i:04}", None) for i in range(2_000)]
    rows, accounts = rows_at([(account, i % 160, i) for i, (account, _) in enumerate(events)])
    labels = pl.Series("cluster_full", [label for _, label in events], dtype=pl.Int32)
    groups = linked_groups(traffic(rows.with_columns(labels), accounts), LinkSettings())
    assert [group.clusters for group in groups] == [(("full", 0), ("full", 1)), (("full", 3),)]


def test_accounts_that_draw_on_the_same_addresses_are_one_network_and_homes_are_none():
    rng = np.random.default_rng(4)
    pool = [(f"op{a:02}", f"10.0.0.{ip}") for a in range(12) for ip in rng.integers(0, 3, 30)]
    office = [(f"office{a}", "10.1.1.1") for a in range(9) for _ in range(12)]
    homes = [(f"home{a:04}", f"192.168.{a}") for a in range(2_000) for _ in range(6)]
    named = pool + office + homes
    rows, accounts = rows_at([(account, i % 160, i) for i, (account, _) in enumerate(named)])
    log = traffic(rows.with_columns(ip=pl.Series([ip for _, ip in named])), accounts)
    network = networks(log, LinkSettings())
    assert [len(set(network[start:end])) for start, end in ((0, 360), (360, 468), (468, None))] == [1, 1, 1]
    assert network[0] != network[360]
    assert (network[468:] == -1).all()
    found = [set(log.accounts["account_id"].gather(g.candidates)) for g in network_groups(log, network)]
    assert sorted(found, key=len) == [{a for a, _ in office}, {a for a, _ in pool}]


def test_addresses_of_accounts_so_busy_that_they_would_meet_anywhere_are_one_network():
    rng = np.random.default_rng(4)
    pool = [(f"op{a:02}", f"10.0.0.{ip}") for a in range(40) for ip in rng.integers(0, 4, 70)]
    homes = [(f"home{a:04}", f"192.168.{a}") for a in range(200) for _ in range(6)]
    exit_node = [(account, "10.9.9.9") for account, _ in homes[::6] + pool[::70]]  # that some of all use
    named = pool + homes + exit_node
    rows, accounts = rows_at([(account, i % 160, i) for i, (account, _) in enumerate(named)])
    log = traffic(rows.with_columns(ip=pl.Series([ip for _, ip in named])), accounts)
    network = networks(log, LinkSettings())
    assert len(set(network[: len(pool)])) == 1
    assert network[0] not in network[len(pool) :]


def test_a_log_without_addresses_has_no_networks():
    log = traffic(*rows_at([(f"a{i % 9}", i, i) for i in range(90)]))
    assert network_groups(log, networks(log, LinkSettings())) == []


@pytest.mark.parametrize("crowd", [41, 5])
def test_a_template_that_was_linked_to_a_crowd_is_a_group_by_itself_too(crowd):
    rng = np.random.default_rng(5)
    events = [(f"op{i % 7}", 1, 2) for i in range(161)]  # account, run, full
    events += [(f"op{i % 7}", 0, i % 2) for i in range(161)]
    events += [(f"p{i % crowd:02}", 0, rng.integers(0, 2)) for i in range(820)]
    events += [(f"q{i % 1999:04}", None, None) for i in range(12_000)]
    rows, accounts = rows_at([(account, i % 160, i) for i, (account, _, _) in enumerate(events)])
    labels = {
        f"cluster_{view}": pl.Series([event[k] for event in events], dtype=pl.Int32)
        for k, view in ((1, "run"), (2, "full"))
    }
    log = traffic(rows.with_columns(**labels), accounts)
    groups = {group.clusters: len(group.candidates) for group in linked_groups(log, LinkSettings())}
    assert groups[(("run", 1),)] == 7
    assert max(groups.values()) == 7 + crowd
