"""The law of choices that people obey, of hours, topics or models, and its predictions for held-out rows.

An account has a distribution over bins of its own, drawn from a population whose tightness is a single
concentration. People are loose: what an account did in one half of its rows tells what it does in the other
half better than the crowd does. Accounts fed from one queue are tight: the crowd tells everything and the
account's own history nothing. Of rates the same is said in `people`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BYSTANDERS = (0.02, 0.1)  # shares of a group that may not be of the operator, and do as people do


def effective_number(counts: Floats | Ints) -> float:
    """Return the number of equal parts that are as spread out as the counts: exp(entropy) (Hill 1973)."""
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


class Cells(NamedTuple):
    """Sparse counts by (account, bin): only the cells that the held-out rows touch.

    account (c,) int64 in 0..m-1; bin (c,) int64; seen (c,) float64 rows of the cell in the linking half;
    held (c,) float64 rows of the cell in the held-out half, all positive; n_seen, n_held (m,) float64 the
    accounts' row totals in either half.
    """

    account: Ints
    bin: Ints
    seen: Floats
    held: Floats
    n_seen: Floats
    n_held: Floats


def cells(account: Ints, bins: Ints, held_out: NDArray[np.bool_], n_accounts: int, n_bins: int) -> Cells:
    """Count rows by account and bin in both halves; account and bins are (n,), one entry a row."""
    key = account * n_bins + bins
    keys, counts = np.unique(key[held_out], return_counts=True)
    seen_keys, seen_counts = np.unique(key[~held_out], return_counts=True)
    place = np.minimum(np.searchsorted(seen_keys, keys), max(len(seen_keys) - 1, 0))
    known = seen_keys[place] == keys if len(seen_keys) else np.zeros(len(keys), dtype=bool)
    seen = np.where(known, seen_counts[place] if len(seen_keys) else 0, 0).astype(float)
    return Cells(
        account=keys // n_bins,
        bin=keys % n_bins,
        seen=seen,
        held=counts.astype(float),
        n_seen=np.bincount(account[~held_out], minlength=n_accounts).astype(float),
        n_held=np.bincount(account[held_out], minlength=n_accounts).astype(float),
    )


def dirichlet_multinomial(data: Cells, base: Floats, concentrations: Sequence[float]) -> Floats:
    """Return (g, m) log-likelihoods of each account's held-out rows, given its rows in the linking half.

    The account's distribution over bins is Dirichlet(concentration * base) before its linking half is seen,
    one of g concentrations; base is (c,), the expected share of each cell's bin for that cell's account. Rows
    are drawn one by one (Polya urn), so a burst of rows in one bin is not taken for independent surprises.
    The multinomial coefficient is left out: it cancels in every ratio. An infinite concentration, after the
    finite ones, is the multinomial.
    """
    m, g = len(data.n_seen), len(concentrations)
    finite = np.array([[c] for c in concentrations if np.isfinite(c)]).reshape(-1, 1)
    prior, total = finite * base + data.seen, finite + data.n_seen
    gained, more = np.log(prior), data.held > 1  # of one row log-gamma gains the log: most cells have one
    gained[:, more] = gammaln(prior[:, more] + data.held[more]) - gammaln(prior[:, more])
    whole = gammaln(total + data.n_held) - gammaln(total)
    if len(finite) < g:
        gained = np.concatenate([gained, [data.held * np.log(base)]])
        whole = np.concatenate([whole, np.zeros((1, m))])
    place = np.arange(g)[:, None] * m + data.account
    return np.bincount(place.ravel(), weights=gained.ravel(), minlength=g * m).reshape(g, m) - whole


def with_bystanders(queue: Floats, loose: Floats, share: float) -> Floats:
    """Return log-likelihoods of an operator's accounts, a share of which are somebody else's (broadcast).

    queue, loose: the log-likelihoods of the accounts under either. What the operator does may be anything
    that is fixed beforehand: a bystander or two in its group must not speak for all.
    """
    mixed: Floats = np.logaddexp(np.log1p(-share) + queue, np.log(share) + loose)
    return mixed


def perhaps_with_bystanders(people: Floats, loose: Floats) -> list[Floats]:
    """Return log-likelihoods of innocent accounts all of one law, and with each share of bystanders."""
    return [people, *(with_bystanders(people, loose, share) for share in BYSTANDERS)]


def log_mean_exp(values: Floats) -> Floats:
    """Return log(mean(exp(values))) over the last axis, without overflow."""
    top = values.max(axis=-1, keepdims=True)
    mean: Floats = top[..., 0] + np.log(np.exp(values - top).mean(axis=-1))
    return mean
