"""Rows an account: people differ by orders of magnitude, a balancer's accounts hardly at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from campaigns.evidence.finding import Finding, log_e_value
from campaigns.groups import Group
from campaigns.laws import BYSTANDERS, Floats, Ints, log_mean_exp, perhaps_with_bystanders, with_bystanders
from campaigns.people import People, Reading, in_between
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status

OPERATOR_SHAPES = (20.0, 60.0)  # and one rate for all
PEOPLE_SHAPES = (0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0)
MEANS = np.array([0.5, 0.7, 0.85, 1.0, 1.2])  # times the plain average
LOOSE = 1.0  # shape of the rates of bystanders


@dataclass(frozen=True, kw_only=True)
class Volumes:
    """The members' rows by sampled share of the account, and by days of life; bounds: how even people are."""

    readings: tuple[Reading, Reading]
    bounds: tuple[float, float]

    @cached_property
    def loose(self) -> list[Floats]:
        """What bystanders do in each reading, (means, m) log-likelihoods: they are as loose as can be."""
        return [reading.log_likelihood(_means(reading), LOOSE) for reading in self.readings]

    @cached_property
    def one_rate(self) -> float:
        """The log-likelihood of an operator's accounts, at one rate or nearly, and a few bystanders."""
        each = []
        for reading, loose in zip(self.readings, self.loose, strict=True):
            queue = [_by_shape(reading, shapes) for shapes in (OPERATOR_SHAPES, (np.inf,))]
            each += [_best(with_bystanders(np.concatenate(queue), loose, share)) for share in BYSTANDERS]
        return float(log_mean_exp(np.concatenate(each)) - np.log(2))  # one fitted mean: half a unit and more

    @cached_property
    def log_ratio(self) -> float:
        """The log-likelihood ratio of one rate to people's rates; the mean is fitted under each."""
        innocent = -np.inf
        for reading, loose, bound in zip(self.readings, self.loose, self.bounds, strict=True):
            people = _by_shape(reading, people_shapes(bound))
            laws = perhaps_with_bystanders(people, loose)
            innocent = max(innocent, *(float(_best(each).max()) for each in laws))
        return self.one_rate - innocent


def evenness(seen: Volumes) -> Finding:
    """Weigh the members' row counts: one common rate against the gamma-mixed rates of people.

    Statistic: variance over mean of the counts, 1 for one rate. Null: negative binomial with a shape up to
    the log's own bound, the best one taken. Members were not chosen by volume. Sampling is allowed for: a
    count is of sampled rows, its exposure the sampled share of the account. Accounts that come and go are
    compared by rows a day between their first and last as well: an operator's may be even in either, half
    the weight each, and so may people's, of which the better is taken. People who send more are seen for
    longer, so by the day they are more alike, and their law is fitted for that too. A group may hold a few
    bystanders, whoever works it: under either law some accounts are as loose as can be.
    """
    counts = seen.readings[0].counts
    ratio = seen.log_ratio
    dispersion = float(counts.var(ddof=1) / counts.mean())
    return Finding(
        Signal.EVENNESS,
        Status.TESTED,
        None,
        dispersion,
        float(counts.std(ddof=1) / counts.mean()),
        f"people's volumes: negative binomial, shape at most {seen.bounds[0]:.1f}",
        log_e_value(ratio),
        len(counts),
        f"{len(counts):,} accounts sent {counts.mean():.1f} sampled rows each on average, with a variance "
        f"of {dispersion:.1f} times the mean; accounts of one rate give 1, ordinary users many times that.",
        ratio,
    )


def volumes(log: Traffic, group: Group, people: People) -> Volumes:
    """Count the members' rows of a group."""
    member, rows = group.members, group.member_rows(log)
    counts = np.bincount(log.places(member)[log.account[rows]], minlength=len(member)).astype(float)
    exposure = log.exposure[member]
    whole, lived = Reading(counts, exposure, counted=True), in_between(log, rows, member)
    lived = lived._replace(exposure=lived.exposure * exposure)
    return Volumes(readings=(whole, lived), bounds=(people.volume, people.daily))


def one_rate(log: Traffic, accounts: Ints, people: People) -> float:
    """Return the log-likelihood of all that some accounts sent, at one rate for all or nearly."""
    rows = np.flatnonzero(np.isin(log.account, accounts))
    group = Group(clusters=(), rows=rows, candidates=accounts, confidence=np.ones(len(accounts)))
    return volumes(log, group, people).one_rate


def people_shapes(bound: float) -> list[float]:
    """Return the gamma shapes that people's volumes may have."""
    return [shape for shape in PEOPLE_SHAPES if shape <= bound]


def _means(seen: Reading) -> Floats:
    """Return a few means to choose from, (means, 1): truncation biases the plain average."""
    return (seen.mean * MEANS)[:, None]


def _by_shape(seen: Reading, shapes: Sequence[float]) -> Floats:
    """Return (s, means, m) log-likelihoods; the shapes (s,) are all finite or all infinite."""
    each = seen.log_likelihood(_means(seen), np.array(shapes)[:, None, None])
    return each.reshape(len(shapes), len(MEANS), -1)


def _best(each: Floats) -> Floats:
    """Return (s,) log-likelihoods of all accounts at the best mean; each is (s, means, m)."""
    best: Floats = each.sum(axis=-1).max(axis=-1)
    return best
