"""The tab Requests on a real request log: found, opened, sent again, and compared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from support import eventually
from support.browser import PAGE_MS, TOO_WIDE, Tab
from support.models import Models

IRIS = {"registered_model_name": "iris"}
PLACE = "#/models/iris?tab=serving&view=requests"
LONG_BYTES = 200
"""Longer than the body of one row of iris, and shorter than that of fifty."""


@pytest.fixture
def logged(tab: Tab, models: Models) -> Iterator[Tab]:
    """``iris`` with a log of three requests: one row, a body without columns of the model, and one that is too long."""
    server = tab.server
    turn_on(tab)
    try:
        row, many = (
            {"dataframe_split": models.iris.head(count).to_dict(orient="split", index=False)} for count in (1, 50)
        )
        # The first requests after the change may not be logged: web workers hear of the change a little later.
        eventually(lambda: server.score("iris/1", row).ok and listed(tab), within_s=60, tail=server.tail)
        sent = {
            server.score("iris/1", body).headers["X-Request-Id"]
            for body in (row, {"dataframe_records": [{"a": 1}]}, many)
        }
        eventually(lambda: sent <= listed(tab), within_s=60, tail=server.tail)
        yield tab
    finally:
        server.api("PUT", "update-compute-config", **IRIS, config={"request_log": None})


def turn_on(tab: Tab) -> None:
    """From the empty tab to the form that turns the log on."""
    page = tab.page
    tab.open(PLACE)
    expect(page.get_by_text("Requests are not logged.")).to_be_visible(timeout=PAGE_MS)
    tab.picture("requests-off")
    page.get_by_role("button", name="Set Up the Log").click()
    page.get_by_label("Log requests and answers").check()
    page.get_by_label("Longest body (bytes)").fill(str(LONG_BYTES))
    expect(page.get_by_role("region", name="Changes")).to_contain_text(
        "Log requests and answers: off \N{RIGHTWARDS ARROW} on."
    )
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved: Log requests and answers, Longest body (bytes).")).to_be_visible()
    config = tab.server.api("GET", "get-config", **IRIS)["config"]
    assert config["request_log"] == {"enabled": True, "max_payload_bytes": LONG_BYTES}
    page.get_by_role("tab", name="Requests", exact=True).click()


def listed(tab: Tab) -> set[str]:
    return {one["request_id"] for one in tab.server.api("GET", "list-requests", **IRIS, max_results=1000)["requests"]}


def test_a_logged_request_is_found_and_sent_again_and_its_answers_are_compared(logged: Tab) -> None:
    page = logged.page
    rows = page.get_by_role("table", name="Logged requests").locator("tbody tr")
    expect(rows.first).to_contain_text("200", timeout=PAGE_MS)
    page.get_by_label("Status code").select_option("4xx")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("400")
    page.get_by_label("Took at least (ms)").fill("600000")
    expect(page.get_by_text("No logged request matches.")).to_be_visible()
    page.get_by_label("Took at least (ms)").fill("")
    page.get_by_label("Status code").select_option("2xx")
    expect(rows.first).to_contain_text("200")
    # The newest is too long for the log.
    rows.first.get_by_role("button").click()
    opened = page.get_by_role("region", name="Logged request")
    expect(opened.get_by_text("Too large: the request is longer than max_payload_bytes.")).to_be_visible()
    expect(opened.get_by_role("button", name="Send Again")).to_have_count(0)
    rows.first.get_by_role("button").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(opened.get_by_role("region", name="Request", exact=True)).to_contain_text("sepal_length")
    opened.get_by_role("button", name="Send Again").click()
    expect(opened.get_by_text("The new answer equals the logged answer.")).to_be_visible()
    fits(logged, page)


def fits(tab: Tab, page: Page) -> None:
    assert tab.barriers() == []
    tab.picture("requests")
    tab.narrow(420)
    assert page.evaluate(TOO_WIDE) == []
    tab.picture("requests-420")
