"""A prompt pack by family: which texts people draw from, which are popular, which are left for tasks."""

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# How often ordinary people pick a family of each role: every role, so that a role is no giveaway.
INTEREST = {"organic": 0.6, "distillation": 0.14, "probe": 0.1, "shared_template": 0.14, "jailbreak": 0.02}
SMALLEST_FAMILY = 12


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Texts sorted by family, shuffled inside it.

    texts (n,) strings; length (n,) characters; family (n,) number; start, size (f,) of each family in the
    texts; roles, names, langs (f,) strings; weight (f,) how often people are interested.
    Inside a family the first `popular` texts are asked by many; of the rest the even ones are free text of
    ordinary people and the odd ones tasks for operators and look-alikes, so that the two never meet by
    accident, while family and kind of text are the same.
    """

    texts: pl.Series
    length: Ints
    family: Ints
    start: Ints
    size: Ints
    popular: Ints
    roles: tuple[str, ...]
    names: tuple[str, ...]
    langs: tuple[str, ...]
    weight: Floats

    def free(self, family: Ints, rank: Ints) -> Ints:
        """Return the text number of the rank-th free text of each family, wrapping at its end."""
        n_free = self.n_free[family]
        return self.start[family] + np.minimum(
            self.popular[family] + 2 * (rank % n_free), self.size[family] - 1
        )

    def task(self, family: Ints, rank: Ints) -> Ints:
        """Return the text number of the rank-th task of each family, wrapping at its end."""
        n_tasks = np.maximum((self.size - self.popular) // 2, 1)[family]
        return self.start[family] + np.minimum(
            self.popular[family] + 1 + 2 * (rank % n_tasks), self.size[family] - 1
        )

    @property
    def n_free(self) -> Ints:
        """The number of free texts of each family, (f,), at least one."""
        return np.maximum((self.size - self.popular + 1) // 2, 1)

    def tasks(self, families: Ints) -> Ints:
        """Return the numbers of the task texts of some families, in the order of the pack."""
        parts = [
            np.arange(self.start[f] + self.popular[f] + 1, self.start[f] + self.size[f], 2) for f in families
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)


def each_once(place: Ints, n: int) -> Ints:
    """Return ascending places (k,) among n >= k as near as may be, each once: the next one that is not taken.

    At the end, where there is none, back again.
    """
    step = np.arange(len(place))
    return np.minimum(np.maximum.accumulate(place - step) + step, n - len(place) + step)


def in_split(name: str, split: str) -> bool:
    """Tell whether a family or template belongs to a split ("tuning", "heldout"), by a fixed hash."""
    return (crc32(f"split/{name}".encode()) % 2 == 0) == (split == "tuning")


def load_pack(frame: pl.DataFrame, rng: Generator) -> Pack:
    """Sort a pack frame (prompt, family, role and perhaps lang) into a Pack.

    Families are split by language; those under a dozen texts are joined. Raises ValueError when a column
    is missing or no prompt is left.
    """
    missing = {"prompt", "family", "role"} - set(frame.columns)
    if missing:
        raise ValueError(f"the prompt pack lacks the columns {sorted(missing)}")
    if "lang" not in frame.columns:
        frame = frame.with_columns(lang=pl.lit("en"))
    frame = frame.select(pl.col("prompt", "family", "role", "lang").cast(pl.String)).with_columns(
        pl.col("family", "role", "lang").fill_null("unknown")
    )
    frame = frame.filter(pl.col("prompt").str.len_chars() > 0).unique(
        "prompt", keep="first", maintain_order=True
    )
    if frame.is_empty():
        raise ValueError("the prompt pack has no prompt")
    small = pl.len().over("role", "family", "lang") < SMALLEST_FAMILY
    frame = frame.with_columns(family=pl.when(small).then(pl.lit("other")).otherwise("family"))
    frame = frame.with_columns(shuffle=rng.permutation(frame.height)).sort(
        "role", "family", "lang", "shuffle"
    )
    keys = frame.select("role", "family", "lang").with_columns(
        run=pl.struct("role", "family", "lang").rle_id()
    )
    groups = keys.group_by("run", maintain_order=True).agg(pl.len(), pl.col("role", "family", "lang").first())
    size = groups["len"].to_numpy().astype(np.int64)
    roles = tuple(groups["role"])
    return Pack(
        texts=frame["prompt"].rechunk(),
        length=frame["prompt"].str.len_chars().to_numpy().astype(np.int64),
        family=keys["run"].to_numpy().astype(np.int64),
        start=np.cumsum(size) - size,
        size=size,
        popular=np.minimum(np.minimum(2 + size // 60, 40), np.maximum(size - 2, 0)),
        roles=roles,
        names=tuple(groups["family"]),
        langs=tuple(groups["lang"]),
        weight=_interest(roles, size, rng),
    )


def _interest(roles: tuple[str, ...], size: Ints, rng: Generator) -> Floats:
    """Weigh families: the role's share, the root of the size, and a taste drawn per log."""
    raw = np.sqrt(size) * rng.gamma(1.5, 1 / 1.5, len(size))
    total = {role: raw[[r == role for r in roles]].sum() for role in set(roles)}
    weight = np.array([INTEREST.get(r, 0.05) / total[r] for r in roles]) * raw
    return weight / weight.sum()
