"""Score every method on every log and put the counts into tables."""

import json
import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import binomtest

from benchmarks.detection.logs import Log
from benchmarks.detection.ours import detect
from benchmarks.detection.rivals import RIVALS
from benchmarks.detection.rivals.space import Space, text_space
from benchmarks.detection.rivals.windows import own_protocol
from campaigns.evaluate import MEMBER, Score, evaluate
from campaigns.explain import DECIDING
from campaigns.simulation.assemble import Simulated
from campaigns.simulation.simulate import play

logger = logging.getLogger(__name__)
OURS = "hydrascope"
ABLATED = {f"{OURS} without {signal}": str(signal) for signal in DECIDING}
CONFIDENT = (0.05, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)  # edges of the bins of confidence


def frames(groups: Sequence[Sequence[str]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Turn groups of accounts into the two tables that `evaluate` reads, every account sure."""
    rows = [(f"g{i}", account, 1.0) for i, group in enumerate(groups) for account in group]
    schema = {"campaign_id": pl.String, "account_id": pl.String, "confidence": pl.Float64}
    ids = [f"g{i}" for i in range(len(groups))]
    campaigns = pl.DataFrame(
        {"campaign_id": ids, "reported": [True] * len(ids)},
        schema={"campaign_id": pl.String, "reported": pl.Boolean},
    )
    return campaigns, pl.DataFrame(rows, schema=schema, orient="row")


def run_log(log: Log, pack: pl.DataFrame | None, methods: Sequence[str]) -> list[dict[str, Any]]:
    """Make a log and score the methods on it: one record a method."""
    made = play(pack, log.settings, log.campaigns, log.decoys)
    records = []
    rivals = [m for m in methods if m in RIVALS]
    marked = made.traffic.with_columns(clean=made.labels["kind"].cast(pl.String) == "organic")
    space = text_space(marked, log.settings.seed) if rivals else None
    for method in methods:
        began = time.perf_counter()
        try:
            found = (
                _rival(method, marked, space, log.settings.seed) if method in RIVALS else _ours(made, method)
            )
        except ImportError as missing:
            logger.warning("%s left out: %s", method, missing)
            continue
        except RuntimeError as failed:
            logger.warning("%s failed on %s: %s", method, log.name, failed)
            continue
        score = evaluate(*found, made.truth)
        record = _record(log, method, score, made, time.perf_counter() - began)
        records.append(
            record | ({"confidence": account_confidence(*found, made.truth)} if method == OURS else {})
        )
    return records


def _ours(made: Simulated, method: str = OURS) -> tuple[pl.DataFrame, pl.DataFrame]:
    with tempfile.TemporaryDirectory() as folder:
        return detect(made.traffic, Path(folder), [ABLATED[method]] if method in ABLATED else [])


def account_confidence(
    campaigns: pl.DataFrame, accounts: pl.DataFrame, truth: pl.DataFrame
) -> list[list[float]]:
    """Return accounts, sum of confidences and accounts of the report's operator in each bin of CONFIDENT."""
    reported = campaigns.filter("reported").select("campaign_id")
    said = accounts.join(reported, on="campaign_id").join(truth.select("account_id", "kind"), on="account_id")
    main = pl.col("kind").filter(pl.col("confidence") >= MEMBER).mode().sort().first().over("campaign_id")
    right = (pl.col("kind") == main) & main.str.starts_with("campaign:")
    said = said.with_columns(right=right.fill_null(value=False))
    place = np.digitize(said["confidence"].to_numpy(), CONFIDENT[1:-1])
    weights = (None, said["confidence"].to_numpy(), said["right"].to_numpy())
    return [np.bincount(place, w, len(CONFIDENT) - 1).astype(float).tolist() for w in weights]


def confidence(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
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


def _rival(
    method: str, marked: pl.DataFrame, space: Space | None, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    assert space is not None
    return frames(RIVALS[method](marked, space, seed))


def _record(log: Log, method: str, score: Score, made: Simulated, seconds: float) -> dict[str, Any]:
    rows = dict(made.labels["kind"].cast(pl.String).value_counts().iter_rows())
    sizes = {c.name: {"rows": rows.get(f"campaign:{c.name}", 0)} for c in score.campaigns}
    return {
        "log": log.name, "kind": log.kind, "strength": log.strength, "method": method,
        "rows": made.traffic.height, "seconds": round(seconds, 1), "score": score.as_dict(), "sizes": sizes,
    }  # fmt: skip


def first_seen(log: Log, pack: pl.DataFrame | None) -> list[dict[str, Any]]:
    """Detect after one day, two and so on: a record a campaign of the first day on which it was found.

    day and rows (its rows by then) are null where the whole window was not enough.
    """
    made = play(pack, log.settings, log.campaigns, log.decoys)
    kind, time = made.labels["kind"].cast(pl.String), made.traffic["timestamp"]
    seen: dict[str, dict[str, Any]] = {}
    for day in range(1, log.settings.days + 1):
        so_far = time < time.min() + timedelta(days=day)  # type: ignore[operator]
        part = Simulated(
            made.traffic.filter(so_far), made.truth, made.enforcement, made.labels.filter(so_far)
        )
        for campaign in evaluate(*_ours(part), made.truth).campaigns:
            rows = int((so_far & (kind == f"campaign:{campaign.name}")).sum())
            if campaign.found and campaign.name not in seen:
                seen[campaign.name] = {"campaign": campaign.name, "day": day, "rows": rows}
    return [seen.get(c.name, {"campaign": c.name, "day": None, "rows": None}) for c in log.campaigns]


def mmd_protocol(pack: pl.DataFrame | None, log: Log) -> dict[str, float]:
    """Run the MMD test's own protocol on one log: flag rates of windows by share of campaign rows."""
    made = play(pack, log.settings, log.campaigns, log.decoys)
    kind = made.labels["kind"].cast(pl.String)
    attack, clean = kind.str.starts_with("campaign:").to_numpy(), (kind == "organic").to_numpy()
    return own_protocol(text_space(made.traffic, log.settings.seed), attack, clean, log.settings.seed)


def interval(hits: int, n: int) -> tuple[float, float]:
    """Return the Wilson 95 % interval of a share."""
    ci = binomtest(hits, max(n, 1)).proportion_ci(method="wilson")
    return float(ci.low), float(ci.high)


def at_most(hits: int, n: int) -> float:
    """Return the one-sided upper 95 % bound of a share (Clopper & Pearson 1934)."""
    return float(binomtest(hits, max(n, 1), alternative="less").proportion_ci().high)


def summary(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one line a method: found, false, precision, recall, alarms, null logs with a report."""
    return [
        _line(m, [r for r in records if r["method"] == m])
        for m in dict.fromkeys(r["method"] for r in records)
    ]


def _line(method: str, mine: Sequence[dict[str, Any]]) -> dict[str, Any]:
    with_campaigns = [r["score"] for r in mine if r["kind"] == "campaigns"]
    nulls = [r["score"] for r in mine if r["kind"] == "null"]
    each = [c for s in with_campaigns for c in s["campaigns"]]
    found = sum(c["found"] for c in each)
    alarmed = [x["n_alarms"] > 0 for s in with_campaigns + nulls for x in s["lookalikes"]]
    alarms_on_null = sum(s["n_reports"] > 0 for s in nulls)
    low, high = interval(found, len(each))
    return {
        "method": method,
        "found": f"{found}/{len(each)}",
        "interval": f"{low:.2f}-{high:.2f}",
        "splits": sum(max(c["n_reports"] - 1, 0) for c in each),
        "false a log": _mean([s["n_false"] for s in with_campaigns]),
        "precision": _mean([s["precision"] for s in with_campaigns]),
        "recall": _mean([s["recall"] for s in with_campaigns]),
        "average precision": _mean([s["average_precision"] for s in with_campaigns]),
        "look-alikes alarmed": f"{sum(alarmed)}/{len(alarmed)}",
        "null logs with a report": f"{alarms_on_null}/{len(nulls)}",
        "at most": round(at_most(alarms_on_null, len(nulls)), 3) if nulls else None,
        "seconds": _mean([r["seconds"] for r in mine]),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return round(float(np.mean(known)), 3) if known else None


def by_shape(
    records: Sequence[dict[str, Any]], key: Callable[[dict[str, Any], str], str]
) -> dict[str, dict[str, str]]:
    """Return found/played by a key of (record, campaign) and method."""
    counts: dict[str, dict[str, list[int]]] = {}
    for record in records:
        for campaign in record["score"]["campaigns"]:
            cell = counts.setdefault(key(record, campaign["name"]), {}).setdefault(record["method"], [0, 0])
            cell[0] += campaign["found"]
            cell[1] += 1
    return {k: {m: f"{a}/{b}" for m, (a, b) in row.items()} for k, row in sorted(counts.items())}


def alarms(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Return alarms/logs by look-alike and method."""
    counts: dict[str, dict[str, list[int]]] = {}
    for record in records:
        for lookalike in record["score"]["lookalikes"]:
            cell = counts.setdefault(lookalike["name"], {}).setdefault(record["method"], [0, 0])
            cell[0] += lookalike["n_alarms"] > 0
            cell[1] += 1
    return {k: {m: f"{a}/{b}" for m, (a, b) in row.items()} for k, row in sorted(counts.items())}


def save(records: Sequence[dict[str, Any]], place: Path) -> None:
    """Write the records as JSON lines."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("".join(json.dumps(r, sort_keys=True) + "\n" for r in records))
