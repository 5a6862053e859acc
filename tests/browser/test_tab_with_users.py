"""The Serving tab on a server that knows who is at it: what somebody with READ may do there, and with MANAGE."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect
from support.auth import BasicAuthServer, client_of
from support.browser import PAGE_MS, Tab
from support.models import Models, move_stage, register

PASSWORD = "a long enough password"
WAY_IN = "MLFLOW_TRACKING_TOKEN"


@pytest.fixture(scope="module")
def guarded(basic: BasicAuthServer, models: Models) -> BasicAuthServer:
    """``orchard`` with one version, and three users: ``viewer``, ``manager`` and ``outsider``."""
    with client_of(basic) as client:
        register(client, "orchard", models.path("iris-1"))
        move_stage(client, "orchard", 1, "Production")
    for name, permission in {"viewer": "READ", "manager": "MANAGE", "outsider": None}.items():
        basic.add_user(name, PASSWORD)
        if permission:
            basic.grant(name, "orchard", permission)
    return basic


def audit(server: BasicAuthServer) -> list[tuple[str, str]]:
    """What happened to ``orchard``: types of events and messages, the latest first."""
    events = server.mlflow("GET", "/serving/audit")["events"]
    return [(e["event_type"], e["message"]) for e in events if e["registered_model_name"] == "orchard"]


@pytest.fixture
def tab_of(chromium: Browser, guarded: BasicAuthServer) -> Iterator[Callable[[str], Tab]]:
    """``tab_of("viewer")``: a browser of their own, which has the password already."""
    opened = []

    def open_as(name: str) -> Tab:
        context = chromium.new_context(
            viewport={"width": 1360, "height": 1180}, http_credentials={"username": name, "password": PASSWORD}
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=guarded.host)
        opened.append((context, Tab(context.new_page(), guarded)))
        return opened[-1][1]

    yield open_as
    for context, tab in opened:
        context.close()
        assert tab.problems == []


def test_who_may_read_scores_and_looks_and_who_may_manage_does_the_rest(
    tab_of: Callable[[str], Tab], guarded: BasicAuthServer, models: Models
) -> None:
    reader, manager = tab_of("viewer"), tab_of("manager")

    reader.open_tab("orchard")
    button = reader.page.get_by_role("button", name="Enable Serving")
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(reader.page.get_by_text("You need MANAGE permission on this registered model.")).to_be_visible()
    button.click(force=True)
    reader.picture("reader-not-enabled")

    manager.open_tab("orchard")
    manager.page.get_by_role("button", name="Enable Serving").click()
    for tab in (manager, reader):  # the reader's page learns of it by itself
        expect(tab.page.locator(".endpoint .status")).to_contain_text("Ready", timeout=PAGE_MS)
    assert audit(guarded) == [("ENDPOINT_ENABLED", "Serving was enabled by manager.")]

    page = reader.page
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_attribute("aria-disabled", "true")
    page.get_by_role("button", name="Load Example").click()
    page.get_by_role("button", name="Send Request").click()
    expect(page.get_by_label("Response", exact=True).get_by_text("200 OK")).to_be_visible()
    page.get_by_role("tab", name="Logs", exact=True).click()
    expect(page.get_by_role("region", name="Log", exact=True)).not_to_be_empty()
    _sees_charts_and_no_requests(reader)
    page.get_by_role("tab", name="Settings").click()
    expect(page.get_by_label("Replicas", exact=True)).to_be_disabled()
    expect(page.get_by_role("button", name="Save")).to_have_attribute("aria-disabled", "true")
    reader.picture("reader-settings")

    token = _make_a_token(reader)
    _run_what_the_tab_tells_to_run(reader, token, models)
    _revoke(reader)
    held = guarded.mlflow("GET", "/api/2.0/token/list")["token_infos"]
    assert [token for token in held if token["created_by_username"] == "viewer"] == []

    expect(manager.page.get_by_role("tab", name="Requests", exact=True)).to_be_visible()
    manager.page.get_by_role("tab", name="Settings").click()
    manager.page.get_by_label("Replicas", exact=True).fill("2")
    manager.page.get_by_role("button", name="Save").click()
    expect(manager.page.get_by_text("Saved: Replicas.")).to_be_visible()
    manager.page.get_by_role("button", name="Stop", exact=True).click()
    manager.page.get_by_role("dialog").get_by_role("button", name="Stop serving").click()
    expect(manager.page.get_by_role("button", name="Enable Serving")).to_be_visible()
    expect(button).to_be_visible(timeout=PAGE_MS)
    assert ("ENDPOINT_DISABLED", "Serving was disabled by manager.") in audit(guarded)


def test_who_may_not_read_a_model_is_told_so_and_shown_nothing(tab_of: Callable[[str], Tab]) -> None:
    tab = tab_of("outsider")
    tab.open("#/serving/orchard")
    expect(tab.page.get_by_role("alert")).to_contain_text("not found", timeout=PAGE_MS)
    tab.open("#/serving")
    expect(tab.page.get_by_role("heading", name="No model is served")).to_be_visible()
    # A browser counts the refusal itself as an error: one, not one for each time that the page could ask again.
    (refusal,) = tab.problems
    assert "404" in refusal
    tab.problems.clear()


def _sees_charts_and_no_requests(tab: Tab) -> None:
    page = tab.page
    page.get_by_role("tab", name="Charts", exact=True).click()
    expect(page.get_by_role("figure", name="Requests per second")).to_be_visible(timeout=PAGE_MS)
    expect(page.get_by_role("tab", name="Requests", exact=True)).to_have_count(0)
    # Nor by the address.
    tab.open("#/models/orchard?tab=serving&view=requests")
    expect(page.get_by_role("tab", name="Charts", exact=True)).to_be_visible()
    expect(page.get_by_role("tab", name="Requests", exact=True)).to_have_count(0)
    expect(page.get_by_label("Status code")).to_have_count(0)


def _make_a_token(tab: Tab) -> str:
    page = tab.page
    page.get_by_role("tab", name="Tokens").click()
    page.get_by_label("Comment").fill("a notebook")
    page.get_by_role("button", name="Create token").click()
    page.get_by_role("button", name="Copy the new token").click()
    token = str(page.evaluate("navigator.clipboard.readText()"))
    row = page.get_by_role("row", name="a notebook")
    expect(row).to_contain_text("Scoring orchard")
    assert token.startswith("mlsp_")
    tab.picture("tokens")
    return token


def _run_what_the_tab_tells_to_run(tab: Tab, token: str, models: Models) -> None:
    page = tab.page
    page.get_by_role("tab", name="Try It").click()
    expected = {"predictions": models.iris_predictions(1, models.iris.head(2))}
    for name, what, command in (
        ("Curl", "Copy the curl line", lambda text: ["sh", "-c", f"{text} --silent"]),
        ("Python", "Copy the Python program", lambda text: [sys.executable, "-c", text]),
    ):
        page.get_by_role("tab", name=name).click()
        expect(page.get_by_text("Create a token on the Tokens tab")).to_be_visible()
        page.get_by_role("button", name=what).click()
        text = page.evaluate("navigator.clipboard.readText()")
        assert token not in text
        said = subprocess.run(
            command(text), capture_output=True, text=True, timeout=60, check=True, env={**os.environ, WAY_IN: token}
        )
        assert json.loads(said.stdout.replace("'", '"')) == expected


def _revoke(tab: Tab) -> None:
    page = tab.page
    page.get_by_role("tab", name="Tokens").click()
    page.get_by_role("button", name="Revoke token a notebook").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("You have no tokens.")).to_be_visible()
