"""The commands for schedules and history."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from flows.cli import Log, Output, err, log_to_stderr, orchestrator, out, read_time
from flows.errors import InputError

if TYPE_CHECKING:
    from flows.deploy import Plan


def backfill(
    log: Log,
    /,
    *,
    output: Output,
    start: str,
    end: str,
    config: Path | None = None,
    plain: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Detect day by day, oldest first, the days that have no published run yet.

    Stop it and call it again as often as you like: finished days are skipped, a begun one is resumed.

    Parameters
    ----------
    log
        The prompt log, as for detect.
    output
        Where runs are published.
    start
        First day, UTC.
    end
        The day after the last.
    config
        Settings, as TOML, YAML or JSON.
    plain
        Run the stages with no orchestrator.

    """
    from flows.backfill import missing_days
    from flows.files import find_files
    from flows.request import open_run
    from flows.settings import read_settings
    from flows.source import open_source

    log_to_stderr()
    settings = read_settings(config)
    find_files(log)  # or one that is not there would pass for a log of days that are done
    bounds = read_time(start, "--start"), read_time(end, "--end")
    days = missing_days(output, lambda day: open_source(log, settings.columns, day).digests, *bounds)
    first = next(days, None)
    if first is None:
        out.print("every day has a published run")
        return
    run = open_run(log, output, settings, first)  # what is at fault is said before a server is started
    with orchestrator(plain) as complete:
        out.print(f"{complete(run)}", soft_wrap=True)
        for window in days:
            out.print(f"{complete(open_run(log, output, settings, window))}", soft_wrap=True)


def deploy(
    log: Log,
    /,
    *,
    output: Output,
    name: str = "hydrascope",
    pool: str = "hydrascope",
    config: Path | None = None,
    nightly: str | None = None,
    zone: str = "UTC",
    webhook: str | None = None,
) -> None:
    """Put the schedules for a log on the Prefect server: nightly, weekly and for cleaning.

    Parameters
    ----------
    log
        The prompt log, as for detect.
    output
        Where runs are published.
    name
        What the deployments are called, one name a log.
    pool
        Work pool of type process; made when it is not there.
    config
        Settings, as TOML, YAML or JSON.
    nightly
        When detection is due, as a cron line in the time zone; at half past two without it.
    zone
        Time zone of the schedules and of the days.
    webhook
        URL that is told of each reported campaign.

    """
    plan = _plan("deploy", log, output, name, config, nightly, zone, webhook)
    from flows.deploy import deploy as put

    for deployment in put(plan, pool):
        out.print(deployment)
    out.print(f"runs are done where `prefect worker start --pool {pool}` is running", soft_wrap=True)


def serve(
    log: Log,
    /,
    *,
    output: Output,
    name: str = "hydrascope",
    config: Path | None = None,
    nightly: str | None = None,
    zone: str = "UTC",
    webhook: str | None = None,
) -> None:
    """Keep the schedules for a log and do their runs on this machine, until stopped.

    Parameters
    ----------
    log
        The prompt log, as for detect.
    output
        Where runs are published.
    name
        What the deployments are called, one name a log.
    config
        Settings, as TOML, YAML or JSON.
    nightly
        When detection is due, as a cron line in the time zone; at half past two without it.
    zone
        Time zone of the schedules and of the days.
    webhook
        URL that is told of each reported campaign.

    """
    plan = _plan("serve", log, output, name, config, nightly, zone, webhook)
    from flows.deploy import serve as keep

    err.print(f"serving {name}: nightly, weekly and cleaning; Ctrl-C stops")
    keep(plan)


def _plan(
    command: str,
    log: str,
    output: Path,
    name: str,
    config: Path | None,
    nightly: str | None,
    zone: str,
    webhook: str | None,
) -> "Plan":
    """Return what is to be scheduled; refuse what makes no sense before anything is put on a server."""
    from flows.request import absolute
    from flows.server import check_answer, configured, set_defaults
    from flows.settings import FITTED, read_settings
    from flows.times import zone_of

    settings = read_settings(config)
    encoder = Path(os.path.expanduser(settings.encoder))
    if settings.encoder != FITTED and os.path.isdir(encoder):  # workers look from folders of their own
        settings = settings.model_copy(update={"encoder": absolute(str(encoder))})
    zone_of(zone, "--zone")
    set_defaults()
    if not configured():
        raise InputError(
            f"{command} needs a Prefect server: run `prefect server start` and set PREFECT_API_URL"
        )
    check_answer()
    from flows.deploy import Plan

    return Plan(
        log=absolute(log), output=output.absolute(), name=name, settings=settings,
        nightly=nightly or Plan.nightly, zone=zone, webhook=webhook,
    )  # fmt: skip
