"""The tables as Markdown."""

from collections.abc import Sequence
from typing import Any

from benchmarks.detection.score import alarms, by_shape, confidence, summary


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Write rows of equal keys as a Markdown table."""
    if not rows:
        return "(nothing)\n"
    keys = list(rows[0])
    lines = [keys, ["---"] * len(keys), *[[_cell(r.get(k)) for k in keys] for r in rows]]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(value: Any) -> str:  # noqa: ANN401
    return "" if value is None else str(value)


def _crossed(table: dict[str, dict[str, str]], first: str, methods: Sequence[str]) -> str:
    return markdown([{first: k, **{m: row.get(m, "") for m in methods}} for k, row in table.items()])


def text(
    records: Sequence[dict[str, Any]], days: Sequence[dict[str, Any]], protocol: dict[str, float]
) -> str:
    """Write the whole result: by method, campaign, strength and look-alike, days, the MMD test's own."""
    methods = list(dict.fromkeys(r["method"] for r in records))
    parts = [
        "## By method\n\n" + markdown(summary(records)),
        "## Campaigns found, by scenario\n\n"
        + _crossed(by_shape(records, lambda r, c: c), "campaign", methods),
        "## Campaigns found, by strength\n\n"
        + _crossed(by_shape(records, lambda r, c: r["strength"]), "strength", methods),
        "## Logs in which a look-alike was reported\n\n" + _crossed(alarms(records), "look-alike", methods),
    ]
    if said := confidence(records):
        parts.append("## Accounts listed in reports, by confidence\n\n" + markdown(said))
    if days:
        parts.append("## First day on which hydrascope finds it, and its rows by then\n\n" + markdown(days))
    if protocol:
        parts.append(
            "## Windows of 1,500 flagged by the MMD test, by share of campaign rows\n\n"
            + markdown([protocol])
        )
    return "\n".join(parts)
