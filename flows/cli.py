"""The command line. Heavy libraries are imported by the commands that need them: --help answers at once."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter, Token
from rich.console import Console

from flows.errors import HydrascopeError, InputError, StageError, place_of
from flows.times import EARLIEST, LATEST, microseconds
from flows.versions import own_version
from flows.watch import STOPPED, stop_holds

if TYPE_CHECKING:
    from flows.run import Counts, Run

app = App(
    name="hydrascope",
    help="Find groups of accounts that work together to extract a language model's capabilities.",
    version=own_version,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # main says how to go on
)
LATER = {
    "backfill": "Detect day by day, oldest first, the days that have no published run yet.",
    "deploy": "Put the schedules for a log on the Prefect server: nightly, weekly and for cleaning.",
    "serve": "Keep the schedules for a log and do their runs on this machine, until stopped.",
}
for name, said in LATER.items():
    app.command(f"flows.cli_schedules:{name}", name=name, help=said)
out = Console(markup=False, emoji=False)  # paths and names may hold [brackets] and :colons:
err = Console(stderr=True, markup=False, emoji=False)


def main() -> None:
    """Run the command line and exit: 0 done, 1 a stage failed, 2 the call or the input is at fault."""
    try:
        app(sys.argv[1:], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _fail(str(error), 2)
    except InputError as error:
        _fail(str(error), 2)
    except StageError as error:
        _fail(f"{error}; the same call again resumes there", 1)
    except HydrascopeError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail(STOPPED, 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # nobody thought of it, and its text could quote a prompt
        logging.getLogger(__name__).debug("failed", exc_info=True)
        _fail(f"failed: {place_of(error)}", 1)
    sys.exit(0)


def _fail(reason: str, code: int) -> None:
    err.print(f"hydrascope: {' '.join(reason.split())}", highlight=False, soft_wrap=True)
    sys.exit(code)


def _place(kind: type[str] | type[Path], tokens: Sequence[Token]) -> str | Path:
    """Read where a log or an output is; an output is a folder on this machine."""
    given = tokens[0].value
    if not given:
        raise InputError(f"{tokens[0].keyword or 'LOG'} is empty: expected where it is")
    if kind is Path and "://" in given:
        raise InputError(f"--output {given}: expected a folder on this machine")
    return kind(given)


Log = Annotated[str, Parameter(converter=_place)]
Output = Annotated[Path, Parameter(converter=_place)]


@app.command
def simulate(
    folder: Path,
    /,
    *,
    prompts: Path | None = None,
    accounts: int = 4000,
    days: int = 7,
    seed: int = 0,
    start: str = "2026-06-01",
    campaigns: str | None = None,
    decoys: str | None = None,
) -> None:
    """Make a prompt log with truth, to try the detector on.

    Parameters
    ----------
    folder
        Where traffic.parquet and truth/truth.parquet are written.
    prompts
        Parquet of prompts (prompt, family, role) to draw texts from; without it the project's own generator.
    accounts
        Ordinary accounts.
    days
        Length of the log.
    seed
        Seed of every random draw.
    start
        First day, UTC.
    campaigns
        Names of campaigns, with commas between; "none" for none.
    decoys
        Names of innocent look-alikes, with commas between; "none" for none.

    """
    from flows.simulate import write_simulation

    read_time(start, "--start")
    asked = {"campaigns": campaigns, "decoys": decoys}
    names = {k: () if v == "none" else tuple(v.split(",")) for k, v in asked.items() if v is not None}
    rows = write_simulation(
        folder, prompts, {"accounts": accounts, "days": days, "seed": seed, "start": start, **names}
    )
    out.print(f"{rows:,} requests in {folder / 'traffic.parquet'}", soft_wrap=True)


@app.command
def detect(
    log: Log,
    /,
    *,
    output: Output,
    config: Path | None = None,
    encoder: str | None = None,
    start: str | None = None,
    end: str | None = None,
    sample: Annotated[int | None, Parameter(name="--sample")] = None,
    seed: int | None = None,
    enforcement: Path | None = None,
    plain: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Find the campaigns in a prompt log.

    Parameters
    ----------
    log
        A Parquet file, a folder, a glob or a Hive-partitioned dataset; a path or an fsspec URL.
    output
        Where runs are published.
    config
        Settings, as TOML, YAML or JSON.
    encoder
        A SentenceTransformer by name or folder, in place of one fitted to the log.
    start
        Begin of the window, a day or a time, UTC; without it the day of the first request.
    end
        End of the window, not included.
    sample
        Most requests to look at.
    seed
        Seed of every random choice.
    enforcement
        Parquet of bans and limits: account_id, timestamp, action. Checked and recorded, not weighed yet.
    plain
        Run the same stages with no orchestrator.

    """
    from flows.request import open_run
    from flows.settings import read_settings

    log_to_stderr()
    settings = read_settings(
        config, encoder=encoder, seed=seed, sample=None if sample is None else {"budget": sample}
    )
    window = (read_time(start, "--start"), read_time(end, "--end"))
    run = open_run(log, output, settings, window, enforcement)
    with orchestrator(plain) as complete:
        run_dir = complete(run)
    _show(run_dir)


