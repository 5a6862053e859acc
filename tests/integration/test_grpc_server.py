"""The gRPC server over a real socket, in front of the gateway, with TLS and without."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from support.gateway_fakes import FrameWorker, snapshot, until
from support.routes import an_entity, routes_of
from support.server import free_port

from mlflow_serving_plugin.domain.routes import WorkerRoute
from mlflow_serving_plugin.errors import ConfigurationError
from mlflow_serving_plugin.gateway.asgi import AsgiGateway
from mlflow_serving_plugin.gateway.core import Gateway, HostServices
from mlflow_serving_plugin.gateway.exchange import Exchange
from mlflow_serving_plugin.grpc.messages import SERVICE, message_class
from mlflow_serving_plugin.grpc.server import serve
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.testing import MemoryAccess

ALICE = (("authorization", "Basic YWxpY2U6eA=="), ("x-request-id", "mine"))
SENT = np.array([[0.5, 2]], "<f4")


class Served:
    """A gRPC server in a thread of this process, before a worker that answers with two numbers."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.settings = Settings(grpc_port=free_port(), **settings)
        self.exchanges: list[Exchange] = []
        self.worker = FrameWorker(root / "w", lambda *_: (200, "application/json", b'{"predictions": [0.5, null]}'))
        (root / "MLmodel").write_text("flavors: {}\n")
        workers = (WorkerRoute("w", "frames", str(root / "w"), os.getpid(), 0, ready=True),)
        routes = snapshot(root / "routes", routes_of(an_entity(model_dir=str(root), workers=workers)))
        self._gateway = Gateway(
            self.settings,
            routes,
            MemoryAccess(users={ALICE[0][1]: "alice"}),
            HostServices(root / "nudges"),
            observers=(self.exchanges.append,),
        )
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def call(self, channel: grpc.Channel, name: str, request: Any, metadata: Any = ALICE) -> tuple[Any, Any]:
        """The answer to one call, once the server is there, and the call's end."""
        method = channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=message_class(f"{name}Request").SerializeToString,
            response_deserializer=message_class(f"{name}Response").FromString,
        )
        return method.with_call(request, metadata=metadata, timeout=60, wait_for_ready=True)

    def stop(self) -> None:
        """End the server, then the worker."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        assert not self._thread.is_alive()
        self.worker.stop()

    def _run(self) -> None:
        self._loop.run_until_complete(serve(self.settings, AsgiGateway(self._gateway), self._stop))


@contextlib.contextmanager
def served(root: Path, **settings: Any) -> Iterator[Served]:
    server = Served(root, **settings)
    try:
        yield server
    finally:
        server.stop()


def a_certificate(root: Path) -> dict[str, str]:
    """The settings of a certificate that this machine's name signs for itself."""
    key, certificate = root / "key.pem", root / "cert.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name, *files]
    subprocess.run(command, check=True, capture_output=True)
    return {"grpc_certificate_file": str(certificate), "grpc_key_file": str(key)}


def a_request(raw: bytes = SENT.tobytes(), **fields: Any) -> Any:
    request = message_class("ModelInferRequest")(model_name="iris", **fields)
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(raw)
    return request


@pytest.mark.parametrize("tls", [True, False])
def test_calls_are_answered_and_seen_by_the_gateway_s_observers(root: Path, tls: bool) -> None:
    settings = a_certificate(root) if tls else {}
    with served(root, **settings) as server:
        address = f"localhost:{server.settings.grpc_port}"
        if tls:
            trusted = grpc.ssl_channel_credentials(Path(settings["grpc_certificate_file"]).read_bytes())
            channel = grpc.secure_channel(address, trusted)
        else:
            channel = grpc.insecure_channel(address)
        with channel:
            answer, end = server.call(channel, "ModelInfer", a_request(id="7"))
            assert np.isnan(np.frombuffer(answer.raw_output_contents[0], "<f8")[1])
            assert (answer.id, answer.model_version) == ("7", "1")
            assert dict(end.trailing_metadata())["x-request-id"] == "mine"
            (exchange,) = server.exchanges
            assert (exchange.status, exchange.caller.name, exchange.choice.endpoint.name) == (200, "alice", "iris")
            assert exchange.body.endswith(SENT.tobytes())
            ready, _ = server.call(channel, "ModelReady", message_class("ModelReadyRequest")(name="iris"))
            assert ready.ready


def test_refusals_have_grpc_s_codes_and_a_stopped_client_stops_the_request(root: Path) -> None:
    with (
        served(root, max_body_bytes=1000) as server,
        grpc.insecure_channel(f"localhost:{server.settings.grpc_port}") as channel,
    ):
        asked = a_request()
        asked.outputs.add(name="output-1").parameters["binary_data"].bool_param = False
        assert server.call(channel, "ModelInfer", asked)[0].raw_output_contents
        for request, metadata, code in (
            (a_request(), (), grpc.StatusCode.UNAUTHENTICATED),
            (a_request(b"1"), ALICE, grpc.StatusCode.INVALID_ARGUMENT),
            (a_request(model_version="7"), ALICE, grpc.StatusCode.NOT_FOUND),
            (a_request(bytes(2000)), ALICE, grpc.StatusCode.INVALID_ARGUMENT),
            (message_class("ModelInferRequest")(), ALICE, grpc.StatusCode.INVALID_ARGUMENT),
            (a_request(model_version="7" * 2000), ALICE, grpc.StatusCode.NOT_FOUND),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                server.call(channel, "ModelInfer", request, metadata)
            assert refused.value.code() is code, refused.value
            assert refused.value.details() != "The request has no answer."
        release = threading.Event()
        server.worker.answer = lambda *_: release.wait(60) and None
        infer = channel.unary_unary(
            f"/{SERVICE}/ModelInfer", request_serializer=message_class("ModelInferRequest").SerializeToString
        )
        seen = len(server.worker.seen)
        left = infer.future(a_request(), metadata=ALICE)
        until(lambda: len(server.worker.seen) > seen)
        left.cancel()
        until(lambda: server.worker.cancelled)
        release.set()


def test_a_certificate_that_is_not_there_is_an_error_in_words(root: Path) -> None:
    settings = Settings(grpc_port=free_port(), grpc_certificate_file="/nothing", grpc_key_file="/nothing")
    gateway: Any = None
    with pytest.raises(ConfigurationError, match="cannot be read"):
        asyncio.run(serve(settings, gateway, asyncio.Event()))
