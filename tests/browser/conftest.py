"""A real Chromium, and a real server for its pages.

The browser and its first window are there for all tests of this directory in a lane: a window of its own for each test
would load and compile MLflow's five megabytes of JavaScript each time, which takes longer than most tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright
from support.browser import ARGS, CHROMIUM, Tab
from support.models import Models, move_stage, register
from support.server import TrackingServer


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """Not for the whole session: Playwright runs an event loop in this thread, and other tests run theirs."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: nothing is tested in a browser")
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="package")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    # Pages of one site share a process, and with it what is compiled.
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGS, "--process-per-site"])
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def tracked(plain: TrackingServer, models: Models) -> TrackingServer:
    """Three registered models for the pages, none of which is served at first: ``garden``, ``broken`` and ``quiet``."""
    for name, model in {"garden": "iris-1", "broken": "broken", "quiet": "unsigned"}.items():
        if not plain.client.search_registered_models(filter_string=f"name = '{name}'"):
            register(plain.client, name, models.path(model))
            move_stage(plain.client, name, 1, "Production")
    return plain


@pytest.fixture(scope="package")
def window(chromium: Browser, tracked: TrackingServer) -> Iterator[BrowserContext]:
    """The window in which each test opens pages. Its first page keeps the process that has compiled them."""
    context = chromium.new_context(viewport={"width": 1360, "height": 1180})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=tracked.host)
    context.new_page().goto(f"{tracked.host}/health")
    yield context
    context.close()


@pytest.fixture
def tab(window: BrowserContext, tracked: TrackingServer) -> Iterator[Tab]:
    """A page of its own; that nothing went wrong in it is part of each test."""
    tab = Tab(window.new_page(), tracked)
    yield tab
    window.set_offline(False)
    first, *opened = window.pages
    for page in opened:
        page.close()
    first.evaluate("localStorage.clear()")
    assert tab.problems == []
