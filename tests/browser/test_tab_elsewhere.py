"""The Serving tab where things are not as usual: over plain HTTP, on a page that MLflow has changed; and its logs."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from support.browser import NAMED, PAGE_MS, Tab
from support.server import TrackingServer

HIDE = """const find = Document.prototype.querySelector;
Document.prototype.querySelector = function (what) {
    return %s.includes(what) ? null : find.call(this, what);
};"""
TITLE, SIDE_BAR, BODY = "main h2", "aside nav ul, nav ul", "main"


def test_a_log_is_searched_followed_and_downloaded(tab: Tab, tmp_path: Path) -> None:
    page = tab.page
    tab.server.enable("quiet")
    tab.server.wait_ready("quiet", 1)
    tab.open_tab("quiet")
    page.get_by_role("tab", name="Logs", exact=True).click()
    log = page.get_by_role("region", name="Log", exact=True)
    expect(log).to_be_visible()
    before = log.inner_text()
    assert "no such input" not in before
    assert tab.server.score("quiet/1", {"dataframe_records": [{"no such input": 1}]}).status_code == 400
    expect(log).to_contain_text("no such input", timeout=PAGE_MS)
    assert log.inner_text().startswith(before[:200])

    page.get_by_label("Search").fill("NO SUCH input")
    expect(log).not_to_contain_text("Traceback")
    lines = log.inner_text().splitlines()
    assert lines and all("no such input" in line for line in lines)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "quiet-1.log"
    download.value.save_as(tmp_path / "log")
    assert "Traceback" in (tmp_path / "log").read_text()
    page.get_by_label("Search").fill("there is no such line")
    expect(log).to_have_text("No line matches the search.")


def test_copying_works_over_plain_http_from_another_machine(chromium: Browser, plain: TrackingServer) -> None:
    """Browsers give pages a clipboard over HTTPS, and on their own machine only."""
    url = f"http://{NAMED}:{plain.port}"
    context = chromium.new_context()
    tab = Tab(context.new_page(), plain, url)
    page = tab.page
    tab.open_tab("iris")
    page.get_by_role("button", name="Copy the URL of Version 1").click()
    assert page.evaluate("navigator.clipboard") is None
    expect(page.get_by_role("button", name="Copy the URL of Version 1")).to_have_text("Copied")
    body = page.get_by_label("Request (JSON)")
    body.fill("")
    body.press("ControlOrMeta+v")
    assert body.input_value() == f"{url}/model/iris/1/invocations"
    context.close()
    assert tab.problems == []


def test_a_link_floats_where_neither_the_tab_nor_the_side_bar_has_a_place(tab: Tab) -> None:
    tab.page.add_init_script(HIDE % [TITLE, SIDE_BAR])
    tab.open("#/models/garden")
    link = tab.page.locator("a[data-mlflow-serving-link]")
    expect(link).to_have_text("Serving")
    link.click()
    expect(tab.page.get_by_role("heading", name="Serve this model")).to_be_visible()


@pytest.mark.parametrize("address", ["#/serving", "#/serving/garden"])
def test_the_whole_window_is_taken_where_the_page_has_no_body_that_is_known(tab: Tab, address: str) -> None:
    tab.page.add_init_script(HIDE % [TITLE, SIDE_BAR, BODY])
    tab.open(address)
    ours = tab.page.locator("mlflow-serving[data-overlay]")
    expect(ours.get_by_role("heading").first).to_be_visible()
    box = ours.bounding_box()
    assert (box["x"], box["y"], box["width"]) == (0, 0, tab.page.viewport_size["width"])
