"""What people do on the Serving tab, done in a real browser on a real server."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys

import pytest
from playwright.sync_api import Browser, expect
from support.browser import AXE, PAGE_MS, Tab
from support.models import Models, register
from support.server import TrackingServer

PLACES = ["#/models", "#/models/garden", "#/models/broken/versions/1", "#/experiments", "#/serving"]
REGISTRY_SWITCH = "_mlflow_user_setting_dismiss_next_model_registry_ui"
SEED = 363874
CLICKS = [20, pytest.param(40, marks=pytest.mark.matrix)]
AJAX = "/ajax-api/2.0/mlflow/endpoints"


def test_from_enabling_to_a_prediction_and_to_stopping(tab: Tab, models: Models) -> None:
    page = tab.page
    tab.open_tab("garden")
    expect(page.get_by_text("Serve this model")).to_be_visible()
    tab.picture("not-enabled")
    page.get_by_role("button", name="Enable Serving").click()
    status = page.locator(".endpoint .status")
    expect(status).to_contain_text("Ready", timeout=PAGE_MS)

    page.get_by_role("button", name="Load Example").click()
    assert "dataframe_split" in page.get_by_label("Request (JSON)").input_value()
    page.get_by_role("button", name="Send Request").click()
    response = page.get_by_label("Response", exact=True)
    expect(response.get_by_text("200 OK")).to_be_visible()
    expect(response.get_by_role("columnheader", name="prediction")).to_be_visible()
    expect(response.locator("[data-timing]")).to_contain_text("predict")
    tab.picture("prediction")

    page.get_by_role("button", name="Copy the URL of Version 1").click()
    url = page.evaluate("navigator.clipboard.readText()")
    assert url == f"{tab.server.url}/model/garden/1/invocations"
    page.get_by_role("tab", name="Curl").click()
    page.get_by_role("button", name="Copy the curl line").click()
    line = page.evaluate("navigator.clipboard.readText()")
    said = subprocess.run(["sh", "-c", f"{line} --silent"], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(said.stdout) == {"predictions": models.iris_predictions(1, models.iris.head(2))}
    page.get_by_role("tab", name="Python").click()
    page.get_by_role("button", name="Copy the Python program").click()
    program = page.evaluate("navigator.clipboard.readText()")
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "predictions" in said.stdout

    # While the page is open, a new version appears by itself.
    register(tab.server.client, "garden", models.path("iris-2"))
    second = page.get_by_role("table", name="Served versions").get_by_role("row", name="Version 2")
    expect(second).to_contain_text("Ready", timeout=PAGE_MS)
    second.get_by_role("button").click()
    expect(page.get_by_role("region", name="Version 2")).to_contain_text("/model/garden/2/invocations")

    page.get_by_role("tab", name="Events").click()
    expect(page.get_by_role("table").last).to_contain_text("Serving was enabled.")
    tab.picture("events")
    page.get_by_role("tab", name="Settings").click()
    page.get_by_label("Replicas", exact=True).fill("2")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved: Replicas.")).to_be_visible()
    tab.picture("settings")
    page.get_by_role("button", name="Stop", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Serving of all model versions will be stopped")
    dialog.get_by_role("button", name="Stop serving").click()
    expect(page.get_by_role("button", name="Enable Serving")).to_be_visible()
    assert tab.server.score("garden/1", {}).status_code == 404


def test_a_version_that_cannot_be_served_says_why_and_shows_its_log(tab: Tab) -> None:
    page = tab.page
    tab.open_tab("broken")
    page.get_by_role("button", name="Enable Serving").click()
    state = page.get_by_role("region", name="State of serving")
    expect(state).to_contain_text("Failed", timeout=PAGE_MS)
    expect(state).to_contain_text("the licence file is missing")
    expect(state).to_contain_text("Next try in")
    page.get_by_role("tab", name="Logs", exact=True).click()
    expect(page.get_by_role("region", name="Log", exact=True)).to_contain_text("Traceback")
    page.get_by_label("Show").select_option("Build of the environment")
    expect(page.get_by_role("region", name="Build log")).to_contain_text("No environment was built")
    tab.picture("failed")


def test_it_is_on_the_version_page_and_in_the_side_bar_too(tab: Tab) -> None:
    page = tab.page
    tab.open("#/models/garden/versions/1")
    page.get_by_role("tab", name="Serving").click()
    expect(page.get_by_role("heading", name="Serve this model")).to_be_visible()
    page.locator("[data-mlflow-serving-link] a").first.click()
    expect(page.get_by_role("heading", name="Serving", exact=True)).to_be_visible()
    tab.picture("overview")


def test_the_overview_counts_requests_while_it_is_open(tab: Tab, models: Models) -> None:
    tab.server.enable("quiet")
    tab.server.wait_ready("quiet", 1)
    (before,) = [
        sum(version["requests"] for version in overview["versions"])
        for overview in tab.server.api("GET", "list-overviews", base=AJAX)["overviews"]
        if overview["registered_model_name"] == "quiet"
    ]
    tab.open("#/serving")
    row = tab.page.get_by_role("row", name="quiet")
    count, lately = row.locator("td.count").last, row.locator("td.figure")
    expect(count).to_have_text(str(before))
    for _ in range(3):
        assert (
            tab.server.score(
                "quiet/1", {"dataframe_records": models.iris.head(1).to_dict(orient="records")}
            ).status_code
            == 200
        )
    expect(count).to_have_text(str(before + 3), timeout=PAGE_MS)
    expect(lately).to_have_text(
        [re.compile(r"^\d.* /s$"), re.compile(r"^\d.* ms$"), re.compile(r"^\d.* %$"), ""], timeout=PAGE_MS
    )
    head = tab.page.get_by_role("columnheader", name="Requests")
    expect(head).not_to_have_attribute("aria-sort", "descending")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")


@pytest.mark.parametrize("dismissed", ["true", "false"])
def test_it_is_there_in_both_of_mlflow_s_registry_pages(tab: Tab, dismissed: str) -> None:
    tab.page.add_init_script(f"localStorage.setItem('{REGISTRY_SWITCH}', '{dismissed}')")
    tab.open_tab("garden")
    expect(tab.page.get_by_role("heading", name="Serve this model")).to_be_visible()
    expect(tab.page.get_by_role("tab", name="Serving")).to_have_count(1)


def test_where_the_place_for_the_tab_is_not_found_the_side_bar_leads_to_the_same_view(tab: Tab) -> None:
    tab.page.add_init_script(
        """const find = Document.prototype.querySelector;
        Document.prototype.querySelector = function (what) {
            return what === "main h2" ? null : find.call(this, what);
        };"""
    )
    tab.open("#/models/garden")
    link = tab.page.locator("[data-mlflow-serving-link] a").first
    expect(link).to_have_attribute("href", "#/serving/garden")
    expect(tab.page.get_by_role("tab", name="Serving")).to_have_count(0)
    link.click()
    expect(tab.page.get_by_role("heading", name="Serve this model")).to_be_visible()


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: npm ci in js/")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_there_is_no_serious_barrier(tab: Tab, theme: str) -> None:
    page = tab.page
    tab.theme(theme)
    tab.server.enable("quiet")
    tab.server.wait_ready("quiet", 1)
    tab.open_tab("quiet")
    expect(page.get_by_role("button", name="Send Request")).to_be_visible()
    assert page.evaluate("document.body.classList.contains('dark-mode')") is (theme == "dark")
    tab.picture(f"versions-{theme}")
    for part in ("Try It", "Charts", "Logs", "Events", "Settings"):
        page.get_by_role("tab", name=part).click()
        assert tab.barriers() == [], part


WANDER = """(chance) => {
    const own = document.querySelector("mlflow-serving")?.shadowRoot?.querySelectorAll("[role=tab], a") ?? [];
    const all = [...document.querySelectorAll("a[href^='#/'], main [role=switch]"), ...own];
    const chosen = all[Math.floor(chance * all.length)];
    chosen?.click();
    return chosen?.textContent ?? "nothing";
}"""

# React has had its turn after the second frame.
COUNT = """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve({
    ours: document.querySelectorAll("mlflow-serving").length,
    links: document.querySelectorAll("[data-mlflow-serving-link]").length,
    pages: document.querySelectorAll("#root main").length,
}))))"""


@pytest.mark.parametrize("clicks", CLICKS)
def test_many_clicks_through_mlflow_leave_one_tab_and_no_error(tab: Tab, clicks: int) -> None:
    """Links, tabs, MLflow's switch of registry pages and the way back, by chance, the same at each run."""
    page = tab.page
    chance = random.Random(SEED)
    tab.open("#/models/garden")
    page.get_by_role("tab", name="Serving").wait_for()
    seen = set()
    for step in range(clicks):
        if chance.random() < 0.2:
            clicked = chance.choice(PLACES)
            tab.open(clicked)
        elif chance.random() < 0.1:
            clicked = "the way back"
            page.go_back()
            if page.url == "about:blank":
                tab.open(PLACES[0])
        else:
            clicked = page.evaluate(WANDER, chance.random())
        page.locator("main > *").first.wait_for(state="attached")
        where = f"step {step}: {clicked} → {page.url}"
        assert page.evaluate(COUNT) in ({"ours": n, "links": 1, "pages": 1} for n in (0, 1)), where
        assert tab.problems == [], where
        seen.add(page.url.partition("#")[2].partition("?")[0])
    assert len(seen) > 5, f"it got no further than {seen}"
    tab.open("#/models/garden")
    expect(page.get_by_role("tab", name="Serving")).to_have_count(1)
    page.get_by_role("tab", name="Details").click()
    # MLflow's own: the way up, and the versions.
    expect(page.locator("main a[href='#/models']").first).to_be_visible()
    expect(page.locator("main a[href='#/models/garden/versions/1']").first).to_be_visible()


def test_it_works_below_a_static_prefix(chromium: Browser, prefixed: TrackingServer, models: Models) -> None:
    register(prefixed.client, "potted", models.path("iris-1"))
    prefixed.enable("potted")
    prefixed.wait_ready("potted", 1)
    context = chromium.new_context()
    tab = Tab(context.new_page(), prefixed)
    tab.open_tab("potted")
    tab.page.get_by_role("button", name="Load Example").click()
    tab.page.get_by_role("button", name="Send Request").click()
    expect(tab.page.get_by_text("200 OK")).to_be_visible()
    expect(tab.page.get_by_role("region", name="Version 1")).to_contain_text("/mlflow/model/potted/1/invocations")
    context.close()
    assert tab.problems == []
    prefixed.api("POST", "disable", registered_model_name="potted")
