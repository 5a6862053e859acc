"""A real Chromium, and a real server for its pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright
from support.browser import ARGS, CHROMIUM, Tab
from support.models import Models, move_stage, register
from support.server import TrackingServer


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Not for the whole session: Playwright runs an event loop in this thread, and other tests run theirs."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: the Serving tab is not tested in a browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tracked(models: Models) -> Iterator[TrackingServer]:
    """Three registered models, none of which is served: ``iris``, ``broken`` and ``quiet``."""
    with TrackingServer("uvicorn") as server:
        register(server.client, "iris", models.path("iris-1"))
        move_stage(server.client, "iris", 1, "Production")
        register(server.client, "broken", models.path("broken"))
        register(server.client, "quiet", models.path("unsigned"))
        yield server


@pytest.fixture
def tab(chromium: Browser, tracked: TrackingServer) -> Iterator[Tab]:
    """A page of its own; that nothing went wrong in it is part of each test."""
    context = chromium.new_context(viewport={"width": 1360, "height": 1180})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=tracked.host)
    tab = Tab(context.new_page(), tracked)
    yield tab
    context.close()
    assert tab.problems == []
