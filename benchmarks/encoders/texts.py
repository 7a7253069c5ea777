"""The prompts that are measured on, and tables of what was measured."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from campaigns.simulation.generator import generate_pack
from campaigns.simulation.pack import in_split

OUT = Path("bench-out/encoders")
LEAST = 11  # prompts of a family, so that ten neighbours can be of it
MOST = 600  # prompts of a family: a few large ones do not decide


def load_pack(path: Path | None, n: int) -> pl.DataFrame:
    """Return a pack (prompt, family, role, lang), or about n prompts of the project's own generator."""
    if path is None:
        return generate_pack(n, seed=0)
    pack = pl.read_parquet(path)
    if "source" in pack.columns:
        pack = pack.with_columns(family=pl.concat_str("source", pl.lit("/"), "family"))
    if "lang" not in pack.columns:
        pack = pack.with_columns(lang=pl.lit("unknown"))
    return pack.select("prompt", "family", "role", "lang").filter(pl.col("prompt") != "")


def labelled(pack: pl.DataFrame, n: int) -> pl.DataFrame:
    """Draw at most n prompts of each half of the families; column half is "tuning" or "heldout"."""
    names = pack["family"].unique(maintain_order=True)
    halves = [half if in_split(name, half) else "heldout" for name in names for half in ("tuning",)]
    pack = pack.join(pl.DataFrame({"family": names, "half": halves}), on="family", maintain_order="left")
    order = np.random.default_rng(0).permutation(pack.height)
    pack = pack[order].filter(pl.int_range(pl.len()).over("family") < MOST)
    parts = [pack.filter(pl.col("half") == half).head(n) for half in ("tuning", "heldout")]
    return pl.concat(parts).filter(pl.len().over("family") >= LEAST)


def table(head: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    """Write a Markdown table; floats with three digits."""
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def publish(name: str, text: str) -> None:
    """Print a table and keep it under bench-out."""
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.md").write_text(text)
    print(text, flush=True)
