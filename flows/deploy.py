"""Schedules and automations: what `hydrascope deploy` and `hydrascope serve` set up on a Prefect server."""

import warnings
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from prefect import get_client
from prefect import serve as serve_deployments
from prefect.automations import Automation, CallWebhook, ChangeFlowRunState, EventTrigger, Posture
from prefect.blocks.webhook import Webhook
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron
from prefect.types import SecretDict
from prefect.types.entrypoint import EntrypointType
from pydantic import SecretStr

from flows.artifacts import REPORTED
from flows.detect import detect
from flows.errors import InputError
from flows.server import QUIET
from flows.settings import FITTED, DetectSettings
from flows.upkeep import clean_up, refit

TAG = "hydrascope"  # of every run
NOT_IN_NAMES = "/%&<>"  # of Prefect's deployments
TELL = "hydrascope: tell of a reported campaign"
STUCK = "hydrascope: mark a stuck run"
SILENCE = timedelta(minutes=10)  # a run says every three minutes that it lives
ENDS = {
    f"prefect.flow-run.{state}"
    for state in ("Completed", "Failed", "Crashed", "Cancelled", "Paused", "Suspended")
}
UNHEARD = "Its process has not been heard of; the same run again resumes at the stage it was in."
ALIVE = "prefect.flow-run.heartbeat"
# Counts and ids only: the server keeps payloads, and whoever is called may.
PAYLOAD = """{
  "campaign": {{ event.payload.campaign | tojson }},
  "accounts": {{ event.payload.accounts }},
  "requests": {{ event.payload.requests }},
  "capability": {{ event.payload.capability | tojson }},
  "run_id": {{ event.payload.run_id | tojson }},
  "window_start": {{ event.payload.window_start | tojson }}
}"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is scheduled for one log. Times are cron lines in the zone, which follows daylight saving."""

    log: str
    output: Path
    name: str
    settings: DetectSettings = field(default_factory=DetectSettings)
    zone: str = "UTC"
    nightly: str = "30 2 * * *"
    weekly: str = "0 1 * * 0"
    cleaning: str = "0 5 * * *"
    webhook: str | None = None

    def __post_init__(self) -> None:
        """Refuse a cron line that is none, and what Prefect or nobody can call."""
        if not self.name or set(self.name) & set(NOT_IN_NAMES):
            raise InputError(f"--name {self.name!r}: expected a name without any of {' '.join(NOT_IN_NAMES)}")
        if self.webhook is not None and not _callable(self.webhook):
            raise InputError(f"--webhook {self.webhook!r}: expected a URL such as https://host/path")
        try:
            Cron(self.nightly)
        except ValueError:
            raise InputError(
                f"--nightly {self.nightly}: expected a cron line such as {Plan.nightly}"
            ) from None


def _callable(webhook: str) -> bool:
    try:
        url = urlsplit(webhook)
    except ValueError:  # brackets that hold no address
        return False
    return url.scheme in ("http", "https") and bool(url.hostname)


def deployments(plan: Plan, pool: str | None = None) -> list[RunnerDeployment]:
    """Return the deployments of a plan: nightly detection, the weekly refit, the clean-up.

    The refit has no schedule at work where the settings name another encoder than the fitted one.
    Each waits while an earlier run of its own is at work: one a log, late runs catch up in order.
    """
    one = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
    given: dict[str, Any] = {"log": plan.log, "output": str(plan.output), "zone": plan.zone}
    # of defaults the version's that runs: a new one may have others
    given["settings"] = plan.settings.model_dump(mode="json", exclude_defaults=True)
    at_work: dict[str, Any] = {"work_pool_name": pool, "job_variables": {"env": QUIET}} if pool else {}
    common = {"concurrency_limit": one, "entrypoint_type": EntrypointType.MODULE_PATH, **at_work}
    tags = [TAG, plan.name]
    made = [
        detect.to_deployment(
            f"{plan.name}-nightly",
            schedule=Cron(plan.nightly, timezone=plan.zone),
            parameters=given,
            description="Campaigns of the day that has closed.",
            tags=tags,
            **common,
        ),
        refit.to_deployment(
            f"{plan.name}-weekly",
            schedule=Cron(plan.weekly, timezone=plan.zone, active=plan.settings.encoder == FITTED),
            parameters=given,
            description="The encoder, fitted anew to the last seven days.",
            tags=tags,
            **common,
        ),
        clean_up.to_deployment(
            f"{plan.name}-cleaning",
            schedule=Cron(plan.cleaning, timezone=plan.zone),
            parameters={"output": str(plan.output)},
            description="Stale staging, superseded runs and unused encoders go.",
            tags=tags,
            **common,
        ),
    ]
    return cast("list[RunnerDeployment]", made)  # coroutines only inside an event loop


