"""Judged cases as rows of the output tables: plain values, names as in the contract."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from campaigns.explain import UNTOLD, untested
from campaigns.judge import Case
from campaigns.traffic import Traffic
from campaigns.vocabulary import Direction, Lineage, Status, readable

Record = dict[str, Any]
LARGEST = 2**63 - 1  # number of tokens that a table holds


class Wording(NamedTuple):
    """How a case's own texts are described: a template with its slots, and telling words."""

    template: str
    keywords: list[str]


class Records(NamedTuple):
    """Rows of four tables, strongest case first, and the campaign of every sampled row (null: none)."""

    campaigns: list[Record]
    accounts: list[Record]
    evidence: list[Record]
    explanations: list[Record]
    campaign_of_row: pl.Series


def records(
    log: Traffic,
    cases: list[Case],
    cluster_ids: Mapping[tuple[str, int], str],
    wording: list[Wording],
    window: tuple[datetime, datetime],
) -> Records:
    """Return the rows of the campaign tables; `wording` is in the order of `cases`.

    A row of the log that lies in several cases belongs to the strongest one.
    """
    ids = [campaign_id(log, case) for case in cases]
    of_row = np.full(log.rows.height, -1)
    for i in reversed(range(len(cases))):
        of_row[cases[i].group.member_rows(log)] = i
    names = pl.Series("campaign_id", [*ids, None], dtype=pl.String)  # the last is for no campaign
    campaign_of_row = names.gather(np.where(of_row < 0, len(ids), of_row))
    return Records(
        [
            _campaign(log, case, cid, rank, words, cluster_ids, window)
            for rank, (case, cid, words) in enumerate(zip(cases, ids, wording, strict=True), start=1)
        ],
        [record for case, cid in zip(cases, ids, strict=True) for record in _accounts(log, case, cid)],
        [record for case, cid in zip(cases, ids, strict=True) for record in _evidence(case, cid)],
        [record for case, cid in zip(cases, ids, strict=True) for record in _explanations(case, cid)],
        campaign_of_row,
    )


def campaign_id(log: Traffic, case: Case) -> str:
    """Mint an id from the founding accounts and requests: the same content gives the same id."""
    digest = hashlib.blake2b(digest_size=8, person=b"campaign")
    for name in log.accounts["account_id"].gather(case.group.members).sort():
        digest.update(name.encode() + b"\0")
    for name in log.rows["request_id"].gather(case.group.member_rows(log)).sort():
        digest.update(name.encode() + b"\0")
    return f"c{digest.hexdigest()}"


def _distinct(rows: pl.DataFrame, column: str) -> int | None:
    return rows[column].drop_nulls().n_unique() or None if column in rows.columns else None


def _sum(rows: pl.DataFrame, column: str) -> int | None:
    if column not in rows.columns or rows[column].is_null().all():
        return None
    return min(round(float((rows[column].fill_null(0) * rows["weight"]).sum())), LARGEST)


def _campaign(
    log: Traffic,
    case: Case,
    cid: str,
    rank: int,
    words: Wording,
    cluster_ids: Mapping[tuple[str, int], str],
    window: tuple[datetime, datetime],
) -> Record:
    rows = log.rows[case.group.member_rows(log)]
    n_accounts, lookalike = len(case.group.members), case.lookalike
    aim = readable(case.capability)
    about = f" ({', '.join(words.keywords[:4])})" if words.keywords else ""
    return {
        "campaign_id": cid,
        "rank": rank,
        "reported": case.reported,
        "decision_reason": case.decision_reason,
        "title": f"{n_accounts:,} accounts: {aim}{about}",
        "window_start": window[0],
        "window_end": window[1],
        "first_seen": rows["timestamp"].min(),
        "last_seen": rows["timestamp"].max(),
        "n_accounts": n_accounts,
        "n_prompts": rows.height,
        "n_distinct_prompts": rows["text"].n_unique(),
        "estimated_prompts": float(rows["weight"].sum()),
        "n_orgs": _distinct(rows, "org_id"),
        "n_ips": _distinct(rows, "ip"),
        "n_asns": _distinct(rows, "asn"),
        "models": sorted(rows["model"].drop_nulls().unique()) if "model" in rows.columns else [],
        "input_tokens": _sum(rows, "input_tokens"),
        "output_tokens": _sum(rows, "output_tokens"),
        "e_value": float(np.exp(case.log_e)),
        "q_value": case.q_value,
        "template": words.template,
        "keywords": words.keywords,
        "capability": str(case.capability),
        "lookalike": None if case.reported else str(lookalike.explanation),
        "lookalike_score": lookalike.score,
        "not_tested": _not_tested(log, case),
        "lineage": str(Lineage.NEW),
        "previous_campaign_id": None,
        "cluster_ids": sorted({cluster_ids[name] for name in case.group.clusters}),
    }


