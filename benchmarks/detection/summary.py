"""What the records of all logs say together: a line a method, campaign, strength, size or day."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest

CONFIDENT = (0.05, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)  # edges of the bins of confidence
RESAMPLES = 2000
NINE_IN_TEN = 0.9

Record = dict[str, Any]
Key = Callable[[Record, str], str]  # of a record and the name of a campaign in it


def interval(hits: int, n: int) -> tuple[float, float]:
    """Return the Wilson 95 % interval of a share."""
    ci = binomtest(hits, n).proportion_ci(method="wilson")
    return float(ci.low), float(ci.high)


def at_most(hits: int, n: int) -> float:
    """Return the one-sided upper 95 % bound of a share (Clopper & Pearson 1934)."""
    return float(binomtest(hits, n, alternative="less").proportion_ci().high)


def share(hits: int, n: int) -> str:
    """Write a share as "9/10 (.60-.98)", with its Wilson interval where there is more than one trial."""
    if n < 2:
        return f"{hits}/{n}"
    low, high = interval(hits, n)
    return f"{hits}/{n} ({_short(low)}-{_short(high)})"


def mean(values: Sequence[float | None]) -> str | None:
    """Write the mean over logs, with the 95 % interval of the bootstrap over logs where there are several."""
    known = np.array([v for v in values if v is not None])
    if not len(known):
        return None
    if len(known) == 1:
        return f"{known[0]:.3f}"
    again = np.random.default_rng(0).choice(known, (RESAMPLES, len(known))).mean(axis=1)
    low, high = np.quantile(again, (0.025, 0.975))
    return f"{known.mean():.3f} ({low:.2f}-{high:.2f})"


def _short(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")


def summary(records: Sequence[Record]) -> list[Record]:
    """Return one line a method: found, false, precision, recall, alarms, null logs with a report."""
    return [_line(m, [r for r in records if r["method"] == m]) for m in methods(records)]


def methods(records: Sequence[Record]) -> list[str]:
    """List the methods in the order in which they first come."""
    return list(dict.fromkeys(r["method"] for r in records))


def _line(method: str, mine: Sequence[Record]) -> Record:
    played = [r["score"] for r in mine if r["kind"] == "campaigns"]
    nulls = [r["score"] for r in mine if r["kind"] == "null"]
    each = [c for s in played for c in s["campaigns"]]
    alarmed = [x["n_alarms"] > 0 for s in played + nulls for x in s["lookalikes"]]
    on_null = sum(s["n_reports"] > 0 for s in nulls)
    return {
        "method": method,
        "found": share(sum(c["found"] for c in each), len(each)),
        "splits": sum(max(c["n_reports"] - 1, 0) for c in each),
        "false a log": mean([s["n_false"] for s in played]),
        "precision": mean([s["precision"] for s in played]),
        "recall": mean([s["recall"] for s in played]),
        "average precision": mean([s["average_precision"] for s in played]),
        "look-alikes alarmed": share(sum(alarmed), len(alarmed)),
        "null logs with a report": f"{on_null}/{len(nulls)}",
        "at most": f"{at_most(on_null, len(nulls)):.3f}" if nulls else None,
        "seconds": f"{np.mean([r['seconds'] for r in mine]):.1f}",
    }


def found_by(records: Sequence[Record], key: Key) -> dict[str, dict[str, str]]:
    """Return the share of campaigns found by a key and method."""
    hits = [
        (key(record, campaign["name"]), record["method"], campaign["found"])
        for record in records
        for campaign in record["score"]["campaigns"]
    ]
    return _crossed(hits)


def alarms(records: Sequence[Record]) -> dict[str, dict[str, str]]:
    """Return the share of logs in which each look-alike was reported, by look-alike and method."""
    hits = [
        (lookalike["name"], record["method"], lookalike["n_alarms"] > 0)
        for record in records
        for lookalike in record["score"]["lookalikes"]
    ]
    return _crossed(hits)


def _crossed(hits: Sequence[tuple[str, str, bool]]) -> dict[str, dict[str, str]]:
    cells: dict[str, dict[str, list[bool]]] = {}
    for row, column, hit in hits:
        cells.setdefault(row, {}).setdefault(column, []).append(hit)
    return {
        row: {column: share(sum(hit), len(hit)) for column, hit in line.items()}
        for row, line in sorted(cells.items())
    }


def confidence(records: Sequence[Record]) -> list[Record]:
    """Return a line a bin of confidence: accounts in reports, what was said of them, what was right."""
    each = [record["confidence"] for record in records if "confidence" in record]
    if not each:
        return []
    listed, said, right = np.sum(each, axis=0)
    return [
        {
            "confidence": f"{low} to {high}",
            "accounts": int(n),
            "said": f"{said[i] / n:.2f}" if n else None,
            "right": f"{right[i] / n:.2f}" if n else None,
        }
        for i, (low, high, n) in enumerate(zip(CONFIDENT, CONFIDENT[1:], listed, strict=False))
    ]


def by_size(records: Sequence[Record], method: str) -> tuple[list[Record], str]:
    """Return found shares by accounts (rows) and requests a day (columns), and a line on the smallest.

    The smallest is the cell of fewest requests that is found nine times in ten.
    """
    cells: dict[tuple[int, float], list[bool]] = {}
    for record in (r for r in records if r["method"] == method):
        for campaign in record["score"]["campaigns"]:
            size = record["sizes"][campaign["name"]]
            cells.setdefault((size["accounts"], size["per_day"]), []).append(campaign["found"])
    rates = sorted({rate for _, rate in cells})
    lines = [
        {"accounts": accounts} | {f"{rate:g} a day": _cell(cells.get((accounts, rate), [])) for rate in rates}
        for accounts in sorted({accounts for accounts, _ in cells})
    ]
    often = [size for size, found in cells.items() if np.mean(found) >= NINE_IN_TEN]
    if not often:
        return lines, "No size is found nine times in ten."
    accounts, rate = min(often, key=lambda size: (size[0] * size[1], size))
    return lines, f"Smallest found nine times in ten: {accounts} accounts, {rate:g} requests a day each."


def _cell(found: Sequence[bool]) -> str:
    return share(sum(found), len(found)) if found else ""


def to_detection(days: Sequence[Record]) -> list[Record]:
    """Return a line a campaign: logs in which it was found, median day and median rows by then."""
    lines = []
    for name in sorted({one["campaign"] for one in days}):
        mine = [one for one in days if one["campaign"] == name]
        seen = [one for one in mine if one["day"] is not None]
        lines.append(
            {
                "campaign": name,
                "found": share(len(seen), len(mine)),
                "median day": f"{np.median([one['day'] for one in seen]):g}" if seen else None,
                "median rows": f"{np.median([one['rows'] for one in seen]):.0f}" if seen else None,
            }
        )
    return lines
