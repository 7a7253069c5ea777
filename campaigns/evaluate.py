"""Score the campaigns of a run against the truth of a simulated log."""

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

MEMBER = 0.5  # confidence from which an account is called a member
HALF = 0.5  # of a campaign's accounts that one report must hold
PURE = 0.8  # account precision that the report must have
MAIN = 0.5  # share of members from which a report is about a group
KIND = r"^(organic|(campaign|decoy):.+)$"


@dataclass(frozen=True, kw_only=True)
class CampaignScore:
    """How one true campaign fared.

    found: one report holds half of its accounts at account precision 0.8. n_reports: reports that are mostly
    about it, so more than one is a split. precision, recall: of its best report, the largest that finds it or
    else the one with most of its accounts; both 0.0 without one.
    """

    name: str
    n_accounts: int
    found: bool
    n_reports: int
    campaign_id: str | None
    precision: float
    recall: float


@dataclass(frozen=True, kw_only=True)
class LookalikeScore:
    """How one innocent look-alike fared: reports mostly about it, share of its accounts called members."""

    name: str
    n_accounts: int
    n_alarms: int
    flagged: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """The score of one log.

    n_false: reports of which no single true campaign makes up half the members. precision, recall: of all
    members of all reports against all accounts of true campaigns (precision is null without a member).
    average_precision: of all accounts ranked by their highest confidence in a report, null without a true
    campaign. organic_flagged: share of ordinary accounts called members.
    """

    n_reports: int
    n_found: int
    n_missed: int
    n_false: int
    precision: float | None
    recall: float | None
    average_precision: float | None
    organic_flagged: float
    campaigns: tuple[CampaignScore, ...]
    lookalikes: tuple[LookalikeScore, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the score as nested plain values, ready for JSON."""
        return asdict(self)


def evaluate(campaigns: pl.DataFrame, campaign_accounts: pl.DataFrame, truth: pl.DataFrame) -> Score:
    """Compare a run's reported campaigns with the truth.

    campaigns: campaign_id, reported. campaign_accounts: campaign_id, account_id, confidence. truth:
    account_id, kind ("organic", "campaign:<name>" or "decoy:<name>"), a row an account. Accounts that the
    truth does not know count as ordinary. Raises ValueError for a truth of another form.
    """
    truth = _checked(truth)
    reported = campaigns.filter(pl.col("reported")).select(pl.col("campaign_id").cast(pl.String))
    listed = campaign_accounts.select(
        pl.col("campaign_id", "account_id").cast(pl.String), pl.col("confidence").cast(pl.Float64)
    ).join(reported, on="campaign_id", how="semi")
    members = listed.filter(pl.col("confidence") >= MEMBER).join(truth, on="account_id", how="left")
    members = members.with_columns(pl.col("kind").fill_null("organic"))
    overlap = _overlap(members)
    sizes = dict(truth.group_by("kind").len().sort("kind").iter_rows())
    scores = tuple(_campaign(kind, sizes[kind], overlap) for kind in sizes if kind.startswith("campaign:"))
    flagged = members.unique("account_id", keep="first")
    about = set(
        overlap.filter(pl.col("kind").str.starts_with("campaign:"), pl.col("share") >= MAIN)["campaign_id"]
    )
    hits = flagged.filter(pl.col("kind").str.starts_with("campaign:")).height
    n_true = sum(s.n_accounts for s in scores)
    strangers = flagged.join(truth, on="account_id", how="anti").height
    n_organic = sizes.get("organic", 0) + strangers
    return Score(
        n_reports=reported.height,
        n_found=sum(s.found for s in scores),
        n_missed=sum(not s.found for s in scores),
        n_false=reported.height - len(about),
        precision=hits / flagged.height if flagged.height else None,
        recall=hits / n_true if n_true else None,
        average_precision=_ranking(listed, truth) if n_true else None,
        organic_flagged=flagged.filter(pl.col("kind") == "organic").height / max(n_organic, 1),
        campaigns=scores,
        lookalikes=tuple(
            _lookalike(kind, sizes[kind], overlap, flagged) for kind in sizes if kind.startswith("decoy:")
        ),
    )


def _checked(truth: pl.DataFrame) -> pl.DataFrame:
    """Return account_id and kind; raises ValueError where scores by them would say nothing."""
    if missing := {"account_id", "kind"} - set(truth.columns):
        raise ValueError(f"the truth lacks the columns {sorted(missing)}")
    truth = truth.select("account_id", "kind")
    if others := {name: str(of) for name, of in truth.schema.items() if not isinstance(of, pl.String)}:
        raise ValueError(f"the truth has {others}: expected strings")
    if truth.is_empty():
        raise ValueError("the truth has no accounts")
    if truth["account_id"].n_unique() < truth.height:
        raise ValueError("the truth names an account twice: expected a row an account")
    if unknown := (~truth["kind"].str.contains(KIND)).fill_null(True).sum():
        raise ValueError(
            f"the truth has {unknown} accounts of another kind: expected organic, campaign:NAME or decoy:NAME"
        )
    return truth


def _overlap(members: pl.DataFrame) -> pl.DataFrame:
    """Count members of each report by kind: campaign_id, kind, n, and their share of the report."""
    counted = members.group_by("campaign_id", "kind").agg(n=pl.len())
    return counted.with_columns(share=pl.col("n") / pl.col("n").sum().over("campaign_id")).sort(
        "n", "share", "campaign_id", descending=[True, True, False]
    )


def _campaign(kind: str, size: int, overlap: pl.DataFrame) -> CampaignScore:
    mine = overlap.filter(pl.col("kind") == kind)
    good = mine.filter(pl.col("share") >= PURE, pl.col("n") >= HALF * size)
    best = (good if good.height else mine).head(1).rows(named=True)
    return CampaignScore(
        name=kind.removeprefix("campaign:"),
        n_accounts=size,
        found=bool(good.height),
        n_reports=mine.filter(pl.col("share") >= MAIN).height,
        campaign_id=best[0]["campaign_id"] if best else None,
        precision=best[0]["share"] if best else 0.0,
        recall=best[0]["n"] / size if best else 0.0,
    )


def _lookalike(kind: str, size: int, overlap: pl.DataFrame, flagged: pl.DataFrame) -> LookalikeScore:
    mine = overlap.filter(pl.col("kind") == kind)
    return LookalikeScore(
        name=kind.removeprefix("decoy:"),
        n_accounts=size,
        n_alarms=mine.filter(pl.col("share") >= MAIN).height,
        flagged=flagged.filter(pl.col("kind") == kind).height / size,
    )


def _ranking(listed: pl.DataFrame, truth: pl.DataFrame) -> float:
    """Return the average precision of all accounts ranked by their highest confidence."""
    from sklearn.metrics import average_precision_score

    best = listed.group_by("account_id").agg(pl.col("confidence").max())
    ranked = truth.join(best, on="account_id", how="full", coalesce=True)
    true = ranked["kind"].str.starts_with("campaign:").fill_null(False).to_numpy()
    return float(average_precision_score(true, ranked["confidence"].fill_null(0.0).to_numpy()))
