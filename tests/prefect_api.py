"""Questions to the Prefect server of the tests."""

import time
from collections.abc import Callable
from typing import Any


def ask(path: str, **body: Any) -> Any:
    from prefect import get_client

    with get_client(sync_client=True) as client:
        return client.request("POST", path, json=body).json()


def until(found: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask until there is an answer; fail when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.5)
    raise AssertionError(f"nothing in {seconds} s")


def latest_run(flow: str = "detect") -> dict[str, Any]:
    """Return the run that began last, whatever else is scheduled."""
    begun = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
    which = {"flows": {"name": {"any_": [flow]}}, "flow_runs": begun}
    return dict(ask("/flow_runs/filter", **which, sort="START_TIME_DESC", limit=1)[0])


def tasks_of(run: dict[str, Any]) -> list[dict[str, Any]]:
    return list(ask("/task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}}, limit=200))


def logs_of(run: dict[str, Any]) -> list[str]:
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all()
    logs = ask("/logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}}, limit=200)
    return [log["message"] for log in logs]
