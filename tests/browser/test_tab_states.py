"""The page tells the truth: states, versions that are not served, logs, and what a person typed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.browser import PAGE_MS, TOO_WIDE, Tab
from support.models import Models, move_stage, register

TALLEST_URL = """() => {
    const urls = document.querySelector("mlflow-serving").shadowRoot.querySelectorAll(".addresses code");
    return Math.max(...[...urls].map((one) => one.getBoundingClientRect().height));
}"""
FOCUSED = """() => {
    let one = document.activeElement;
    while (one.shadowRoot && one.shadowRoot.activeElement) one = one.shadowRoot.activeElement;
    return (one.getAttribute("aria-label") || one.innerText || one.id || "").trim();
}"""
AWAY = "Not up to date: The server did not answer. Trying again."


@pytest.fixture(scope="module")
def titanic(tracked, models: Models) -> str:
    """A served model: version 1 has an example with an age that is not known, version 2 a signature only."""
    register(tracked.client, "titanic", models.path("titanic"))
    register(tracked.client, "titanic", models.path("passengers"))
    tracked.enable("titanic")
    tracked.wait_ready("titanic", 1, 2)
    return "titanic"


def send(page: Page) -> None:
    page.get_by_label("Request (JSON)").press("ControlOrMeta+Enter")


def press_on_to(page: Page, name: str, key: str = "Tab") -> int:
    """Press a key until the element of this name has the focus; how often."""
    for presses in range(1, 100):
        page.keyboard.press(key)
        if page.evaluate(FOCUSED) == name:
            return presses
    raise AssertionError(f"{name} was not reached; at {page.evaluate(FOCUSED)}")


def test_from_a_frame_with_ages_that_are_not_known_to_a_prediction(tab: Tab, titanic: str) -> None:
    page, body = tab.page, tab.page.get_by_label("Request (JSON)")
    response = page.get_by_label("Response", exact=True)
    tab.open_tab(titanic)
    expect(page.get_by_text("Made from the signature.")).to_be_visible()
    page.get_by_role("button", name="Load Example").click()
    send(page)
    expect(response.get_by_text("200 OK")).to_be_visible()

    page.get_by_role("row", name="Version 1").get_by_role("button").click()
    expect(page.get_by_role("region", name="Version 1")).to_be_visible()
    assert "Fare" in body.input_value(), "the request was lost with the version"
    page.get_by_role("button", name="Load Example").click()
    expect(body).to_have_value(re.compile(r"\[null, 8\.46\]"))
    send(page)
    expect(response.get_by_text("200 OK")).to_be_visible()
    page.get_by_role("tab", name="Python").click()
    page.get_by_role("button", name="Copy the Python program").click()
    program = page.evaluate("navigator.clipboard.readText()")
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "predictions" in said.stdout

    page.reload()
    tab.narrow(420)
    page.get_by_role("button", name="Load Example").click()
    page.get_by_role("button", name="Send Request").click()
    expect(response.get_by_text("200 OK")).to_be_visible()
    assert page.evaluate(TOO_WIDE) == []


def test_a_typed_request_survives_everything_and_the_address_says_what_is_shown(tab: Tab, titanic: str) -> None:
    page, body = tab.page, tab.page.get_by_label("Request (JSON)")
    tab.open(f"#/models/{titanic}?tab=serving&version=1")
    typed = json.dumps({"dataframe_records": [{"Fare": 1.0}]})
    body.fill(typed)
    page.get_by_role("tab", name="Logs", exact=True).click()
    page.get_by_label("Version", exact=True).select_option("Version 2")
    page.wait_for_url("**version=2&view=logs")
    page.go_back()
    page.go_back()
    page.get_by_role("tab", name="Try It").click()
    assert "version=1" in page.url
    page.reload()
    expect(page.get_by_role("region", name="Version 1")).to_be_visible()
    expect(body).to_have_value(typed)
    send(page)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Age")
    assert "{" not in alert.inner_text()
    assert [problem for problem in tab.problems if "status of 400" not in problem] == []
    tab.problems.clear()
    body.press_sequentially("{")
    page.get_by_role("tab", name="Curl").click()
    expect(page.get_by_role("region", name="Text of the curl line")).to_contain_text("dataframe_split")


@pytest.mark.parametrize("width", [420, pytest.param(900, marks=pytest.mark.matrix)])
def test_nothing_is_cut_off_on_a_narrow_screen(tab: Tab, titanic: str, width: int) -> None:
    page = tab.page
    tab.open(f"#/models/{titanic}?tab=serving")
    tab.narrow(width)
    expect(page.get_by_role("region", name="Version 2")).to_be_visible()
    tab.picture(f"narrow-{width}")
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate(TALLEST_URL) < 100
    tab.open("#/serving")
    row = page.get_by_role("row", name=titanic)
    expect(row.get_by_text("Ready")).to_be_in_viewport()
    tab.picture(f"narrow-overview-{width}")
    assert page.evaluate(TOO_WIDE) == []


def test_a_failed_newest_version_an_archived_one_and_none_at_all_are_told_apart(tab: Tab, models: Models) -> None:
    page, client = tab.page, tab.server.client
    state = page.get_by_role("region", name="State of serving")
    client.create_registered_model("mixed")
    tab.server.enable("mixed")
    tab.open_tab("mixed")
    expect(state).to_contain_text("No versions", timeout=PAGE_MS)
    expect(page.get_by_role("heading", name="No active version")).to_be_visible()

    register(client, "mixed", models.path("iris-1"))
    register(client, "mixed", models.path("broken"))
    expect(state).to_contain_text("Degraded", timeout=PAGE_MS)
    expect(state).to_contain_text("1 of 2 versions failed. Version 2:")
    expect(state).to_contain_text("latest stays on version 1: version 2 has failed.")
    expect(state).to_contain_text("Next try in")
    tab.picture("degraded")

    move_stage(client, "mixed", 1, "Archived")
    expect(state).to_contain_text("Failed", timeout=PAGE_MS)
    expect(page.get_by_text("Not served, because archived: version 1.")).to_be_visible()
    tab.open("#/models/mixed/versions/1?tab=serving")
    expect(page.get_by_text("Version 1 is not served: it is archived.")).to_be_visible()
    expect(page.get_by_label("Request (JSON)")).to_have_count(0)
    tab.open("#/serving")
    names = page.locator("tbody .name")
    expect(names.filter(has_text="mixed")).to_be_visible()
    rows = page.get_by_role("table", name="Served models").get_by_role("row")
    failed = [row.inner_text() for row in rows.filter(has_text="Failed").all()]
    assert rows.nth(1).inner_text() in failed


def test_a_long_log_says_what_is_left_out_and_is_searched_and_downloaded_whole(
    tab: Tab, titanic: str, tmp_path: Path
) -> None:
    page = tab.page
    endpoint_id = tab.server.routes()["endpoints"][f"default/{titanic}"]["id"]
    (log_file,) = (tab.server.state / "logs").glob(f"{endpoint_id}/2.log")
    with log_file.open("a") as file:
        file.writelines(f"line {number}: of a model that says much\n" for number in range(20_000))
    tab.open(f"#/models/{titanic}?tab=serving&version=2&view=logs")
    log = page.get_by_role("region", name="Log", exact=True)
    expect(page.get_by_text("The last 262 kB of")).to_be_visible()
    expect(log).not_to_contain_text("line 42: ")
    page.get_by_label("Search").fill("line 42:")
    expect(log).to_have_text("line 42: of a model that says much")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "log")
    assert (tmp_path / "log").read_text().count("of a model that says much") == 20_000


def test_from_the_page_to_a_prediction_and_the_log_by_the_keyboard_alone(tab: Tab, titanic: str) -> None:
    page, response = tab.page, tab.page.get_by_label("Response", exact=True)
    tab.open(f"#/models/{titanic}")
    expect(page.get_by_role("tab", name="Serving")).to_be_visible()
    press_on_to(page, "Details")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("Made from the signature.")).to_be_visible()
    assert press_on_to(page, "Load Example") <= 22
    page.keyboard.press("Enter")
    press_on_to(page, "request-body")
    page.keyboard.press("Control+Enter")
    expect(response.get_by_text("200 OK")).to_be_visible()

    press_on_to(page, "Version 2", "Shift+Tab")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("region", name="Version 1")).to_be_visible()
    assert page.evaluate(FOCUSED) == "Version 1"
    press_on_to(page, "Try It")
    for part in ("Charts", "Requests", "Logs"):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name=part, selected=True)).to_be_visible()
    expect(page.get_by_role("region", name="Log", exact=True)).to_be_visible()
    press_on_to(page, "Stop", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate(FOCUSED) == "Stop", "the focus did not return to where the dialog came from"


def test_two_windows_change_one_endpoint_and_neither_undoes_the_other(tab: Tab, models: Models) -> None:
    register(tab.server.client, "windows", models.path("iris-1"))
    tab.server.enable("windows")
    address = "#/models/windows?tab=serving&view=settings"
    tab.open(address)
    one = tab.page
    one.get_by_label("Replicas", exact=True).fill("2")
    other = one.context.new_page()
    other.set_default_timeout(PAGE_MS)
    other.goto(f"{tab.server.url}/{address}")
    other.get_by_label("Batching", exact=True).select_option("off")
    other.get_by_role("button", name="Save").click()
    expect(other.get_by_text("Saved: Batching.")).to_be_visible()
    other.get_by_role("button", name="Stop", exact=True).click()
    other.get_by_role("dialog").get_by_role("button", name="Stop serving").click()
    expect(one.get_by_role("button", name="Enable Serving")).to_be_visible(timeout=PAGE_MS)
    other.get_by_role("button", name="Enable Serving").click()
    expect(one.get_by_label("Replicas", exact=True)).to_have_value("2", timeout=PAGE_MS)
    one.get_by_role("button", name="Save").click()
    expect(one.get_by_text("Saved: Replicas.")).to_be_visible()
    assert "view=settings" in one.url
    config = tab.server.api("GET", "get-config", base="/ajax-api/2.0/mlflow/endpoints", registered_model_name="windows")
    assert config["config"]["replicas"] == 2


def test_while_the_server_is_away_all_stays_and_it_goes_on_when_the_server_is_back(tab: Tab, titanic: str) -> None:
    page, body = tab.page, tab.page.get_by_label("Request (JSON)")
    tab.open_tab(titanic)
    page.get_by_role("button", name="Load Example").click()
    page.context.set_offline(True)
    expect(page.get_by_text(AWAY)).to_be_visible(timeout=PAGE_MS)
    expect(page.get_by_role("table", name="Served versions")).to_be_visible()
    send(page)
    expect(page.get_by_label("Response", exact=True).get_by_role("alert")).to_have_text("The server did not answer.")
    page.context.set_offline(False)
    expect(page.get_by_text(AWAY)).to_have_count(0, timeout=PAGE_MS)
    assert "Fare" in body.input_value()
    send(page)
    expect(page.get_by_label("Response", exact=True).get_by_text("200 OK")).to_be_visible()
    assert [problem for problem in tab.problems if "ERR_INTERNET_DISCONNECTED" not in problem] == []
    tab.problems.clear()
