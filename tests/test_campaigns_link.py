import numpy as np

from campaigns.link import LinkSettings, link, overlaps


def crowd(rng, accounts, clusters, rows):
    return rng.choice(accounts, rows), rng.choice(clusters, rows)


def test_shared_accounts_and_their_expectation_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    account, cluster = crowd(rng, np.arange(50), np.arange(6), 200)
    activity = np.bincount(account, minlength=50)
    pairs = overlaps(account, cluster, activity, 6)
    size = np.bincount(cluster, minlength=6)
    for left, right, shared, expected in zip(*pairs, strict=True):
        both = set(account[cluster == left]) & set(account[cluster == right])
        assert shared == len(both)
        by_hand = sum(
            (1 - np.exp(-n * size[left] / 200)) * (1 - np.exp(-n * size[right] / 200)) for n in activity
        )
        assert np.isclose(expected, by_hand)


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