def deploy(plan: Plan, pool: str) -> list[str]:
    """Put a plan's deployments into a work pool of processes, and the automations; return their names."""
    made = deployments(plan, pool)  # what is at fault is said before anything is put on the server
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    for deployment in made:
        deployment.apply()
    automate(plan)
    return [f"{deployment.flow_name}/{deployment.name}" for deployment in made]


def serve(plan: Plan, limit: int = 1) -> None:
    """Put a plan's deployments and automations on the server and do their runs here, until stopped.

    The schedules go on while nobody serves them: what was due meanwhile is late, and caught up.
    """
    warnings.filterwarnings("ignore", "coroutine 'Runner.astop'")  # prefect 3.8.8, when told to end
    made = deployments(plan)
    automate(plan)
    serve_deployments(*made, limit=limit, pause_on_shutdown=False, print_starting_message=False)


def automate(plan: Plan) -> None:
    """Have the automations on the server: stuck runs are marked, a webhook is told of reported campaigns.

    Without a webhook nobody is told any more. One that is there as it should be stays: a new one would not
    know of the runs whose silence the old one is waiting for.
    """
    wanted = [stuck_run()]
    if plan.webhook:
        headers = SecretDict({"content-type": "application/json"})
        block = Webhook(method="POST", url=SecretStr(plan.webhook), headers=headers)
        name = blake2b(plan.name.encode(), digest_size=4).hexdigest()  # blocks are not called just anything
        wanted.append(reported_campaign(plan, block.save(f"hydrascope-{name}", overwrite=True)))
    there = [old for name in (STUCK, f"{TELL} of {plan.name}") for old in _named(name)]
    for old in there:
        if _asked(old) not in map(_asked, wanted):
            old.delete()
    for automation in wanted:
        if _asked(automation) not in map(_asked, there):
            automation.create()


def _asked(automation: Automation) -> dict[str, Any]:
    """Return an automation without what the server, or whoever switched it off there, gave it."""
    return automation.model_dump(exclude={"id", "owner_resource", "enabled"})


def _named(name: str) -> list[Automation]:
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/automations/filter", json={}).json()
    return [Automation.model_validate(one) for one in found if one["name"] == name]


def stuck_run() -> Automation:
    """Return the automation that marks a run as crashed when its process no longer says that it lives."""
    return Automation(
        name=STUCK,
        description="A killed process cannot say so: its silence is noticed.",
        trigger=EventTrigger(
            after={ALIVE},
            expect={ALIVE, *ENDS},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            match_related=_related("tag", "id", f"prefect.tag.{TAG}"),  # not other projects' runs
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[ChangeFlowRunState(name="Crashed", state=StateType.CRASHED, message=UNHEARD, force=False)],
    )


def reported_campaign(plan: Plan, webhook: Any) -> Automation:  # noqa: ANN401  (a UUID, or a coroutine)
    """Return the automation that calls a webhook once for each campaign that a plan's nightly runs report."""
    return Automation(
        name=f"{TELL} of {plan.name}",
        description="Ids and counts of a campaign, to whoever is to look at it.",
        trigger=EventTrigger(
            expect={REPORTED},
            match_related=_related("deployment", "name", f"{plan.name}-nightly"),
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[CallWebhook(block_document_id=webhook, payload=PAYLOAD)],
    )


def _related(role: str, label: str, value: str) -> ResourceSpecification:
    """Return what matches the events of runs that something of this role, and called so, belongs to."""
    return ResourceSpecification({"prefect.resource.role": [role], f"prefect.resource.{label}": [value]})
