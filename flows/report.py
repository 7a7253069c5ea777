"""The report stage: the tables of a run as one page."""

from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader

from flows.redact import visible
from flows.run import Counts, Run
from flows.stages import window_of

OTHERS = 30  # groups listed without being reported

Rows = list[dict[str, Any]]


def report(run: Run, part: str, out: Path) -> Counts:
    """Write report.html, self-contained, from the tables of the run."""
    tables = run.place("evidence")
    campaigns = pl.read_parquet(tables / "campaigns.parquet", glob=False).to_dicts()
    reported = [campaign for campaign in campaigns if campaign["reported"]]
    ids = [campaign["campaign_id"] for campaign in reported]
    parts = {
        name: _by_campaign(tables / f"campaign_{name}.parquet", ids)
        for name in ("evidence", "explanations", "exemplars", "accounts")
    }
    days = (
        pl.scan_parquet(tables / "prompts.parquet", glob=False)
        .filter(pl.col("campaign_id").is_in(ids))
        .group_by("campaign_id", day=pl.col("timestamp").dt.date())
        .agg(n=pl.col("weight").sum())
        .sort("campaign_id", "day")
        .collect()
    )
    pages = Environment(
        loader=PackageLoader("campaigns", "report"),
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    window = window_of(run)
    first, last = window[0].date().isoformat(), (window[1] - timedelta(microseconds=1)).date().isoformat()
    page = pages.get_template("report.html")
    text = page.render(
        run_id=run.run_id,
        log=Path(run.source.url).name,
        window=window,
        days=first if first == last else f"{first} to {last}",
        sampled=run.done("sample") or {},
        campaigns=campaigns,
        reported=reported,
        others=[campaign for campaign in campaigns if not campaign["reported"]][:OTHERS],
        days_of=_grouped(days),
        **parts,
    )
    (out / "report.html").write_text(text, "utf-8")
    return {"bytes": len(text.encode())}


def _by_campaign(table: Path, ids: list[str]) -> dict[str, Rows]:
    """Read the rows of some campaigns, by campaign, in the order of the table."""
    return _grouped(pl.scan_parquet(table, glob=False).filter(pl.col("campaign_id").is_in(ids)).collect())


def _grouped(rows: pl.DataFrame) -> dict[str, Rows]:
    """Return rows by campaign, in their order."""
    found: dict[str, Rows] = defaultdict(list)
    for row in rows.iter_rows(named=True):
        found[row["campaign_id"]].append(row)
    return found