def _not_tested(log: Traffic, case: Case) -> list[str]:
    """Return the signals and the innocent explanations that were not weighed, and what a log cannot tell."""
    reasons = {str(f.signal): f.reason for f in case.findings.values() if f.status is Status.NOT_TESTED}
    for explanation in untested(case.explanations):
        signal = UNTOLD.get(explanation)
        known = "fewer than half of its accounts have one" if log.has("org_id") else "no org_id column"
        reasons[explanation] = known if signal is None else f"as {signal} was not tested"
    if not log.has("model"):
        reasons["crews"] = "no model column, by which operators of like topics and rates are told apart"
    return [f"{name}: {reason}" for name, reason in reasons.items()]


def _accounts(log: Traffic, case: Case, cid: str) -> list[Record]:
    group = case.group
    inside = log.rows[group.rows]
    n_ips = pl.col("ip").drop_nulls().n_unique().replace(0, None)
    extra = [n_ips.alias("n_ips")] if "ip" in inside.columns else []
    seen = inside.group_by("account_id").agg(
        pl.len().alias("n_prompts"),
        pl.col("weight").sum().alias("estimated_prompts"),
        pl.col("timestamp").min().alias("first_seen"),
        pl.col("timestamp").max().alias("last_seen"),
        *extra,
    )
    whole = log.accounts[group.candidates].select(
        "account_id", "n_total", "n_sampled", *[c for c in ("org_id",) if c in log.accounts.columns]
    )
    frame = whole.with_columns(pl.Series("confidence", group.confidence)).join(seen, on="account_id")
    frame = frame.with_columns(share=pl.col("n_prompts") / pl.col("n_sampled")).sort(
        ["confidence", "account_id"], descending=[True, False]
    )
    return [{"campaign_id": cid, **record, "reasons": _reasons(record)} for record in frame.to_dicts()]


def _reasons(record: Record) -> list[str]:
    theirs = record["n_prompts"]
    is_are = "is" if theirs == 1 else "are"
    reasons = [f"{theirs} of its {record['n_sampled']} sampled requests {is_are} this work"]
    if record["confidence"] == 0.5:  # of a group that nobody in it stands out from
        reasons.append("what it does does not tell it from the others of the group")
    elif record["confidence"] > 0.5:
        reasons.append("in what it does it is closer to the group than to other users")
    else:
        reasons.append("in what it does it is closer to other users than to the group")
    return reasons


def _evidence(case: Case, cid: str) -> list[Record]:
    return [
        {
            "campaign_id": cid,
            "signal": str(f.signal),
            "status": str(f.status),
            "reason": f.reason,
            "direction": str(f.direction if f.status is Status.TESTED else Direction.NEUTRAL),
            "statistic": f.statistic if f.statistic is not None and np.isfinite(f.statistic) else None,
            "effect": f.effect,
            "null_model": f.null_model,
            "p_value": None if f.log_e is None else float(min(1.0, np.exp(-f.log_e))),
            "e_value": None if f.log_e is None else float(np.exp(f.log_e)),
            "n": f.n,
            "sentence": f.sentence,
        }
        for f in case.findings.values()
    ]


def _explanations(case: Case, cid: str) -> list[Record]:
    return [
        {
            "campaign_id": cid,
            "explanation": str(w.explanation),
            "score": w.score,
            "for": w.speaks_for,
            "against": w.speaks_against,
            "sentence": w.sentence,
        }
        for w in case.explanations
    ]
