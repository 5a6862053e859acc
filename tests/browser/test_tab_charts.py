"""Numbers on the Serving tab: charts of a running load, a long overview, and a version that sleeps and wakes."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, Route, expect
from support import eventually
from support.browser import PAGE_MS, TOO_WIDE, Tab
from support.models import Models, register

AJAX = "/ajax-api/2.0/mlflow/endpoints"
REQUESTS = 30
MANY = 1000
DRAWN = """() => {
    const plots = [...document.querySelector("mlflow-serving").shadowRoot.querySelectorAll(".plot")];
    const colour = getComputedStyle(plots[0]).getPropertyValue("--line-0").trim();
    const wanted = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return plots.map((plot) => {
        const canvas = plot.querySelector("canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        for (let at = 0; at < data.length; at += 4) {
            const like = wanted.every((value, index) => Math.abs(data[at + index] - value) < 12);
            if (like && data[at + 3] > 200) return true;
        }
        return false;
    });
}"""
"""Which charts have something in the colour of the first line."""

ROWS = """() => document.querySelector("mlflow-serving").shadowRoot.querySelectorAll("tbody tr:not(.gap)").length"""


def counted(page: Page) -> float:
    """The requests that the table behind the first chart has, which are rates of steps of ten seconds."""
    cells = (
        page.get_by_role("region", name="Table of requests").locator("tbody tr td:not(:first-child)").all_inner_texts()
    )
    return sum(float(cell) * 10 for cell in cells if cell != "\N{EN DASH}")


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.matrix)])
def test_charts_draw_a_running_load_and_the_table_behind_them_counts_its_requests(
    tab: Tab, models: Models, theme: str
) -> None:
    page, name = tab.page, f"measured-{theme}"
    register(tab.server.client, name, models.path("iris-1"))
    tab.server.enable(name)
    tab.server.wait_ready(name, 1)
    body = {"dataframe_records": models.iris.head(1).to_dict(orient="records")}
    for _ in range(REQUESTS):
        assert tab.server.score(f"{name}/1", body).status_code == 200
    tab.theme(theme)
    tab.open(f"#/models/{name}?tab=serving")
    # From the figure to its chart.
    page.get_by_role("region", name="Figures").get_by_role("button", name=re.compile("^Requests")).click()
    chart = page.get_by_role("figure", name="Requests per second")
    expect(chart).to_be_visible(timeout=PAGE_MS)
    chart.get_by_text("Table of requests").click()
    cell = page.get_by_role("region", name="Table of requests").locator("td", has_text=re.compile(r"^[1-9.]"))
    expect(cell.first).to_be_visible(timeout=PAGE_MS)
    assert 0 < counted(page) <= REQUESTS + 1
    # Memory and processor time are measured some steps after the first request.
    eventually(lambda: page.evaluate(DRAWN).count(True) >= 6, tail=lambda: str(page.evaluate(DRAWN)))
    slider = page.get_by_role("slider", name="Requests over time")

    def looks_back() -> bool:
        slider.press("End")
        slider.press("ArrowLeft")
        return "The latest values" not in chart.locator("figcaption").inner_text()

    eventually(looks_back, tail=chart.inner_text)
    assert tab.barriers() == []
    tab.picture(f"charts-{theme}")
    page.get_by_label("Time range").last.select_option("Last 24 hours")
    page.wait_for_url("**range=24h")
    tab.narrow(420)
    assert page.evaluate(TOO_WIDE) == []
    tab.picture(f"charts-420-{theme}")
    tab.server.api("POST", "disable", registered_model_name=name)


def test_of_a_thousand_endpoints_only_those_in_view_are_drawn(tab: Tab) -> None:
    page, server = tab.page, tab.server
    server.enable("quiet")
    server.wait_ready("quiet", 1)
    reply = server.api("GET", "list-overviews", base=AJAX)
    (one,) = [found for found in reply["overviews"] if found["registered_model_name"] == "quiet"]
    many = [{**one, "registered_model_name": f"model-{number}"} for number in range(MANY)]
    many[500] |= {"label": "Failed", "tone": "failed", "state_message": "no disk"}

    def answer(route: Route) -> None:
        route.fulfill(body=json.dumps({**reply, "overviews": many}), content_type="application/json")

    page.route(re.compile("list-overviews"), answer)
    tab.open("#/serving")
    table = page.get_by_role("table", name="Served models")
    expect(table.get_by_role("row").nth(1)).to_contain_text("model-500")
    expect(table).to_have_attribute("aria-rowcount", str(MANY + 1))
    expect(page.get_by_role("button", name="Failed 1")).to_be_visible()
    assert page.evaluate(ROWS) < 100
    page.mouse.move(700, 700)
    page.mouse.wheel(0, 10_000_000)
    expect(page.get_by_role("link", name=f"model-{MANY - 1}")).to_be_in_viewport()
    expect(table.get_by_role("columnheader", name="Model")).to_be_in_viewport()
    assert page.evaluate(ROWS) < 100
    page.get_by_label("Search").fill("model-77")
    expect(table.get_by_role("row")).to_have_count(1 + 11)


def test_a_version_goes_to_sleep_and_wakes_in_front_of_the_reader(tab: Tab, models: Models) -> None:
    page, server = tab.page, tab.server
    register(server.client, "drowsy", models.path("iris-1"))
    server.enable("drowsy", min_replicas=0, idle_timeout_s=0.5)
    tab.open_tab("drowsy")
    row = page.get_by_role("table", name="Served versions").get_by_role("row", name="Version 1")
    expect(row).to_contain_text("Asleep", timeout=PAGE_MS)
    expect(row).to_contain_text("0 of")
    tab.picture("asleep")
    # Now that it sleeps, it shall stay awake afterwards, however slowly this test goes on.
    server.api("PUT", "update-compute-config", registered_model_name="drowsy", config={"idle_timeout_s": 3600})
    page.get_by_role("button", name="Load Example").click()
    page.get_by_role("button", name="Send Request").click()
    expect(page.get_by_label("Response", exact=True).get_by_text("200 OK")).to_be_visible()
    expect(row).to_contain_text("Ready", timeout=PAGE_MS)
    expect(row).to_contain_text("1 of")
    server.api("POST", "disable", registered_model_name="drowsy")
