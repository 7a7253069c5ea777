import numpy as np
import pytest
from scipy.stats import binom
from scipy.stats import dirichlet_multinomial as scipy_law

from campaigns.aspects import Aspect, log_ratio
from campaigns.discovery import e_bh_q_values
from campaigns.laws import cells, dirichlet_multinomial
from campaigns.people import Reading, chance_of_days, gamma_poisson, in_between, volume_shape
from campaigns.traffic import traffic
from tests.traffic_planted import rows_at


def test_cells_count_both_halves_as_a_loop_over_rows_does():
    rng = np.random.default_rng(0)
    account, bins, held = rng.integers(0, 5, 200), rng.integers(0, 7, 200), rng.random(200) < 0.5
    data = cells(account, bins, held, 5, 7)
    for a, b, seen, out in zip(data.account, data.bin, data.seen, data.held, strict=True):
        assert seen == sum((account == a) & (bins == b) & ~held)
        assert out == sum((account == a) & (bins == b) & held)
    assert data.held.sum() == held.sum()


def test_held_out_rows_have_the_dirichlet_multinomial_probability_of_scipy():
    account, bins = np.zeros(9, dtype=np.int64), np.array([0, 0, 1, 2, 0, 1, 1, 1, 2])
    held = np.array([False] * 4 + [True] * 5)
    base = np.array([0.5, 0.3, 0.2])
    data = cells(account, bins, held, 1, 3)
    ours = dirichlet_multinomial(data, base[data.bin], [4.0])[0, 0]
    law = scipy_law(4.0 * base + np.array([2, 1, 1]), 5)
    orders = np.log(120 / (1 * 6 * 1))  # ours is the law of a sequence: 5! / (1! 3! 1!) of them
    assert ours == pytest.approx(law.logpmf([1, 3, 1]) - orders)


def test_an_infinite_concentration_is_the_limit_of_large_ones():
    data = cells(np.zeros(6, dtype=np.int64), np.array([0, 1, 1, 0, 0, 1]), np.arange(6) > 2, 1, 2)
    base = np.array([0.4, 0.6])[data.bin]
    large, infinite = dirichlet_multinomial(data, base, [1e9, np.inf])
    assert large == pytest.approx(infinite)


def test_truncated_counts_sum_to_one_from_one_upwards():
    counts = np.arange(1.0, 2_000)
    for shape in (0.5, 3.0, np.inf):
        total = np.exp(Reading(counts, np.ones(len(counts)), least=1).log_likelihood(7.0, shape)).sum()
        assert total == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("shape", [0.5, 3.0, np.inf])
def test_counts_sum_to_one_over_the_accounts_that_have_rows_enough_in_one_half(shape):
    counts = np.arange(4.0, 2_000)
    reading = Reading(counts, np.ones(len(counts)), least=4, among=0.5)
    looked_at = binom.sf(3, counts, 0.5)
    assert np.exp(reading.log_likelihood(7.0, shape)) @ looked_at == pytest.approx(1.0, abs=1e-6)


def test_counts_of_any_size_sum_to_one():
    counts = np.arange(2_000.0)
    for shape in (0.5, 3.0, np.inf):
        total = np.exp(gamma_poisson(counts, np.ones(len(counts)), 7.0, shape)).sum()
        assert total == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("shape", "low", "high"), [(np.inf, 30, 101), (1.5, 1.2, 1.9)])
def test_rates_are_told_whenever_accounts_come_and_go(shape, low, high):
    rng = np.random.default_rng(3)
    events = []
    for i in range(1_500):
        born = rng.uniform(0, 140)
        rate = 0.6 if np.isinf(shape) else rng.gamma(shape, 0.6 / shape)
        times = born + rng.uniform(0, (life := rng.uniform(2, 168 - born)), rng.poisson(rate * life))
        events += [(f"a{i:04}", float(t), 0) for t in times]
    rows, accounts = rows_at(events)
    log = traffic(rows, accounts)
    reading = in_between(log, np.arange(len(events)), np.arange(log.n_accounts), 1 - log.exposure)
    assert (reading.exposure[reading.counts > 0] > 0).all()
    assert low < volume_shape(reading) < high


@pytest.mark.parametrize("n", [3, 6, 25])
def test_days_between_the_ends_of_a_sample_vary_as_they_do_in_one(n):
    times = np.random.default_rng(4).uniform(0, 1, (200_000, n))
    days = np.ptp(times, axis=1)
    chance = chance_of_days(np.array([float(n)]), np.ones(1))
    assert (n - 2) * days.var() / days.mean() ** 2 == pytest.approx(chance[0], rel=0.02)
    assert chance_of_days(np.array([float(n)]), np.zeros(1)) == 1


@pytest.mark.parametrize("sampled", [1.0, 0.05])
def test_the_fitted_shape_is_the_planted_one(sampled):
    rng = np.random.default_rng(1)
    counts = rng.poisson(rng.gamma(1.5, 20 / 1.5, 20_000))
    counts = counts[rng.binomial(counts, sampled) > 0].astype(float)
    seen = Reading(counts, np.ones(len(counts)), least=1, among=sampled)
    assert volume_shape(seen) == pytest.approx(1.5, rel=0.15)


def test_e_bh_counts_findings_and_not_groups():
    rng = np.random.default_rng(2)
    log_e = rng.normal(2, 3, 40)
    weight = np.where(np.arange(40) < 10, 0.2, 1.0)
    # of twelve crowds of ten accounts, half of each in the next, some are found more than once
    start = rng.integers(0, 12, 40) * 5
    members = [np.arange(s, s + 10) for s in start]
    q = e_bh_q_values(log_e, weight, members, 100)
    worth = np.exp(log_e) * weight * 40 / weight.sum()
    order = np.argsort(-worth)
    for level in (0.01, 0.05, 0.2):
        reported = 0
        for n in range(1, 41):
            crowds = {int(start[i]) for i in order[:n] if worth[i] > 1}
            reported = n if worth[order[n - 1]] >= 40 / (level * max(len(crowds), 1)) else reported
        assert (q <= level).sum() == reported
    assert len(set(start[q <= 0.2])) < (q <= 0.2).sum()


def test_one_campaign_found_many_times_makes_nothing_easier_for_another_group():
    campaign, crowd = np.arange(40), np.arange(50, 90)
    log_e = np.array([13.0] * 30 + [6.0] + [0.0] * 300)
    people = [np.arange(100 + 5 * i, 105 + 5 * i) for i in range(300)]
    found = [campaign[: 40 - i // 3] for i in range(30)]
    q = e_bh_q_values(log_e, np.ones(331), [*found, crowd, *people], 2_000)
    assert (q[:30] < 0.05).all()
    assert q[30] == pytest.approx(331 / 2 / np.exp(6.0))


def test_a_few_odd_ones_among_thousands_of_people_do_not_speak_for_a_queue():
    rng = np.random.default_rng(0)
    m, each, topics = 4_000, 6, 40
    mixes = rng.dirichlet(np.full(topics, 64 / topics), m)
    mixes[::50] = np.eye(topics)[rng.integers(0, topics, m // 50)]
    account = np.repeat(np.arange(m), 2 * each)
    drawn = np.concatenate([rng.choice(topics, 2 * each, p=mix) for mix in mixes])
    data = cells(account, drawn, np.tile([True, False], m * each), m, topics)
    base = np.full(len(data.bin), 1 / topics)
    assert log_ratio([Aspect(data, base, base)], 64.0) < np.log(2)
    assert log_ratio([Aspect(data, base, base)], 4.0) > 100