@contextmanager
def orchestrator(plain: bool) -> Iterator[Callable[["Run"], Path]]:
    """Yield what takes a run to its published folder: the plain stages, or the flow on a Prefect server."""
    from flows.console import Progress

    told = Progress(err)
    if plain:
        from flows import pipeline

        yield lambda run: pipeline.complete(run, pipeline.plain(told))
        return
    from flows.server import answering, orchestrated

    with stop_holds() as check, orchestrated(err):
        from flows.detect import detect_run

        def still_told(stage: str, part: str, counts: "Counts") -> None:
            told(stage, part, counts)
            check()

        def complete(run: "Run") -> Path:
            with answering():
                run_dir = detect_run(run, still_told)
            check()
            return run_dir

        yield complete


def _show(run_dir: Path) -> None:
    from flows.console import campaign_table

    out.print(campaign_table(run_dir))
    out.print(f"run     {run_dir}", soft_wrap=True)
    out.print(f"report  {run_dir / 'report.html'}", soft_wrap=True)


@app.command
def evaluate(
    run_dir: Path, /, *, truth: Path, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False
) -> None:
    """Compare a run over a simulated log with the truth.

    Parameters
    ----------
    run_dir
        The folder of a run.
    truth
        Parquet of account_id and kind, as simulate writes it.
    as_json
        Print all numbers as JSON.

    """
    from flows.console import score_of, score_table

    score = score_of(_run_dir(run_dir), truth)
    if as_json:
        sys.stdout.write(json.dumps(score.as_dict(), indent=1) + "\n")
    else:
        out.print(score_table(score))


@app.command
def show(run_dir: Path, campaign: str | None = None, /) -> None:
    """Show the campaigns of a run, or one of them.

    Parameters
    ----------
    run_dir
        The folder of a run.
    campaign
        The id of a campaign.

    """
    from polars.exceptions import ColumnNotFoundError

    from flows.console import LACKING, campaign_table, case_view

    folder = _run_dir(run_dir)
    try:
        parts = [campaign_table(folder)] if campaign is None else case_view(folder, campaign)
    except (KeyError, ColumnNotFoundError):
        raise InputError(LACKING.format(folder)) from None
    if not parts:
        raise InputError(f"{folder} has no campaign {campaign!r}")
    for part in parts:
        out.print(part)


def _run_dir(folder: Path) -> Path:
    """Return the folder of a run; an output folder stands for its newest run."""
    latest = folder / "latest.json"
    if os.path.isfile(latest):  # pathlib's raises in a folder that may not be entered
        try:
            folder = folder / json.loads(latest.read_text())["run_dir"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{latest} cannot be read, or names no run") from None
    if not os.path.isfile(folder / "campaigns.parquet"):
        raise InputError(f"{folder} is not the folder of a run: it has no campaigns.parquet")
    return folder


def read_time(text: str | None, option: str) -> int | None:
    """Read a day or a time as microseconds UTC; without a zone it is UTC."""
    if text is None:
        return None
    try:
        found = microseconds(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise InputError(f"{option} {text}: expected a day or a time such as 2026-06-01T12:00") from None
    if not EARLIEST < found <= LATEST:
        raise InputError(f"{option} {text}: expected a time between 0001-01-01 and 9999-12-31")
    return found


def log_to_stderr() -> None:
    """Show warnings; HYDRASCOPE_LOG=INFO shows more. What Prefect has to say goes to its server."""
    handler = logging.StreamHandler()
    handler.addFilter(lambda record: not record.name.startswith("prefect"))
    level = os.environ.get("HYDRASCOPE_LOG", "WARNING").upper()
    if level not in (levels := logging.getLevelNamesMapping()):
        raise InputError(f"HYDRASCOPE_LOG={level}: expected one of {', '.join(levels)}")
    handler.setLevel(level)
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", handlers=[handler])
