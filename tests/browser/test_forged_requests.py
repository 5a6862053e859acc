"""What a page of another origin has a visitor's browser send to the server: it changes nothing and reads nothing.

The browser knows the visitor's password, and adds it by itself to what goes to the server.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, Response
from support.auth import ADMIN, ADMIN_PASSWORD, BasicAuthServer, client_of
from support.browser import PAGE_MS
from support.models import Models, register
from support.server import TrackingServer

FORGERIES = (Path(__file__).parent / "forgeries.js").read_text()
LEAVING = """({ action, method, spare }) => {
  const form = Object.assign(document.createElement("form"), { action, method });
  form.append(Object.assign(document.createElement("input"), { name: "registered_model_name", value: spare }));
  document.body.append(form);
  form.submit();
}"""
PATHS = {
    "endpoints": ["/api/2.0/mlflow/endpoints", "/ajax-api/2.0/preview/mlflow/endpoints-v2"],
    "tokens": ["/api/2.0/token", "/ajax-api/2.0/token"],
    "models": ["/model", "/ajax-model"],
    "serving": ["/ajax-api/2.0/serving-endpoints"],
}
ONE_OF_EACH = {routes: paths[:1] for routes, paths in PATHS.items()}
"""For what does not depend on the path."""

SERVED, SPARE = "coveted", "dormant"
"""The first is served in one version. The second is not, and must stay so."""

PLACES = {
    # The browser says "cross-site" of the first, since it thinks the server's address safe; of the others, nothing.
    "another name of this machine": ("localhost", "127.0.0.1"),
    "another port of this machine": ("127.0.0.1", "127.0.0.1"),
    "another port of the server": ("server.test", "server.test"),
    "another site": ("evil.test", "server.test"),
    "this machine, to a server elsewhere": ("localhost", "server.test"),
}
"""Whose page it is, and by which name it calls the server."""


def at_each_place(*in_ci: tuple[str, str]) -> pytest.MarkDecorator:
    """For a test at each place on each kind of server, of which CI runs some."""
    cells = [(server, place) for server in ("basic", "plain") for place in PLACES]
    marked = [pytest.param(*cell, marks=() if cell in in_ci else pytest.mark.matrix) for cell in cells]
    return pytest.mark.parametrize(("server", "place"), marked, indirect=["server"])


def on_both(in_ci: str) -> pytest.MarkDecorator:
    """For a test on each kind of server, of which CI runs one."""
    marked = [pytest.param(kind, marks=() if kind == in_ci else pytest.mark.matrix) for kind in ("basic", "plain")]
    return pytest.mark.parametrize("server", marked, indirect=True)


SAME_SITE = ("another port of this machine", "another port of the server")
"""From there, Chromium adds the password by itself. From elsewhere other browsers would, so there it is told to."""


class Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page</title><body>")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """The port of another web server, with an empty page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Blank) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def prepared() -> set[str]:
    """The servers that serve both models already: pytest asks for one anew with each place."""
    return set()


@pytest.fixture
def server(request: pytest.FixtureRequest, models: Models, prepared: set[str]) -> TrackingServer:
    """A server with a password and one without. ``evil.test`` is a name of neither, as after a DNS rebinding."""
    server = request.getfixturevalue(request.param)
    if request.param in prepared:
        return server
    prepared.add(request.param)
    with client_of(server) as client:
        register(client, SERVED, models.path("iris-1"))
        client.create_registered_model(SPARE)
    server.enable(SERVED, max_batch_rows=64)
    server.wait_ready(SERVED, 1)
    return server


@dataclass
class Visitor:
    """Somebody's browser in which they are signed in to the server, and all that it was answered."""

    page: Page
    server: TrackingServer
    answers: list[Response]

    def sign_in(self, host: str) -> str:
        """Look at the server once, so that the browser knows the password; the address."""
        address = f"http://{host}:{self.server.port}"
        self.page.goto(f"{address}/api/2.0/mlflow/endpoints/list")
        assert f'"registered_model_name":"{SERVED}"' in self.page.inner_text("body")
        return address

    def forge(self, target: str, token: str, paths: dict[str, list[str]]) -> dict[str, str | None]:
        """Have the present page try everything; what it could read."""
        self.answers.clear()
        what = {"target": target, "paths": paths, "token": token, "served": SERVED, "spare": SPARE}
        read = self.page.evaluate(FORGERIES, what)
        self.page.wait_for_load_state("networkidle")
        return read


@pytest.fixture
def visitor(chromium: Browser, server: TrackingServer) -> Iterator[Visitor]:
    credentials = {"username": ADMIN, "password": ADMIN_PASSWORD} if server.credentials else None
    context = chromium.new_context(http_credentials=credentials)
    page = context.new_page()
    page.set_default_timeout(PAGE_MS)
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - Playwright marks it
    yield Visitor(page, server, answers)
    context.close()


