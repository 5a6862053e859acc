"""What a page of an origin in ``--cors-allowed-origins`` may do in a real browser, and a page of another may not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright
from support.browser import ARGS, CHROMIUM, PAGE_MS
from support.front import ALICE, Front
from support.matrix import APP, MODEL, OTHER_PAGE, ROWS

FETCH = """async ([method, url, headers, body]) => {
  try {
    const answer = await fetch(url, { method, headers, body });
    const text = method === "HEAD" ? "" : JSON.parse((await answer.text()) || "null");
    return [answer.status, answer.headers.get("X-Request-Id") !== null, text];
  } catch (error) {
    return String(error);
  }
}"""


class Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page</title>")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Its pages of both origins come from a server of this test."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Blank) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        here = f"127.0.0.1:{pages.server_port}"
        names = f"--host-resolver-rules=MAP app.example:3000 {here}, MAP evil.example:80 {here}"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGS, names])
        yield browser
        browser.close()
        pages.shutdown()


@pytest.fixture
def front() -> Iterator[Front]:
    running = Front("uvicorn")
    running.wait_ready()
    yield running
    running.terminate()
    running.close()


def test_an_allowed_page_scores_and_reads_errors_and_another_page_reads_nothing(browser: Browser, front: Front) -> None:
    sent = {"Content-Type": "application/json", "Authorization": ALICE}
    model, score = f"{front.url}/model/{MODEL}/1", json.dumps({"inputs": [1]})
    requests = {
        "score": ("POST", f"{model}/invocations", sent, score),
        "wrong password": ("POST", f"{model}/invocations", sent | {"Authorization": "Basic eA=="}, score),
        "no such version": ("POST", f"{model}9/invocations", sent, score),
        "no such path": ("POST", f"{front.url}/model/{MODEL}", sent, score),
        "ping": ("HEAD", f"{model}/ping", sent, None),
        "list": ("GET", f"{front.url}/api/2.0/mlflow/endpoints/list", sent, None),
        "health": ("GET", f"{front.url}/serving/health", {}, None),
    }
    read = {}
    for origin in (APP, OTHER_PAGE):
        page = browser.new_page()
        page.set_default_timeout(PAGE_MS)
        page.goto(origin)
        read[origin] = {what: page.evaluate(FETCH, list(request)) for what, request in requests.items()}
        page.close()
    assert set(read[OTHER_PAGE].values()) == {"TypeError: Failed to fetch"}
    allowed = read[APP]
    assert {what: answer[0] for what, answer in allowed.items()} == {
        "score": 200,
        "wrong password": 401,
        "no such version": 404,
        "no such path": 404,
        "ping": 200,
        "list": 200,
        "health": 503,
    }
    assert allowed["score"][1:] == [True, {"predictions": [0] * ROWS}]
    assert allowed["no such version"][2]["error_code"] == "RESOURCE_DOES_NOT_EXIST"
