"""The sampled rows of a window as arrays, the form in which the campaign room computes."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from campaigns.laws import Floats, Ints

MICROSECONDS_AN_HOUR = 3_600_000_000


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Rows, accounts and clusters by number; strings come back when tables are written.

    account, hour (n,) int64: the row's account and hour slot, counted from the first slot with a row, which
    is the hour `start_hour` of a day in UTC; days without a row are left out.
    held_out (n,) bool: True on the rows that linking must not see. clusters: a view's name to its labels
    (n,) int64, -1 for noise. exposure (m,) float64: the share of the account's rows that was sampled.
    """

    rows: pl.DataFrame
    accounts: pl.DataFrame
    account: Ints
    hour: Ints
    n_slots: int
    start_hour: int
    held_out: NDArray[np.bool_]
    clusters: dict[str, Ints]
    exposure: Floats
    _codes: dict[str, Ints] = field(default_factory=dict)
    _places: dict[str, tuple[Ints, Ints]] = field(default_factory=dict)

    @property
    def n_days(self) -> int:
        """The number of days with a row, the last of which need not be whole."""
        return -(-self.n_slots // 24)

    @property
    def n_accounts(self) -> int:
        """The number of accounts with a sampled row."""
        return self.accounts.height

    @cached_property
    def sent(self) -> Ints:
        """The rows of each account, (m,) int64."""
        return np.bincount(self.account, minlength=self.n_accounts)

    @cached_property
    def linking(self) -> Ints:
        """The rows of each account in the linking half, (m,) int64."""
        return np.bincount(self.account[~self.held_out], minlength=self.n_accounts)

    @cached_property
    def organisation(self) -> Ints:
        """The number of each account's organisation, (m,) int64, -1 where the log does not name it."""
        return _numbered(self.accounts["org_id"])

    @cached_property
    def of_day(self) -> Ints:
        """The hour of the day of each row, (n,) int64 from 0 to 23, counted from `start_hour`."""
        return self.hour % 24

    @cached_property
    def minute(self) -> Floats:
        """The minute of the hour of each row, (n,) float64 from 0 to 60."""
        moment = self.rows["timestamp"].dt.epoch("us").to_numpy()
        return np.asarray(moment % MICROSECONDS_AN_HOUR * (60 / MICROSECONDS_AN_HOUR), dtype=np.float64)

    @cached_property
    def opens(self) -> NDArray[np.bool_]:
        """Which rows are decisions of their own, (n,): not those that go on from one just before."""
        return ~self.rows["goes_on"].to_numpy() if self.has("goes_on") else np.full(len(self.account), True)

    @cached_property
    def rounded(self) -> bool:
        """Whether most rows are at a dozen moments of the hour: times are cut to five minutes or coarser.

        At four of them where rows are so few that a dozen would hold most of any.
        """
        rows = np.sort(np.unique(self.minute, return_counts=True)[1])
        moments = min(12, max(4, len(self.minute) // 40))
        return bool(2 * rows[-moments:].sum() > len(self.minute))

    def places(self, accounts: Ints) -> Ints:
        """Return (m,) the place of every account of the log among `accounts`, -1 for those not among them."""
        place = np.full(self.n_accounts, -1)
        place[accounts] = np.arange(len(accounts))
        return place

    @cached_property
    def _by_account(self) -> tuple[Ints, Ints]:
        """The rows by account, (n,) int64, and where those of each begin, (n_accounts + 1,) int64."""
        order = np.argsort(self.account, kind="stable")
        return order, np.searchsorted(self.account[order], np.arange(self.n_accounts + 1))

    def rows_of(self, accounts: Ints) -> Ints:
        """Return the numbers of all rows that some accounts, each given once, sent, (k,) int64 ascending."""
        order, starts = self._by_account
        first, sizes = starts[accounts], starts[accounts + 1] - starts[accounts]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return np.sort(order[np.repeat(first, sizes) + within])

    def rows_in(self, view: str, label: int) -> Ints:
        """Return the numbers of the rows in a cluster, (k,) int64 ascending."""
        if view not in self._places:
            labels = self.clusters[view]
            order = np.argsort(labels, kind="stable")
            edges = np.arange(int(labels.max(initial=-1)) + 2)
            self._places[view] = order, np.searchsorted(labels[order], edges)
        order, starts = self._places[view]
        return order[starts[label] : starts[label + 1]]

    def codes(self, column: str) -> Ints:
        """Return an optional column as numbers, (n,) int64 with -1 for null."""
        if column not in self._codes:
            self._codes[column] = _numbered(self.rows[column])
        return self._codes[column]

    def linking_half(self) -> tuple["Traffic", Ints]:
        """Return the linking half as a log of its own, cut in two by chance, and (n,) where its rows are.

        Accounts and hours keep their numbers, clusters are left out; -1 for rows that are held out.
        """
        kept = np.flatnonzero(~self.held_out)
        place = np.full(len(self.held_out), -1)
        place[kept] = np.arange(len(kept))
        half = replace(
            self,
            rows=self.rows.filter(~self.held_out),
            account=self.account[kept],
            hour=self.hour[kept],
            held_out=np.random.default_rng(0).random(len(kept)) < 0.5,
            clusters={},
            _codes={},
            _places={},
        )
        return half, place

    def has(self, column: str) -> bool:
        """Tell whether the log has a column with at least one value in it."""
        return column in self.rows.columns and self.rows[column].null_count() < self.rows.height


def _numbered(values: pl.Series) -> Ints:
    """Return values as numbers from 0 in their order, (n,) int64 with -1 for null."""
    return (values.rank("dense").cast(pl.Int64) - 1).fill_null(-1).to_numpy()


def traffic(rows: pl.DataFrame, accounts: pl.DataFrame) -> Traffic:
    """Put the sampled rows into arrays, with accounts and hours by number.

    `rows` and `accounts` are the frames that flows/ joins: a row a request and a row an account. Accounts
    without a sampled row are left out. Raises ValueError when a row's account is not among the accounts.
    """
    accounts = accounts.filter(pl.col("n_sampled") > 0).sort("account_id")
    index = accounts.select("account_id").with_row_index("account")
    account = rows.select("account_id").join(index, on="account_id", how="left", maintain_order="left")
    if account["account"].null_count():
        raise ValueError(
            f"rows name {account['account'].null_count()} requests of accounts that are not in accounts"
        )
    slot = rows["timestamp"].dt.epoch("us").to_numpy() // MICROSECONDS_AN_HOUR
    first = int(slot.min()) if len(slot) else 0
    day, of_day = np.divmod(slot - first, 24)
    hour = np.unique(day, return_inverse=True)[1] * 24 + of_day  # one row of 1970 must not make 20,000 days
    views = [name for name in rows.columns if name.startswith("cluster_")]
    sampled, total = accounts["n_sampled"].to_numpy(), accounts["n_total"].to_numpy()
    return Traffic(
        rows=rows,
        accounts=accounts,
        account=account["account"].to_numpy().astype(np.int64),
        hour=hour.astype(np.int64),
        n_slots=int(hour.max(initial=-1)) + 1,
        start_hour=first % 24,
        held_out=rows["held_out"].to_numpy(),
        clusters={
            name.removeprefix("cluster_"): rows[name].cast(pl.Int64).fill_null(-1).to_numpy()
            for name in views
        },
        exposure=sampled / np.maximum(total, 1),
    )
