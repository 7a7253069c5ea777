"""A tiny encoder and small logs for the tests of flows/: nothing is downloaded, no torch is imported."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

START = datetime(2026, 6, 1, tzinfo=UTC)
TABLES = (
    "campaigns", "campaign_accounts", "campaign_evidence", "campaign_explanations", "campaign_exemplars",
    "clusters", "prompts",
)  # fmt: skip


class TinyEncoder:
    """Each word is a fixed random vector; a text is the sum of its words."""

    identity = "tiny"
    dimension = 32

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in [*text.lower().split()[:200], "a text"]:
                seed = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")
                row += np.random.default_rng(seed).normal(size=self.dimension)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def use_tiny_encoder(put: Callable[[Any, str, Any], None]) -> None:
    """Put the tiny encoder where a run fits and loads one."""
    import embeddings.fit
    import flows.stages

    def fit(texts: Any, counts: Any, folder: Path, settings: Any, seed: int) -> str:
        folder.mkdir(parents=True)
        (folder / "tiny").touch()
        return TinyEncoder.identity

    put(embeddings.fit, "fit_encoder", fit)
    put(flows.stages, "_encoder", lambda name, settings: TinyEncoder())


def report_all(put: Callable[[Any, str, Any], None]) -> None:
    """Have the flow tell of every group that it lists as if it were reported."""
    import flows.detect

    tell = flows.detect.tell

    def tell_all(run_dir: Path, *more: Any) -> None:
        found = pl.read_parquet(run_dir / "campaigns.parquet").with_columns(reported=pl.lit(value=True))
        found.write_parquet(run_dir / "campaigns.parquet")
        tell(run_dir, *more)

    put(flows.detect, "tell", tell_all)


def rows(**columns: Any) -> pl.DataFrame:
    """Make a log of 40 rows of 8 accounts over a day, columns replaced or added as asked."""
    n = 40
    given = {
        "request_id": [f"r{i}" for i in range(n)],
        "timestamp": [START + timedelta(minutes=30 * i) for i in range(n)],
        "account_id": [f"a{i % 8}" for i in range(n)],
        "prompt": [f"tell me about subject {i % 13} and thing {i % 7}" for i in range(n)],
    } | columns
    types = {"timestamp": pl.Datetime("us", "UTC")} if "timestamp" not in columns else {}
    return pl.DataFrame(given, schema_overrides=types)


def planted(seed: int = 0, days: int = 4) -> pl.DataFrame:
    """Make a log of 60 people with hours and words of their own, and 20 accounts that share one preamble."""
    rng = np.random.default_rng(seed)
    out: list[dict[str, Any]] = []
    for account in range(80):
        working = account >= 60
        for _ in range(1 + rng.poisson(14) if working else 1 + rng.poisson(rng.gamma(0.8, 15))):
            hour = rng.uniform(0, 24) if working else (rng.normal(account % 24, 1.5)) % 24
            words = rng.integers(3000, size=9)
            said = " ".join(f"w{word}" for word in words)
            if working:
                said = f"You are a careful tutor and you show every single step of the reasoning: {said}"
            moment = START + timedelta(days=int(rng.integers(days)), hours=float(hour))
            out.append({"timestamp": moment, "account_id": f"a{account:02}", "prompt": said})
    frame = pl.DataFrame(out, schema_overrides={"timestamp": pl.Datetime("us", "UTC")}).sort("timestamp")
    return frame.with_row_index("n").with_columns(request_id=pl.format("r{}", "n")).drop("n")


def write(log: pl.DataFrame, folder: Path) -> Path:
    """Write a log as one file and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    log.write_parquet(folder / "log.parquet")
    return folder / "log.parquet"


def tables(run_dir: Path) -> dict[str, pl.DataFrame]:
    """Read all tables of a run."""
    return {name: pl.read_parquet(run_dir / f"{name}.parquet", glob=False) for name in TABLES}


def same_tables(one: Path, other: Path) -> bool:
    """Tell whether two runs have the same tables, value for value."""
    return all(a.equals(b) for a, b in zip(tables(one).values(), tables(other).values(), strict=True))
