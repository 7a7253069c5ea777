"""What one signal says about one group."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaigns.laws import Floats, Ints
from campaigns.vocabulary import Direction, Signal, Status

MOST = np.log(1e6)  # no signal alone may say more: a model of people is never that good
NOT_THERE = np.log(0.55)  # half is what is left where a ratio is nought: an operator may hide any one side
KNOWN = 10  # accounts, as if of equal size, that tell how alike the events of one are
RARE = np.log(1e3)  # odds against a crowd that is programs and nothing else


class Finding(NamedTuple):
    """One row of campaign_evidence; log_e is None where the signal does not decide, only describes.

    ratio: the log-likelihood ratio to people, not cut off, where it is a sum over accounts.
    """

    signal: Signal
    status: Status
    reason: str | None
    statistic: float | None
    effect: float | None
    null_model: str | None
    log_e: float | None
    n: int
    sentence: str
    ratio: float | None = None

    @property
    def direction(self) -> Direction:
        """Which way the finding points: for from a factor of three, against where the signal is not there."""
        if self.log_e is None or NOT_THERE < self.log_e < np.log(3):
            return Direction.NEUTRAL
        return Direction.FOR if self.log_e > 0 else Direction.AGAINST


def not_tested(signal: Signal, reason: str) -> Finding:
    """Say that a signal was not weighed, which is neither for nor against."""
    return Finding(signal, Status.NOT_TESTED, reason, None, None, None, None, 0, f"Not tested: {reason}.")


def log_e_value(ratio: float) -> float:
    """Turn a log-likelihood ratio into a log e-value of operators of whom half show the signal at all.

    The mixture (1 + ratio) / 2 is an e-value whenever the ratio is one, and never falls below one half: an
    operator may well hide one side of itself.
    """
    return float(min(np.logaddexp(0.0, ratio) - np.log(2), MOST))


def share_ratio(
    hits: NDArray[np.bool_] | Floats,
    account: Ints,
    bound: float,
    *,
    weight: Floats | None = None,
    above: bool = False,
) -> tuple[float, float]:
    """Return the log-likelihood ratio of a share of hits to the nearest innocent share, and the share.

    hits (r,) from 0 to 1, account (r,) numbers, weight (r,), 1 by default: one entry an event. Innocent are
    shares of `bound` and more, with `above` of `bound` and less; for these the ratio says as much against an
    operator as it would for one on the other side, and at least -1, which is what a single account says.
    Events of one account are alike, so their number is divided by the design effect of clustering by account
    (Kish 1965). Where that exceeds 1 the ratio is Student's, by the effective number of accounts, and else
    binomial; Student's as well where one or a few have most of the events, so that how alike they are is
    hardly known. The share is fitted, which costs half a log n, as in a Bayesian mixture.
    """
    weight = np.ones(len(hits)) if weight is None else weight
    _, place = np.unique(account, return_inverse=True)
    n = float(weight.sum())
    share = float(weight @ hits / n)
    held = np.bincount(place, weight) / n
    m = 1 / float(held @ held)  # a few that hold most of the events set the share themselves
    if len(held) < 2:
        return -1.0, share
    apart = np.bincount(place, weight * (hits - share))
    alike = n * share * (1 - share) * (m - 1) / m
    more = max(float(apart @ apart) / alike, 1.0) if alike else 1.0
    n /= more
    one, other = max(share, 0.5 / n), max(1 - share, 0.5 / n)
    ratio = n * (one * np.log(one / bound) + other * np.log(other / (1 - bound)))
    if more > 1 or m < KNOWN:
        ratio = m / 2 * np.log1p(2 * max(ratio, 0.0) / (m - 1))
    fitted = 0.5 * np.log(n)
    innocent = share <= bound if above else share >= bound
    return float(min(-ratio - fitted, -1.0) if innocent else ratio - fitted), share
