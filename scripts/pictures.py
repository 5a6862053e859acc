"""Takes the documentation's pictures: a server with a few models in all states, its pages in Chromium."""

from __future__ import annotations

import itertools
import json
import math
import re
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
import requests
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.browser import ARGS, CHROMIUM, PAGE_MS  # noqa: E402
from support.server import TrackingServer  # noqa: E402

BROKEN = str(ROOT / "tests" / "served_models" / "broken.py")
PASSENGERS = pd.DataFrame(
    {
        "Pclass": [3, 1, 3, 1, 3, 3, 1, 3],
        "Sex": ["male", "female", "female", "female", "male", "male", "male", "male"],
        "Age": [22.0, 38.0, 26.0, 35.0, 35.0, None, 54.0, None],
        "Fare": [7.25, 71.28, 7.92, 53.1, 8.05, 8.46, 51.86, 21.07],
    }
)
SURVIVED = [0, 1, 1, 1, 0, 0, 0, 0]
SIZE = {"width": 1360, "height": 1000}
TALL = {"width": 1360, "height": 1180}
ASSISTANT = "[data-component-id='mlflow.assistant.chat_panel.close']"
LOAD_S = 180
ENDPOINT = {
    "name": "passengers",
    "description": "Who survives: the present model, and the next one for a tenth of the callers.",
    "config": {
        "served_entities": [
            {"name": "present", "entity_name": "titanic", "entity_version": "2", "config": {"threads": 1}},
            {"name": "next", "entity_name": "titanic", "entity_version": "@champion", "config": {"threads": 1}},
        ],
        "traffic_config": {
            "routes": [
                {"served_model_name": "present", "traffic_percentage": 90},
                {"served_model_name": "next", "traffic_percentage": 10},
            ]
        },
        "shadow": {"served_model_name": "next", "percentage": 50},
        "request_log": {"enabled": True},
    },
}
DARK = "_mlflow_dark_mode_toggle_enabled"


def log_passengers(name: str, least: int = 1) -> None:
    """A classifier with ages that are not known, and an input example that holds one of them. ``least``: in a leaf."""
    encode = make_column_transformer((OrdinalEncoder(), ["Sex"]), remainder="passthrough")
    model = make_pipeline(encode, HistGradientBoostingClassifier(min_samples_leaf=least)).fit(PASSENGERS, SURVIVED)
    # Its own format of files takes no encoder of strings.
    mlflow.sklearn.log_model(
        model,
        name="model",
        input_example=PASSENGERS.tail(5),
        registered_model_name=name,
        serialization_format="cloudpickle",
        pip_requirements=["scikit-learn"],
    )


def log_cautious(name: str) -> None:
    """Another classifier, which answers otherwise."""
    log_passengers(name, least=5)


def log_broken(name: str) -> None:
    """A model that cannot be loaded."""
    mlflow.pyfunc.log_model(name="model", python_model=BROKEN, registered_model_name=name, pip_requirements=["mlflow"])


def prepare(server: TrackingServer) -> None:
    """Models that are ready, degraded, failed and without a version."""
    mlflow.set_tracking_uri(server.url)
    for name, steps in {
        "titanic": (log_passengers, log_passengers, log_cautious),
        "titanic-next": (log_passengers, log_broken),
        "licences": (log_broken,),
        "planned": (),
    }.items():
        if not steps:
            server.client.create_registered_model(name)
        for step in steps:
            step(name)
    server.client.transition_model_version_stage("titanic", "1", "Archived")
    server.client.transition_model_version_stage("titanic", "2", "Production")
    server.client.set_registered_model_alias("titanic", "champion", "3")
    for name in ("titanic", "titanic-next", "licences", "planned"):
        server.enable(name)
    # One thread, as the machine may be busy.
    config = {"request_log": {"enabled": True}, "threads": 1}
    server.api("PUT", "update-compute-config", registered_model_name="titanic", config=config)


def ask(server: TrackingServer) -> None:
    """Requests for some minutes, more and fewer, to two versions and to a serving endpoint; a few are wrong."""
    few, all_rows = (
        {"dataframe_split": json.loads(PASSENGERS.tail(rows).to_json(orient="split", index=False))} for rows in (3, 5)
    )
    versions = ["model/titanic/3"] * 5 + ["model/titanic/2"] * 3
    places = itertools.cycle([*versions, *["serving-endpoints/passengers"] * 4])
    with requests.Session() as session:
        begin = time.monotonic()
        for number, place in enumerate(places, 1):
            passed = time.monotonic() - begin
            if passed > LOAD_S:
                break
            session.post(
                f"{server.url}/{place}/invocations",
                json=(few if number % 5 else all_rows) if number % 50 else {},
                timeout=60,
            )
            time.sleep(0.02 + 0.05 * (1 + math.sin(passed / 12)))


