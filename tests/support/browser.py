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
    # Hosts that the browser takes for other machines.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
]
NAMED = "tracking.test"
"""A host that the browser takes for another machine."""
PAGE_MS = 90_000
OURS = ("mlflow-serving", "/endpoints", "/model/", "/token/")
"""Parts of the addresses that our own pages ask for."""

PICTURES = Path(__file__).parent.parent / "output"
AXE = Path(__file__).parent.parent.parent / "js" / "node_modules" / "axe-core" / "axe.min.js"
_DARK = "_mlflow_dark_mode_toggle_enabled"
TOO_WIDE = """() => {
    const app = document.querySelector("mlflow-serving").shadowRoot.querySelector(".app");
    const wide = [...app.querySelectorAll("*")].filter((one) => {
        const scrolls = one.closest("pre, .scroll, .tabs, textarea, .unseen, thead");
        return !scrolls && one.getBoundingClientRect().right > app.getBoundingClientRect().right + 1;
    });
    return wide.map((one) => one.outerHTML.slice(0, 120));
}"""
"""What is cut off at the page's right edge."""


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

    def theme(self, name: str) -> None:
        """MLflow's theme: ``light`` or ``dark``. Loads the page anew where that has the other one."""
        dark = name == "dark"
        choice = f"localStorage.setItem('{_DARK}', '{str(dark).lower()}')"
        if self.page.url == "about:blank":
            self.page.add_init_script(choice)
        elif self.page.evaluate("document.body.classList.contains('dark-mode')") != dark:
            self.page.evaluate(choice)
            self.page.reload()

    def barriers(self) -> list[tuple[str, str]]:
        """What axe finds serious in our part of the page; nothing where axe is not installed."""
        if not AXE.exists():
            return []
        if not self.page.evaluate("'axe' in window"):
            self.page.add_script_tag(path=AXE)
        found = self.page.evaluate("axe.run('mlflow-serving').then((found) => found.violations)")
        return [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in {"serious", "critical"}]

    def narrow(self, width: int) -> None:
        """A narrow screen, without MLflow's own side bar and assistant, which leave nothing of such a screen."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.get_by_role("button", name="Toggle sidebar").click()
        assistant = self.page.locator("[data-component-id='mlflow.assistant.chat_panel.close']")
        if assistant.count():
            assistant.click()

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
