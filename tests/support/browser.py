"""A page of MLflow's in a real Chromium: Debian's, or whichever is on PATH."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Page

from support.server import TrackingServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP tracking.test 127.0.0.1",
]
NAMED = "tracking.test"
"""A host that the browser takes for another machine."""
PAGE_MS = 90_000
OURS = ("mlflow-serving", "/endpoints", "/model/", "/token/")
"""Parts of the addresses that our own pages ask for."""

PICTURES = Path(__file__).parent.parent / "output"


class Tab:
    """One page of MLflow's in a browser, and whatever went wrong in it."""

    def __init__(self, page: Page, server: TrackingServer, url: str = "") -> None:
        self.page = page
        self.server = server
        self._url = url or server.url
        self.problems: list[str] = []
        page.set_default_timeout(PAGE_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))

    def open(self, address: str) -> None:
        """Go to an address of MLflow's pages, say ``#/models/iris``."""
        self.page.goto(f"{self._url}/{address}")

    def open_tab(self, name: str) -> None:
        """Open a model's page, and its Serving tab by a click."""
        self.open(f"#/models/{name}")
        self.page.get_by_role("tab", name="Serving").click()

    def picture(self, name: str) -> None:
        """What the page looks like now, for a person to see."""
        PICTURES.mkdir(exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png")

    def _heard(self, message: ConsoleMessage) -> None:
        url = message.location.get("url", "")
        # MLflow's own pages ask for things that a server without authentication, or one offline, does not have.
        missing = message.text.startswith("Failed to load resource") and not any(part in url for part in OURS)
        # And they are laid out anew while they are being looked at, which a browser only mentions.
        of_mlflow = missing or "ResizeObserver loop" in message.text
        if message.type == "error" and not of_mlflow:
            self.problems.append(f"console: {message.text} {url}")