def a_page(browser: Browser, server: TrackingServer, theme: str) -> Page:
    """MLflow's pages in a theme, without its assistant."""
    page = browser.new_page(viewport=SIZE)
    page.set_default_timeout(PAGE_MS)
    page.goto(f"{server.url}/#/models")
    page.evaluate(f"localStorage.setItem('{DARK}', '{str(theme == 'dark').lower()}')")
    page.reload()
    expect(page.locator("main")).to_be_visible()
    close = page.locator(ASSISTANT)
    if close.count():
        # A dialog that greets may lie above it.
        close.dispatch_event("click")
    return page


def go(page: Page, server: TrackingServer, place: str) -> None:
    """Open an address anew: MLflow shows a blank page when only the part behind # changes from model to model."""
    page.goto("about:blank")
    page.goto(f"{server.url}/#/{place}")


def take(page: Page, server: TrackingServer, directory: Path, end: str) -> None:
    """A prediction, charts, a degraded endpoint, a serving endpoint, and the overview."""
    page.set_viewport_size(TALL)
    go(page, server, "models/titanic?tab=serving")
    expect(page.get_by_role("status", name="Status")).to_contain_text("Ready")
    page.get_by_role("button", name="Load Example").click()
    page.get_by_role("button", name="Send Request").click()
    expect(page.get_by_role("columnheader", name="prediction")).to_be_visible()
    page.screenshot(path=directory / f"serving-tab{end}.png")
    page.set_viewport_size(SIZE)
    go(page, server, "models/titanic?tab=serving&view=requests")
    with page.expect_response(re.compile("list-requests.*endpoint_version_name=2")):
        page.get_by_label("Answered by").select_option("Version 2")
    page.get_by_role("table", name="Logged requests").get_by_role("button").nth(1).click()
    opened = page.get_by_role("region", name="Logged request")
    opened.get_by_label("to").select_option("Version 3")
    opened.get_by_role("button", name="Send Again").click()
    expect(opened.get_by_text(re.compile("predictions differ|equals"))).to_be_visible()
    opened.scroll_into_view_if_needed()
    page.screenshot(path=directory / f"serving-requests{end}.png")
    now = int(time.time() * 1000)
    go(page, server, f"models/titanic?tab=serving&view=charts&range={now - 300_000}-{now}")
    page.get_by_role("figure", name="Requests per second").scroll_into_view_if_needed()
    expect(page.get_by_role("slider", name="Memory over time")).to_be_visible()
    page.screenshot(path=directory / f"serving-charts{end}.png")
    go(page, server, "serving-endpoints/passengers?view=config")
    expect(page.get_by_role("region", name="Shadow").first).to_contain_text("compared")
    page.get_by_text("Last answers that differ").click()
    page.get_by_text("predictions differ").first.click()
    expect(page.get_by_role("region", name="Answer of the shadow next")).to_be_visible()
    page.screenshot(path=directory / f"serving-endpoint{end}.png")
    go(page, server, "models/titanic-next?tab=serving")
    expect(page.get_by_role("status", name="Status")).to_contain_text("Degraded")
    # Not the log, which the page shows first of a version that failed: its lines name directories of this machine.
    page.get_by_role("tab", name="Events").click()
    expect(page.get_by_role("tabpanel", name="Events")).to_contain_text("licence")
    page.screenshot(path=directory / f"serving-tab-failed{end}.png")
    go(page, server, "serving")
    expect(page.get_by_role("table", name="Served models").get_by_role("row")).to_have_count(5)
    expect(page.get_by_role("table", name="Serving endpoints").get_by_role("row")).to_have_count(2)
    page.screenshot(path=directory / f"serving-overview{end}.png")


def main(directory: Path) -> None:
    """Write the pictures into a directory; those in dark end in ``-dark``."""
    with TrackingServer(workers=1) as server:
        prepare(server)
        server.wait_ready("titanic", 2, 3)
        requests.post(f"{server.url}/api/2.0/serving-endpoints", json=ENDPOINT, timeout=60).raise_for_status()
        ask(server)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
            for theme, end in (("light", ""), ("dark", "-dark")):
                take(a_page(browser, server, theme), server, directory, end)
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
