"""The tables as Markdown."""

from collections.abc import Sequence
from typing import Any

from benchmarks.detection.summary import (
    Record,
    alarms,
    by_size,
    confidence,
    found_by,
    methods,
    summary,
    to_detection,
)


def markdown(rows: Sequence[Record]) -> str:
    """Write rows of equal keys as a Markdown table."""
    if not rows:
        return "(nothing)\n"
    keys = list(rows[0])
    lines = [keys, ["---"] * len(keys), *[[_cell(r.get(k)) for k in keys] for r in rows]]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(value: Any) -> str:  # noqa: ANN401
    return "" if value is None else str(value)


def scores(records: Sequence[Record]) -> dict[str, str]:
    """Return the tables of scored logs, by title."""
    asked = methods(records)
    tables = {
        "By method (95 % intervals: Wilson for shares, bootstrap over logs for means)": markdown(
            summary(records)
        ),
        "Campaigns found, by scenario": crossed(found_by(records, lambda r, c: c), "campaign", asked),
        "Campaigns found, by shape of the text": crossed(
            found_by(records, lambda r, c: r["sizes"][c]["shape"]), "shape", asked
        ),
        "Campaigns found, by strength": crossed(
            found_by(records, lambda r, c: r["strength"]), "strength", asked
        ),
        "Logs in which a look-alike was reported": crossed(alarms(records), "look-alike", asked),
    }
    if said := confidence(records):
        tables["Accounts listed in reports, by confidence"] = markdown(said)
    return tables


def crossed(table: dict[str, dict[str, str]], first: str, asked: Sequence[str]) -> str:
    """Write a table by row and method, the methods in the order asked; first: what the rows are."""
    return markdown([{first: k, **{m: row.get(m) for m in asked}} for k, row in table.items()])


def sizes(records: Sequence[Record]) -> dict[str, str]:
    """Return a table a method of what is found by accounts and requests a day, by title."""
    tables = {}
    for method in methods(records):
        lines, smallest = by_size(records, method)
        tables[f"Found by accounts and requests an account and day: {method}"] = (
            f"{markdown(lines)}\n{smallest}\n"
        )
    return tables


def days(seen: Sequence[Record]) -> dict[str, str]:
    """Return the table of days and rows to detection, by title."""
    return {"First day on which hydrascope finds it, and its rows by then": markdown(to_detection(seen))}


def text(tables: dict[str, str]) -> str:
    """Write titled tables one after the other."""
    return "\n".join(f"## {title}\n\n{table}" for title, table in tables.items())
