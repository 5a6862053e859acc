"""Measure the overview of many endpoints in a real Chromium: its first paint, and the long tasks while one scrolls.

``python tests/benchmarks/bench_page.py [--endpoints 1000] [--rounds 3] [--json]``

A real server with so many models, each with serving enabled and without a version, for versions have workers.

- *first paint*: from the start of the navigation to the first painted frame with rows of the table, of a browser that
  has MLflow's own scripts in its cache; *of our own*: the part from our script's start on.
- *longest task*: milliseconds that the page's thread was busy without a pause, while the wheel turned for some seconds,
  with the answers that are polled meanwhile; tasks under 50 ms count as 0.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import BrowserContext, sync_playwright
from support.browser import ARGS, CHROMIUM, PAGE_MS
from support.server import TrackingServer

TURNS, TURN_PX, PAUSE_MS = 60, 900, 80

WATCH = """() => {
    window.longest = 0;
    window.painted = 0;
    new PerformanceObserver((found) => {
        for (const task of found.getEntries()) window.longest = Math.max(window.longest, task.duration);
    }).observe({ type: "longtask" });
    const look = () => {
        const root = document.querySelector("mlflow-serving")?.shadowRoot;
        if (!root?.querySelector("tbody tr:not(.gap) a")) return requestAnimationFrame(look);
        // In the frame after the next one the rows have been painted.
        requestAnimationFrame(() => requestAnimationFrame(() => { window.painted = performance.now(); }));
    };
    requestAnimationFrame(look);
}"""

STARTED = """() => {
    const ours = performance.getEntriesByType("resource").find((one) => one.name.includes("mlflow-serving.js"));
    return ours.responseEnd;
}"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoints", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    with TrackingServer(workers=1) as server, sync_playwright() as playwright:
        for number in range(arguments.endpoints):
            name = f"model-{number:04}"
            server.client.create_registered_model(name)
            server.enable(name)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        context = browser.new_context(viewport={"width": 1360, "height": 1000})
        rounds = [measure(context, f"{server.url}/#/serving", arguments.endpoints) for _ in range(arguments.rounds + 1)]
        browser.close()
    # The first round fills the browser's cache.
    results = {name: statistics.median(one[name] for one in rounds[1:]) for name in rounds[0]}
    results["longest_task_worst_ms"] = max(one["longest_task_ms"] for one in rounds[1:])
    table = "\n".join(f"{name.replace('_', ' '):36} {value:9.1f}" for name, value in results.items())
    print(json.dumps(results, indent=2) if arguments.json else table)


def measure(context: BrowserContext, address: str, endpoints: int) -> dict[str, float]:
    """Open the overview in a page of its own, and scroll to its end and back."""
    page = context.new_page()
    page.set_default_timeout(PAGE_MS)
    page.add_init_script(f"({WATCH})()")
    page.goto(address)
    page.wait_for_function("window.painted > 0")
    painted, started = page.evaluate("window.painted"), page.evaluate(STARTED)
    rows = page.get_by_role("table", name="Served models").get_attribute("aria-rowcount")
    assert rows == str(endpoints + 1), rows
    page.evaluate("window.longest = 0")
    page.mouse.move(700, 700)
    for turn in range(TURNS):
        page.mouse.wheel(0, TURN_PX if turn < TURNS / 2 else -TURN_PX)
        page.wait_for_timeout(PAUSE_MS)
    longest = page.evaluate("window.longest")
    page.close()
    return {"first_paint_ms": painted, "first_paint_of_our_own_ms": painted - started, "longest_task_ms": longest}


if __name__ == "__main__":
    main()
