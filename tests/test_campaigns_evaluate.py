import polars as pl
import pytest

from campaigns.evaluate import evaluate


def frames(reports: dict[str, list[str]], reported: bool = True, confidence: float = 0.9):
    campaigns = pl.DataFrame(
        {"campaign_id": list(reports), "reported": [reported] * len(reports)},
        schema={"campaign_id": pl.String, "reported": pl.Boolean},
    )
    pairs = [(c, a, confidence) for c, accounts in reports.items() for a in accounts]
    schema = {"campaign_id": pl.String, "account_id": pl.String, "confidence": pl.Float64}
    return campaigns, pl.DataFrame(pairs, schema=schema, orient="row")


def truth(**kinds: int) -> pl.DataFrame:
    names = {"organic": "organic", "c": "campaign:x", "d": "decoy:y"}
    rows = [(f"{k}{i}", names[k]) for k, n in kinds.items() for i in range(n)]
    return pl.DataFrame(rows, schema={"account_id": pl.String, "kind": pl.String}, orient="row")


def accounts(letter: str, n: int, start: int = 0) -> list[str]:
    return [f"{letter}{i}" for i in range(start, start + n)]


def test_a_report_with_half_the_accounts_at_precision_080_is_a_find():
    score = evaluate(*frames({"r": accounts("c", 8) + accounts("organic", 2)}), truth(c=16, organic=100))
    (campaign,) = score.campaigns
    assert campaign.found
    assert (campaign.precision, campaign.recall) == (0.8, 0.5)
    assert (score.n_found, score.n_missed, score.n_false) == (1, 0, 0)
    assert (score.precision, score.recall, score.organic_flagged) == (0.8, 0.5, 0.02)


@pytest.mark.parametrize(("ours", "others"), [(7, 1), (8, 3)])
def test_too_few_accounts_or_too_many_strangers_is_a_miss_but_not_false(ours: int, others: int):
    report = accounts("c", ours) + accounts("organic", others)
    score = evaluate(*frames({"r": report}), truth(c=16, organic=100))
    assert (score.n_found, score.n_missed, score.n_false) == (0, 1, 0)


def test_accounts_that_the_truth_does_not_know_are_ordinary_ones():
    score = evaluate(*frames({"r": accounts("stranger", 4)}), truth(c=10, organic=12))
    assert (score.n_false, score.precision, score.organic_flagged) == (1, 0.0, 0.25)
    assert evaluate(*frames({"r": accounts("stranger", 4)}), truth(c=10)).organic_flagged == 1.0


def test_a_split_is_counted_and_recall_is_that_of_the_best_report():
    reports = {"r": accounts("c", 6), "s": accounts("c", 4, 6)}
    (campaign,) = evaluate(*frames(reports), truth(c=10, organic=5)).campaigns
    assert (campaign.found, campaign.n_reports, campaign.recall, campaign.campaign_id) == (True, 2, 0.6, "r")


def test_reports_about_lookalikes_and_ordinary_accounts_are_false():
    reports = {"r": accounts("d", 5), "s": accounts("organic", 6)}
    score = evaluate(*frames(reports), truth(c=10, d=10, organic=60))
    assert score.n_false == 2
    (lookalike,) = score.lookalikes
    assert (lookalike.n_alarms, lookalike.flagged) == (1, 0.5)


def test_what_is_not_reported_or_below_one_half_does_not_count():
    report = {"r": accounts("c", 10)}
    hidden = evaluate(*frames(report, reported=False), truth(c=10, organic=5))
    unsure = evaluate(*frames(report, confidence=0.4), truth(c=10, organic=5))
    assert (hidden.n_reports, hidden.n_found, hidden.precision) == (0, 0, None)
    assert (unsure.n_reports, unsure.n_found, unsure.n_false, unsure.average_precision) == (1, 0, 1, 1.0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (truth(c=2).drop("kind"), "lacks the columns"),
        (truth(c=2).with_columns(account_id=pl.Series([1, 2])), "expected strings"),
        (truth(c=2).head(0), "no accounts"),
        (pl.concat([truth(c=2)] * 2), "twice"),
        (truth(c=2).with_columns(kind=pl.lit("robots")), "2 accounts of another kind"),
        (truth(c=2).with_columns(kind=pl.lit(None, pl.String)), "2 accounts of another kind"),
    ],
)
def test_a_truth_by_which_nothing_can_be_scored_is_refused(wrong: pl.DataFrame, said: str):
    with pytest.raises(ValueError, match=said):
        evaluate(*frames({"r": accounts("c", 2)}), wrong)


def test_an_empty_run_on_a_null_log_scores_nothing():
    score = evaluate(*frames({}), truth(d=3, organic=5))
    assert (score.n_reports, score.n_false, score.recall, score.average_precision) == (0, 0, None, None)


def test_a_truth_without_kinds_is_refused():
    with pytest.raises(ValueError, match="kind"):
        evaluate(*frames({}), pl.DataFrame({"account_id": ["a"]}))
