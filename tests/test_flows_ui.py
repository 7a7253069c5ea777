"""The Prefect UI in a real browser: the page of a run, its artifacts, the form of the settings."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.prefect_api import ask, latest_run, tasks_of, until
from tests.tiny import planted, report_all, use_tiny_encoder, write

pytestmark = [pytest.mark.prefect, pytest.mark.browser]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window, driven by selenium."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and chromium-driver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1600"):
        options.add_argument(word)
    options.binary_location = str(shutil.which("chromium"))
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(shutil.which("chromedriver"))))
    yield driver
    driver.quit()


def read(browser: Any, url: str, *expected: str) -> str:
    """Open a page and return its text once it says all that is expected."""
    browser.get(url)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        text = str(browser.execute_script("return document.body.innerText"))
        if all(word in text for word in expected):
            return text
        time.sleep(0.5)
    raise AssertionError(f"{[word for word in expected if word not in text]} not on {url}:\n{text}")


@pytest.fixture(scope="module")
def run_dir(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the flow that reported all it found."""
    from flows.detect import detect_run
    from flows.request import open_run
    from flows.settings import DetectSettings

    folder = tmp_path_factory.mktemp("ui")
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_encoder(patch.setattr)
        report_all(patch.setattr)
        settings = DetectSettings.model_validate({"work": {"served_at": "https://reports.example/found/"}})
        run = open_run(str(write(planted(), folder)), folder / "out", settings, (None, None))
        return detect_run(run, lambda stage, part, counts: None)


def artifact(url: str, key: str) -> str:
    run = {"id": {"any_": [latest_run()["id"]]}}
    found = ask("/artifacts/filter", flow_runs=run, artifacts={"key": {"any_": [key]}})
    return f"{url}/v2/artifacts/artifact/{found[0]['id']}"


@pytest.fixture
def ui(prefect_api: str) -> str:
    return prefect_api.removesuffix("/api")


def test_the_page_of_a_run_shows_its_name_tags_stages_and_artifacts(
    browser: Any, ui: str, run_dir: Path
) -> None:
    page = f"{ui}/v2/runs/flow-run/{latest_run()['id']}"
    text = read(
        browser, f"{page}?tab=Artifacts",
        "detect 2026-06-01", "Completed", "hydrascope", "log.parquet", "campaigns", "summary", "report",
        "detect-progress", "publish done",
    )  # fmt: skip
    assert text.count("PROGRESS") == 1
    until(lambda: len(tasks_of(latest_run())) == 21)
    read(browser, page, "21 Task runs")
    logs = read(browser, f"{page}?tab=Logs", 'sample: {"read": 1061', "views full: ")
    assert "careful tutor" not in logs


def test_the_artifacts_show_campaigns_counts_and_a_link_that_opens(
    browser: Any, ui: str, run_dir: Path
) -> None:
    ids = pl.read_parquet(run_dir / "campaigns.parquet")["campaign_id"]
    assert len(ids)
    table = read(browser, artifact(ui, "campaigns"), *ids, "accounts", "requests")
    assert "careful tutor" not in table
    read(browser, artifact(ui, "summary"), "in the window", "1,061", "kept", "seconds", "cluster")
    read(browser, artifact(ui, "report"), "report.html")
    link = browser.find_element("link text", "report.html").get_attribute("href")
    assert link.startswith("https://reports.example/found/date=2026-06-01/run_id=r")


def test_the_table_quotes_prompts_only_when_asked(browser: Any, ui: str, run_dir: Path) -> None:
    from prefect import flow

    from flows.artifacts import tell
    from flows.settings import WorkSettings

    flow(name="tell")(tell)(run_dir, run_dir.parents[1], WorkSettings(quote_in_ui=True))
    found = ask("/artifacts/latest/filter", artifacts={"key": {"any_": ["campaigns"]}})
    page = f"{ui}/v2/artifacts/artifact/{found[0]['latest_id']}"
    assert "careful tutor" in read(browser, page, "careful tutor")


def test_the_form_shows_what_each_setting_means_and_its_choices(
    tmp_path: Path, browser: Any, ui: str
) -> None:
    from flows.deploy import Plan, deployments

    made = deployments(Plan(log="log", output=tmp_path, name="form"))[0].apply()
    page = f"{ui}/v2/deployments/deployment/{made}/run"
    said = (
        "Where runs are published",
        "Seed of every random choice",
        "Most requests to look at",
        "Excess of mass",
    )
    shown = read(browser, page, *said)
    assert [words for words in said if words not in shown] == []
