"""Rows an account: people differ by orders of magnitude, a balancer's accounts hardly at all."""

import numpy as np

from campaigns.evidence.finding import Finding, log_e_value
from campaigns.groups import Group
from campaigns.laws import Floats, log_mean_exp
from campaigns.people import People, truncated_gamma_poisson
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status

OPERATOR_SHAPES = (20.0, 60.0)  # and one rate for all
PEOPLE_SHAPES = (0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0)
MEANS = np.array([0.5, 0.7, 0.85, 1.0, 1.2])  # times the plain average


def evenness(log: Traffic, group: Group, people: People) -> Finding:
    """Weigh the members' row counts: one common rate against the gamma-mixed rates of people.

    Statistic: variance over mean of the counts, 1 for one rate. Null: zero-truncated negative binomial with
    a shape up to the log's own bound, the best one taken. Members were not chosen by volume. Sampling is
    allowed for: a count is of sampled rows, its exposure the sampled share of the account. Short-lived
    accounts are compared by rows a day of life as well, half the weight each.
    """
    member = group.members
    rows = group.member_rows(log)
    counts = np.bincount(log.account[rows], minlength=log.n_accounts)[member].astype(float)
    exposure = log.exposure[member]
    life = _days(log, rows, member)
    ratio = log_mean_exp(
        np.array([_ratio(counts, exposure, people.volume), _ratio(counts, exposure * life, people.volume)])
    )
    dispersion = float(counts.var(ddof=1) / counts.mean())
    return Finding(
        Signal.EVENNESS,
        Status.TESTED,
        None,
        dispersion,
        float(counts.std(ddof=1) / counts.mean()),
        f"people's volumes: negative binomial, shape at most {people.volume:.1f}",
        log_e_value(ratio),
        len(member),
        f"The {len(member)} accounts sent {counts.mean():.1f} sampled rows each on average, with a variance "
        f"of {dispersion:.1f} times the mean; accounts of one rate give 1, ordinary users many times that.",
    )


def _days(log: Traffic, rows: np.ndarray, member: np.ndarray) -> Floats:
    """Return (k,) the members' days between first and last row of the group, at least half a day."""
    first = np.full(log.n_accounts, np.iinfo(np.int64).max)
    last = np.zeros(log.n_accounts, dtype=np.int64)
    np.minimum.at(first, log.account[rows], log.hour[rows])
    np.maximum.at(last, log.account[rows], log.hour[rows])
    return np.maximum((last - first)[member] / 24.0, 0.5)


def _ratio(counts: Floats, exposure: Floats, bound: float) -> float:
    """Return the log-likelihood ratio of one rate to people's rates; the mean is fitted under each."""
    people = [shape for shape in PEOPLE_SHAPES if shape <= bound]
    finite = _best(counts, exposure, np.array([*OPERATOR_SHAPES, *people]))
    operator = np.append(finite[: len(OPERATOR_SHAPES)], _best(counts, exposure, np.array([np.inf])))
    innocent = float(finite[len(OPERATOR_SHAPES) :].max())
    return log_mean_exp(operator) - innocent - np.log(2)  # one fitted mean: half a unit and more


def _best(counts: Floats, exposure: Floats, shapes: Floats) -> Floats:
    """Return (s,) log-likelihoods at the best of a few means: truncation biases the plain average."""
    means = counts.sum() / exposure.sum() * MEANS
    each = truncated_gamma_poisson(counts, exposure, means[:, None], shapes[:, None, None])
    best: Floats = each.sum(axis=-1).max(axis=-1)
    return best
