"""The page of a serving endpoint: from a form to a prediction, and to another split."""

from __future__ import annotations

import re
import subprocess
import sys

from playwright.sync_api import Locator, Page, expect
from support.browser import PAGE_MS, TOO_WIDE, Tab

LIMIT = "Calls a minute, all callers together"


def fill(entity: Locator, name: str, version: str) -> None:
    entity.get_by_label("Name", exact=True).fill(name)
    entity.get_by_label("Registered model").fill("garden")
    entity.get_by_label("Version, @alias or stage").fill(version)


def test_from_a_form_to_a_split_that_programs_call_and_a_border_moves(tab: Tab) -> None:
    page = tab.page
    tab.open("#/serving")
    page.get_by_role("link", name="Create Serving Endpoint").click()
    page.get_by_label("Name of the endpoint").fill("bouquet")
    fill(page.get_by_role("group", name="Entity 1"), "one", "1")
    page.get_by_role("button", name="Add Entity").click()
    fill(page.get_by_role("group", name="Entity 2"), "two", "1")
    page.get_by_role("slider", name="Traffic of one, against two").press("PageDown")
    page.get_by_label(LIMIT).fill("2000000")
    changes = page.get_by_role("region", name="Changes")
    expect(changes).to_contain_text("Add one: garden, version 1, 90 % of the traffic.")
    assert tab.barriers() == []
    tab.picture("endpoint-form")
    page.get_by_role("button", name="Create", exact=True).click()
    page.wait_for_url("**/serving-endpoints/bouquet")
    expect(page.get_by_role("status", name="Status")).to_have_text(re.compile("Ready"), timeout=PAGE_MS)

    page.get_by_role("button", name="Load Example").click()
    page.get_by_role("button", name="Send Request").click()
    response = page.get_by_label("Response", exact=True)
    expect(response.get_by_text("200 OK")).to_be_visible()
    expect(response).to_contain_text(re.compile("answered by (one|two)"))
    programs = []
    for name, what in (("Databricks SDK", "databricks-sdk"), ("mlflow.deployments", "mlflow.deployments")):
        page.get_by_role("tab", name=name).click()
        page.get_by_role("button", name=f"Copy the program for {what}").click()
        programs.append(page.evaluate("navigator.clipboard.readText()"))
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(programs)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.count("predictions") == 2, done.stderr

    split_again(page)
    limit(page)
    filter_requests(page)
    page.get_by_role("tab", name="Configuration").click()
    for theme in ("light", "dark"):
        tab.theme(theme)
        expect(page.get_by_role("form", name="Rate limits")).to_be_visible()
        assert tab.barriers() == [], theme
        tab.picture(f"endpoint-config-{theme}")
    tab.narrow(420)
    for part in ("Try It", "Charts", "Requests", "Events", "Logs", "Configuration"):
        page.get_by_role("tab", name=part, exact=True).click()
        expect(page.get_by_role("tabpanel", name=part)).to_be_visible()
        assert page.evaluate(TOO_WIDE) == [], part
    tab.picture("endpoint-420")

    tab.open("#/serving")
    listed = page.get_by_role("table", name="Serving endpoints").get_by_role("row", name="bouquet")
    expect(listed).to_contain_text("one (garden, 1), two (garden, 1)")
    assert tab.barriers() == []
    tab.picture("overview-dark")
    listed.get_by_role("link").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete endpoint").click()
    expect(page.get_by_role("heading", name="Serving", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="bouquet")).to_have_count(0)


def split_again(page: Page) -> None:
    """Move a border by the keyboard, look at what changes, and apply the change."""
    page.get_by_role("tab", name="Configuration").click()
    border = page.get_by_role("slider", name="Traffic of one, against two")
    border.press("PageDown")
    border.press("ArrowRight")
    changes = page.get_by_role("region", name="Changes")
    expect(changes).to_contain_text("two: traffic 10 % \N{RIGHTWARDS ARROW} 19 %.")
    page.get_by_role("button", name="Apply").click()
    row = page.get_by_role("table", name="Entities", exact=True).get_by_role("row", name="two")
    expect(row).to_contain_text("19 %", timeout=PAGE_MS)
    expect(row).to_contain_text("Ready")
    expect(page.get_by_text("Configuration 2,")).to_be_visible(timeout=PAGE_MS)


def limit(page: Page) -> None:
    """Limit the calls a minute by the form."""
    expect(page.get_by_label(LIMIT)).to_have_value("2000000")
    page.get_by_label(LIMIT).fill("1000000")
    page.get_by_role("button", name="Save Limits").click()
    expect(page.get_by_text("Saved: the limits hold now.")).to_be_visible()


def filter_requests(page: Page) -> None:
    """Ask for the requests of one entity, of which there are none: nothing is logged."""
    page.get_by_role("tab", name="Requests", exact=True).click()
    with page.expect_response(re.compile("list-requests.*served_entity_name=two")) as found:
        page.get_by_label("Answered by").select_option("two")
    assert found.value.ok
    expect(page.get_by_text("Requests are not logged.")).to_be_visible()
