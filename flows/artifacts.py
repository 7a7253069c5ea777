"""What a run leaves in the Prefect UI: progress, the campaigns, a summary, a link, an event a campaign."""

import json
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import NAMESPACE_OID, UUID, uuid5

import httpx
import polars as pl
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.events import emit_event

from flows.settings import WorkSettings

logger = logging.getLogger(__name__)
REPORTED = "hydrascope.campaign.reported"
EMPTY = "hydrascope.window.empty"
ROWS_AT_MOST = 50
# Share of the work that is done when a stage is, measured on 50,000 requests.
DONE_AFTER = {
    "sample": 5, "views": 15, "fit": 30, "embed": 40, "index": 50, "neighbours": 65, "cluster": 75,
    "link": 85, "evidence": 95, "report": 97, "publish": 100,
}  # fmt: skip


class ProgressArtifact:
    """One progress bar a run, moved when a stage is done."""

    def __init__(self) -> None:
        made = create_progress_artifact(progress=0.0, key="detect-progress", description="Stages done")
        self.id = cast("UUID", made)  # a coroutine only inside an event loop
        self.shown = 0.0

    def __call__(self, stage: str) -> None:
        """Move the bar to where a stage leaves it."""
        progress = float(DONE_AFTER[stage])
        if progress > self.shown:
            self.shown = math.inf  # and the server is not asked again, unless it answers
            with unless_silent():
                update_progress_artifact(self.id, progress=progress, description=f"{stage} done")
                self.shown = progress


@contextmanager
def unless_silent() -> Iterator[None]:
    """Go on where the server does not answer: what is shown there is no part of the work."""
    try:
        yield
    except httpx.HTTPError as error:
        logger.warning("Prefect's server does not answer (%s): it is not shown there", type(error).__name__)


def tell(run_dir: Path, output: Path, settings: WorkSettings) -> None:
    """Leave the campaigns and the summary of a published run in the UI.

    No account names; prompt text only where the settings ask for it, and then in the table alone.
    """
    found = pl.read_parquet(run_dir / "campaigns.parquet", glob=False).filter(pl.col("reported")).sort("rank")
    manifest = json.loads((run_dir / "manifest.json").read_text())
    rows = [_row(campaign) for campaign in found.iter_rows(named=True)]
    reported = manifest["campaigns"]["reported"]
    quoted = found.select("title", "template").to_dicts() if settings.quote_in_ui else [{} for _ in rows]
    table = [row | words for row, words in zip(rows, quoted, strict=True)]
    create_table_artifact(
        table[:ROWS_AT_MOST], key="campaigns", description=f"Campaigns reported: {reported}"
    )
    create_markdown_artifact(summary(manifest), key="summary", description="Requests, and seconds a stage")
    page = run_dir / "report.html"
    url = f"{settings.served_at.rstrip('/')}/{page.relative_to(output).as_posix()}"
    create_link_artifact(
        url if settings.served_at else page.as_uri(),
        link_text="report.html", key="report", description="The campaigns, to read",
    )  # fmt: skip
    about = {"run_id": manifest["run_id"], "window_start": manifest["window_start"]}
    if manifest["no_rows"]:
        emit_event(
            EMPTY, resource={"prefect.resource.id": f"hydrascope.run.{manifest['run_id']}"}, payload=about
        )
    for row in rows:
        emit_event(
            REPORTED,
            resource={
                "prefect.resource.id": f"hydrascope.campaign.{row['campaign']}",
                "prefect.resource.name": f"{row['accounts']} accounts, {row['capability']}",
            },
            payload=row | about,
            id=uuid5(NAMESPACE_OID, f"{manifest['run_id']} {row['campaign']}"),  # told again, it is the same
        )


def _row(campaign: dict[str, Any]) -> dict[str, Any]:
    return {
        "rank": campaign["rank"],
        "campaign": campaign["campaign_id"],
        "accounts": campaign["n_accounts"],
        "requests": round(campaign["estimated_prompts"]),
        "capability": campaign["capability"],
        "level": float(f"{campaign['q_value']:.2g}"),
        "first seen": campaign["first_seen"].isoformat(timespec="minutes"),
        "last seen": campaign["last_seen"].isoformat(timespec="minutes"),
    }


def summary(manifest: dict[str, Any]) -> str:
    """Return what went in, what was kept and what a run took, as Markdown."""
    rows, seconds = manifest["rows"], manifest["seconds"]
    lines = [
        f"## {manifest['window_start'][:10]}: {manifest['campaigns']['reported']} reported",
        f"{manifest['campaigns']['listed']} groups of accounts listed. Run `{manifest['run_id']}`.",
        "", "| requests | |", "|---|---:|",
        f"| in the window | {rows['in']:,} |",
        f"| kept | {rows['kept']:,} |",
        *(f"| set aside: {why.replace('_', ' ')} | {n:,} |" for why, n in rows["set_aside"].items()),
        f"| outside the window | {rows['outside_window']:,} |",
        "", "| stage | seconds |", "|---|---:|",
        *(f"| {stage} | {seconds[stage]:,.1f} |" for stage in DONE_AFTER if stage in seconds),
    ]  # fmt: skip
    return "\n".join(lines)
