"""What is seen on the terminal: a line a stage, and the table of campaigns."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.errors import InputError
from flows.files import first_line
from flows.redact import visible
from flows.run import Counts

if TYPE_CHECKING:
    import polars as pl

    from campaigns.evaluate import Score

SAID = {
    "sample": "{kept:,} of {in:,} requests kept, {accounts:,} accounts, {texts:,} distinct prompts",
    "views": "{part}: {texts:,} distinct texts",
    "fit": "encoder {identity}",
    "embed": "{part}: {texts:,} vectors, {encoded:,} of them new",
    "index": "{part}: {points:,} different vectors, {index}, recall {recall:.3f}",
    "neighbours": "{part}: neighbours of {points:,} vectors",
    "cluster": "{part}: {clusters:,} clusters, {noise_rows:,} of {rows:,} requests in none",
    "link": "{profiles:,} clusters of accounts by what they ask about",
    "evidence": "{reported:,} groups reported, {campaigns:,} listed",
    "report": "report.html",
    "publish": "{run_dir}",
}
SHOWN_AT_MOST = 20
LACKING = "the tables of {} lack columns: another version wrote them"


class Progress:
    """Prints a line for each finished stage or part."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, stage: str, part: str, counts: Counts) -> None:
        """Say what a finished stage counted and how long it took."""
        known = {"part": part, "identity": ""} | counts
        said = SAID[stage].format_map(known)
        took = "resumed" if counts.get("resumed") else f"{counts['seconds']:.1f} s"
        with suppress(OSError, SystemExit):  # rich exits where nobody reads on; the run goes on
            self.console.print(Text(f"{stage:<11}{took:>8}  {said}"), soft_wrap=True)


def campaign_table(run_dir: Path) -> Table:
    """Return the campaigns of a run as a table: the reported ones, and how many others are listed."""
    import polars as pl

    found = _read(run_dir, "campaigns").sort("rank")
    reported = found.filter(pl.col("reported"))
    table = Table(
        title=f"{reported.height} reported, {found.height - reported.height} listed and not reported"
    )
    for name, justify in (("", "right"), ("campaign", "left"), ("accounts", "right"), ("requests", "right")):
        table.add_column(name, justify=justify, no_wrap=name == "campaign")  # type: ignore[arg-type]
    table.add_column("level", justify="right")
    table.add_column("what")
    for c in reported.head(SHOWN_AT_MOST).iter_rows(named=True):
        numbers = [f"{c['n_accounts']:,}", f"{c['estimated_prompts']:,.0f}", f"{c['q_value']:.1e}"]
        table.add_row(str(c["rank"]), c["campaign_id"], *numbers, _text(c["title"]))
    return table


def _read(run_dir: Path, name: str, *columns: str) -> "pl.DataFrame":
    """Read a table of a run, or some columns of it; raises InputError when it cannot be read."""
    import polars as pl

    try:
        return pl.read_parquet(run_dir / f"{name}.parquet", columns=[*columns] or None, glob=False)
    except pl.exceptions.ColumnNotFoundError:
        raise InputError(LACKING.format(run_dir)) from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"cannot read {name} of {run_dir}: {first_line(error)}") from None


def _text(*lines: object) -> Text:
    return Text("\n".join(visible(str(line)) for line in lines), overflow="fold")


def score_of(run_dir: Path, truth: Path) -> "Score":
    """Return the score of a run over a simulated log; raises InputError for a truth that cannot be read."""
    import polars as pl

    from campaigns.evaluate import evaluate

    campaigns = _read(run_dir, "campaigns", "campaign_id", "reported")
    accounts = _read(run_dir, "campaign_accounts", "campaign_id", "account_id", "confidence")
    try:
        return evaluate(campaigns, accounts, pl.read_parquet(truth, glob=False))
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise InputError(f"cannot read the truth {truth}: {first_line(error)}") from None


def score_table(score: "Score") -> Table:
    """Return what was found beside what is true."""
    told = f"{score.n_found} of {len(score.campaigns)} campaigns found, {score.n_false} false"
    table = Table(title=f"beside the truth: {told}")
    for name in ("truth", "accounts", "found", "as", "precision", "recall"):
        table.add_column(name, overflow="fold", no_wrap=name == "as")  # ids are for copying, also from a pipe
    for c in score.campaigns:
        row = (c.name, str(c.n_accounts), "yes" if c.found else "no", c.campaign_id or "")
        table.add_row(*row, f"{c.precision:.2f}", f"{c.recall:.2f}")
    for look in score.lookalikes:
        table.add_row(
            look.name,
            str(look.n_accounts),
            f"{look.n_alarms} alarms" if look.n_alarms else "not reported",
            "",
            "",
            "",
        )
    return table


def case_view(run_dir: Path, campaign: str) -> list[Table | Text]:
    """Return one campaign for the terminal; an empty list when the run has none of this id."""
    import polars as pl

    def rows(name: str) -> list[dict[str, object]]:
        return _read(run_dir, name).filter(pl.col("campaign_id") == campaign).to_dicts()

    found = rows("campaigns")
    if not found:
        return []
    case = found[0]
    said = _text(case["title"], case["decision_reason"], "", case["template"], "")
    evidence = Table("signal", "points", "what was seen")
    for e in rows("campaign_evidence"):
        points = str(e["direction"]) if e["status"] == "tested" else "not tested"
        evidence.add_row(str(e["signal"]), points, _text(e["sentence"] or e["reason"]))
    explanations = Table("could it be", "score", "answer")
    for e in rows("campaign_explanations"):
        explanations.add_row(str(e["explanation"]), f"{e['score']:.2f}", _text(e["sentence"]))
    seen = rows("campaign_accounts")
    title = f"{case['n_accounts']} accounts" + (
        f", the {SHOWN_AT_MOST} surest" if len(seen) > SHOWN_AT_MOST else ""
    )
    accounts = Table("account", "confidence", "requests", "of all", title=title)
    for a in seen[:SHOWN_AT_MOST]:
        numbers = f"{a['confidence']:.2f}", str(a["n_prompts"]), str(a["n_total"])
        accounts.add_row(_text(a["account_id"]), *numbers)
    return [said, evidence, explanations, accounts]