def state(server: TrackingServer) -> dict[str, Any]:
    """All that a forged request could change."""
    tokens = requests.get(f"{server.url}/api/2.0/token/list", headers=server.credentials, timeout=60).json()
    endpoints = server.api("GET", "list")["endpoints"]
    return {
        # Memory changes by itself.
        "endpoints": [{**endpoint, "memory_bytes": None} for endpoint in endpoints],
        "config": server.api("GET", "get-config", registered_model_name=SERVED),
        "events": server.api("GET", "get-event-history", registered_model_name=SERVED),
        "serving endpoints": serving_endpoints(server),
        "tokens": sorted(info["token_id"] for info in tokens.get("token_infos", [])),
    }


def serving_endpoints(server: TrackingServer) -> list[str]:
    """The names of the serving endpoints."""
    listed = requests.get(f"{server.url}/api/2.0/serving-endpoints", headers=server.credentials, timeout=60).json()
    return sorted(endpoint["name"] for endpoint in listed.get("endpoints", []))


def a_token(server: TrackingServer) -> str:
    """A token that is there to be deleted; on a server without users, the name of one."""
    if not isinstance(server, BasicAuthServer):
        return "a token"
    return server.mlflow("POST", "/api/2.0/token/create", comment="to be deleted")["token_info"]["token_id"]


# There the browser adds the password by itself.
@at_each_place(("basic", "another port of the server"))
def test_a_page_of_another_origin_changes_nothing(visitor: Visitor, elsewhere: int, place: str) -> None:
    of_page, of_server = PLACES[place]
    target = visitor.sign_in(of_server)
    token, server = a_token(visitor.server), visitor.server
    visitor.page.goto(f"http://{of_page}:{elsewhere}/")
    if place not in SAME_SITE:
        visitor.page.context.set_extra_http_headers(server.credentials)
    before = state(server)
    read = visitor.forge(target, token, PATHS)
    assert state(server) == before
    assert {attempt: text for attempt, text in read.items() if text is not None} == {}
    asked = [answer for answer in visitor.answers if answer.url.startswith(target)]
    posts = [answer for answer in asked if answer.request.method == "POST"]
    assert len(posts) > 100, "hardly anything reached the server"
    done = [answer for answer in asked if answer.request.method not in {"GET", "OPTIONS"} and answer.status < 400]
    assert [f"{answer.request.method} {answer.url}" for answer in done] == []
    # The browser did add the password: without one, nobody is told this.
    told = {answer.status for answer in asked if answer.url.endswith("/endpoints/list")}
    assert 200 in told, told


@at_each_place(("basic", "another site"), ("plain", "another site"))
def test_a_page_that_leaves_for_the_server_changes_nothing(visitor: Visitor, elsewhere: int, place: str) -> None:
    of_page, of_server = PLACES[place]
    target, server = visitor.sign_in(of_server), visitor.server
    before = state(server)
    for base in PATHS["endpoints"]:
        for method in ("GET", "POST"):
            visitor.page.goto(f"http://{of_page}:{elsewhere}/")
            with visitor.page.expect_navigation(url=f"{target}{base}/enable**") as left:
                visitor.page.evaluate(LEAVING, {"action": f"{target}{base}/enable", "method": method, "spare": SPARE})
            assert 400 <= left.value.status < 500, left.value.text()
    assert state(server) == before


# The victims are servers without a password: under another name, a browser would not add one.
@on_both(in_ci="plain")
def test_a_name_that_was_made_to_point_at_the_server_is_refused(visitor: Visitor) -> None:
    """A page of ``evil.test`` whose name now means this server is of the same origin, but of a name not allowed."""
    visitor.sign_in("server.test")
    token, server = a_token(visitor.server), visitor.server
    before = state(server)
    rebound = f"http://evil.test:{server.port}"
    assert visitor.page.goto(f"{rebound}/api/2.0/mlflow/endpoints/list").status == 403
    read = visitor.forge(rebound, token, ONE_OF_EACH)
    assert state(server) == before
    assert {answer.status for answer in visitor.answers if answer.url.startswith(rebound)} <= {403, 405}
    assert any(text and "DNS rebinding" in text for text in read.values()), "a page can read what is of its own origin"


@on_both(in_ci="basic")
def test_the_same_from_the_server_s_own_page_changes_everything(visitor: Visitor) -> None:
    """Else the tests above could not fail."""
    target = visitor.sign_in("127.0.0.1")
    token, server = a_token(visitor.server), visitor.server
    before = state(server)
    visitor.forge(target, token, ONE_OF_EACH)
    after = {info["registered_model_name"] for info in server.api("GET", "list")["endpoints"]}
    assert SPARE in after and SERVED not in after
    assert "forged" in serving_endpoints(server)
    if server.credentials:
        tokens = requests.get(f"{server.url}/api/2.0/token/list", headers=server.credentials, timeout=60).json()
        assert token not in {info["token_id"] for info in tokens["token_infos"]}
        assert len(tokens["token_infos"]) > len(before["tokens"])
