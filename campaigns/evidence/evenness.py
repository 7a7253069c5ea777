"""Rows an account: people differ by orders of magnitude, a balancer's accounts hardly at all."""

import numpy as np

from campaigns.evidence.finding import RARE, Finding, log_e_value, not_tested
from campaigns.vocabulary import Signal, Status
from campaigns.volumes import Volumes


def evenness(seen: Volumes) -> Finding:
    """Weigh the members' row counts: one common rate against the gamma-mixed rates of people.

    Statistic: variance over mean of the counts, 1 for one rate. Null: negative binomial with a shape up to
    the log's own bound, the best one taken. Members were not chosen by volume. Sampling is allowed for: a
    count is of sampled rows, its exposure the sampled share of the account, whose total is known, and the
    spread that is shown is Pearson's, around what that share lets expect. Accounts that come and go are
    compared by rows a day between their first and last as well: an operator's may be even in either, half the
    weight each, and so may people's, of which the better is taken. People who send more are seen for longer,
    so by the day they are more alike, and their law is fitted for that too. A group may hold a few
    bystanders, whoever works it: under either law some accounts are as loose as can be. One crowd in a
    thousand may be under a quota that counts to a number, which makes volumes even as well: what that
    explains is no evidence.
    """
    whole = seen.readings[0]
    if np.count_nonzero(whole.counts) < 2:
        return not_tested(Signal.EVENNESS, "fewer than two accounts with rows enough to compare")
    ratio = seen.log_ratio
    said = min(ratio, RARE + seen.over_count)
    expected, rates = whole.mean * whole.exposure, whole.counts / whole.exposure
    dispersion = float(((whole.counts - expected) ** 2 / expected).sum() / (len(expected) - 1))
    return Finding(
        Signal.EVENNESS,
        Status.TESTED,
        None,
        dispersion,
        float(rates.std(ddof=1) / rates.mean()),
        f"people's volumes: negative binomial, shape at most {seen.bounds[0]:.1f}",
        log_e_value(said),
        len(rates),
        f"{len(rates):,} accounts sent {whole.rows.mean():.1f} sampled rows each on average, with a variance "
        f"of {dispersion:.1f} times the mean, sampling undone; accounts of one rate give 1, ordinary users "
        f"many times that: {'more even than people are' if ratio > 0 else 'people explain as much'}.",
        ratio,
    )
