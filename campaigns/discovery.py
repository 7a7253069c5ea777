"""False-discovery control over all groups of a run."""

import numpy as np

from campaigns.laws import Floats


def e_bh_q_values(log_e: Floats, weight: Floats) -> Floats:
    """Return (g,) the smallest level at which each group is reported by e-BH (Wang and Ramdas 2022).

    log_e (g,) are natural logarithms of e-values, in any order and under any dependence. The k groups of
    largest e are reported at level alpha when the k-th e-value is at least g / (alpha k). weight (g,): how
    much each is expected to be one, before its e-value is seen; e-values times weights of mean 1 are what
    counts (Ignatiadis, Wang and Ramdas 2024).
    """
    if not len(log_e):
        return np.zeros(0)
    log_e = log_e + np.log(weight / weight.mean())
    order = np.argsort(-log_e, kind="stable")
    rank = np.arange(1, len(log_e) + 1)
    level = np.exp(np.minimum(np.log(len(log_e) / rank) - log_e[order], 0.0))
    q = np.empty(len(log_e))
    q[order] = np.minimum.accumulate(level[::-1])[::-1]
    return q
