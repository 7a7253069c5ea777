"""The report stage: the tables of a run as one page."""

from pathlib import Path

import polars as pl
from jinja2 import Environment, PackageLoader

from flows.run import Counts, Run
from flows.stages import window_of


def report(run: Run, part: str, out: Path) -> Counts:
    """Write report.html, self-contained, from the tables of the run."""
    tables = run.place("evidence")
    sampled = run.done("sample") or {}
    page = Environment(loader=PackageLoader("campaigns", "report"), autoescape=True).get_template(
        "plain.html"
    )
    text = page.render(
        date=window_of(run)[0].date().isoformat(),
        rows=sampled["in"],
        kept=sampled["kept"],
        campaigns=pl.read_parquet(tables / "campaigns.parquet").to_dicts(),
        evidence=pl.read_parquet(tables / "campaign_evidence.parquet").to_dicts(),
    )
    (out / "report.html").write_text(text, "utf-8")
    return {"bytes": len(text.encode())}
