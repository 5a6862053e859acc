"""The control API as web servers drive it: what is decided from a request's head, and who waits for whom."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from types import SimpleNamespace

import pytest
from support.api import ApiWorld

from mlflow_serving_plugin import connections
from mlflow_serving_plugin.access.forgery import BrowserRules
from mlflow_serving_plugin.control import Control
from mlflow_serving_plugin.gateway.asgi import AsgiGateway
from mlflow_serving_plugin.gateway.core import Gateway, HostServices
from mlflow_serving_plugin.gateway.wsgi import WsgiGateway
from mlflow_serving_plugin.settings import Settings

ENABLE = "/api/2.0/mlflow/endpoints/enable"
LIST = "/api/2.0/mlflow/endpoints/list"
ALICE = {"authorization": "Basic alice"}
JSON = {"content-type": "application/json"}
IRIS = json.dumps({"registered_model_name": "iris"}).encode()


class Doors:
    """A control API in front of in-memory collaborators, under both kinds of web server."""

    def __init__(self, directory, static_prefix="", **settings) -> None:
        self.world = ApiWorld(directory, static_prefix)
        self.world.access.users = {"Basic alice": "alice"}
        self.world.access.blocking = True
        self.gateway = Gateway(
            Settings(**settings), self.world.deps.snapshot, self.world.access, HostServices(directory / "nudge")
        )
        self.control = Control(
            self.world.app,
            self.world.access,
            rules=BrowserRules(lambda host: host != "evil", lambda origin: False, bearer_exempt=True),
            memory=self.gateway.memory,
            prefix=static_prefix,
        )

    @contextlib.asynccontextmanager
    async def uvicorn(self):
        driver = AsgiGateway(self.gateway)
        try:
            yield driver
        finally:
            await driver.close()

    async def ask(self, driver, method, path, headers=(), body=b"", *, silent=False, query=b""):
        """The reply, as sent on an event loop, and how much of the body was asked for before the reply.

        ``silent``: no body comes.
        """
        asked, sent = [], []

        async def receive():
            asked.append(1)
            if silent or len(asked) > 1:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.append(message | {"asked": len(asked)})

        raw = [(name.encode(), value.encode()) for name, value in dict(headers).items()]
        scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": query}
        await driver.serve(self.control.respond, scope, receive, send, path)
        replied = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return SimpleNamespace(status=sent[0]["status"], headers=replied, body=sent[1]["body"], asked=sent[1]["asked"])

    def on_uvicorn(self, *request, **options):
        async def ask():
            async with self.uvicorn() as driver:
                return await asyncio.wait_for(self.ask(driver, *request, **options), 30)

        return asyncio.run(ask())

    def on_gunicorn(self, method, path, headers=(), body=b"", *, query=b""):
        stream = io.BytesIO(body)
        environ = {
            "REQUEST_METHOD": method,
            "QUERY_STRING": query.decode(),
            "wsgi.input": stream,
            "wsgi.input_terminated": True,
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in dict(headers).items()},
        }
        environ |= {name: environ.pop(f"HTTP_{name}", "") for name in ("CONTENT_TYPE", "CONTENT_LENGTH")}
        started = []
        driver = WsgiGateway(self.gateway)
        chunks = driver.serve(self.control.respond, environ, lambda *given: started.append(given), path)
        status, headers = started[0]
        replied = {name.lower(): value for name, value in headers}
        return SimpleNamespace(
            status=int(status.split()[0]), headers=replied, body=b"".join(chunks), asked=stream.tell()
        )


@pytest.fixture
def doors(short):
    made = Doors(short)
    yield made
    made.world.close()


@pytest.fixture(params=["uvicorn", "gunicorn"])
def ask(request, doors):
    return getattr(doors, f"on_{request.param}")


def test_a_request_gets_through_with_its_query_its_body_and_its_headers(ask, doors):
    assert ask("POST", ENABLE, ALICE | JSON | {"content-length": str(len(IRIS))}, IRIS).status == 200
    found = ask("GET", "/api/2.0/mlflow/endpoints/get-status", ALICE, query=b"registered_model_name=iris")
    assert (found.status, json.loads(found.body)["endpoint_status"]["registered_model_name"]) == (200, "iris")
    assert found.headers["content-length"] == str(len(found.body))
    assert found.headers["cache-control"] == "no-store"
    head = ask("HEAD", LIST, ALICE)
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", ENABLE, {}, 401),
        ("POST", ENABLE, {"authorization": "Basic mallory"}, 401),
        ("GET", LIST, {}, 401),
        ("POST", ENABLE, ALICE | {"content-length": "3000000"}, 413),
        ("POST", ENABLE, ALICE | {"content-length": "x"}, 400),
        ("POST", ENABLE, ALICE | {"origin": "http://elsewhere", "host": "here"}, 403),
        ("POST", ENABLE, ALICE | {"host": "evil"}, 403),
        ("GET", ENABLE, ALICE, 405),
        ("POST", "/api/2.0/mlflow/endpoints/nonsense", ALICE, 404),
        ("POST", "/serving/health", {}, 405),
    ],
)
def test_what_the_head_rules_out_is_refused_before_a_byte_of_the_body_is_read(ask, method, path, headers, status):
    reply = ask(method, path, JSON | headers, IRIS)
    assert (reply.status, reply.asked) == (status, 0), reply.body
    assert json.loads(reply.body)["error_code"]
    assert reply.headers["cache-control"] == "no-store"


def test_health_needs_no_thread_and_no_body(doors, monkeypatch):
    monkeypatch.setattr(connections, "_PAUSE_S", 0.01)
    reply = doors.on_uvicorn("GET", "/serving/health", {"content-length": "100"}, silent=True)
    assert (reply.status, reply.asked) == (503, 0)
    assert json.loads(reply.body)["controller"]["alive"] is False


def test_silent_connections_of_those_who_are_let_in_keep_nobody_from_the_control_api(doors):
    async def crowd():
        async with doors.uvicorn() as driver:
            silent = [
                asyncio.ensure_future(
                    doors.ask(driver, "POST", ENABLE, ALICE | JSON | {"content-length": "100"}, silent=True)
                )
                for _ in range(200)
            ]
            await asyncio.sleep(0)
            answered = await asyncio.wait_for(doors.ask(driver, "GET", LIST, ALICE), 30)
            for task in silent:
                task.cancel()
            await asyncio.gather(*silent, return_exceptions=True)
            return answered

    assert asyncio.run(crowd()).status == 200


def test_a_body_that_does_not_come_is_refused_in_time(short):
    doors = Doors(short, body_timeout_s=0.2)
    reply = doors.on_uvicorn("POST", ENABLE, ALICE | JSON | {"content-length": "100"}, silent=True)
    doors.world.close()
    assert reply.status == 400
    assert "paused" in json.loads(reply.body)["message"]


def test_paths_below_a_static_prefix_are_known_by_their_whole_name(short):
    doors = Doors(short, "/mlflow")
    assert doors.on_uvicorn("GET", LIST, ALICE).status == 200
    doors.world.close()
