"""Run hydrascope on a log as its users do, through the command line."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl


def detect(
    traffic: pl.DataFrame, folder: Path, ignore: Sequence[str] = (), sample: int | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Write the log, run `hydrascope detect --plain`, and return campaigns and campaign_accounts.

    ignore: signals that are not weighed; sample: most requests to look at. A second call in the same folder
    uses the encoder of the first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    traffic.write_parquet(folder / "traffic.parquet")
    call = [sys.executable, "-c", "from flows.cli import main; main()", "detect", "--plain"]
    call += [str(folder / "traffic.parquet"), "--output", str(folder / "out")]
    call += ["--sample", str(sample)] if sample else []
    if ignore:
        (folder / "settings.json").write_text(json.dumps({"judge": {"ignore": list(ignore)}}))
        call += ["--config", str(folder / "settings.json")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"hydrascope detect ended with {done.returncode}: {done.stderr[-400:]}")
    run = folder / "out" / json.loads((folder / "out" / "latest.json").read_text())["run_dir"]
    return pl.read_parquet(run / "campaigns.parquet"), pl.read_parquet(run / "campaign_accounts.parquet")
