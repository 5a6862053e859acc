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
def tracked(plain: TrackingServer, models: Models) -> TrackingServer:
    """Three registered models for the pages, none of which is served at first: ``garden``, ``broken`` and ``quiet``."""
    for name, model in {"garden": "iris-1", "broken": "broken", "quiet": "unsigned"}.items():
        if not plain.client.search_registered_models(filter_string=f"name = '{name}'"):
            register(plain.client, name, models.path(model))
            move_stage(plain.client, name, 1, "Production")
    return plain


@pytest.fixture
def tab(chromium: Browser, tracked: TrackingServer) -> Iterator[Tab]:
    """A page of its own; that nothing went wrong in it is part of each test."""
    context = chromium.new_context(viewport={"width": 1360, "height": 1180})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=tracked.host)
    tab = Tab(context.new_page(), tracked)
    yield tab
    context.close()
    assert tab.problems == []
