"""The gRPC server: each call becomes one request to the gateway, so access, limits and metrics are those of HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from mlflow_serving_plugin.errors import BadRequestError, ConfigurationError
from mlflow_serving_plugin.gateway.asgi import AsgiGateway
from mlflow_serving_plugin.grpc.messages import POOL, RPCS, SERVICE, message_class
from mlflow_serving_plugin.grpc.translate import infer_body, infer_response, metadata_response, model_path
from mlflow_serving_plugin.settings import Settings

_logger = logging.getLogger(__name__)

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_TOLD = ("x-request-id", "x-mlflow-model-version", "retry-after", "www-authenticate")
"""Headers of an answer that clients get as trailing metadata."""

_BESIDE_TENSORS_BYTES = 1024 * 1024
_MOST_CALLS = 1000
"""At a time; further calls get RESOURCE_EXHAUSTED."""


class Answer(NamedTuple):
    """What the gateway answered. Names of ``headers`` in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Bridge:
    """The RPCs. ``driver``: the gateway's driver, which belongs to the running loop."""

    def __init__(self, driver: AsgiGateway) -> None:
        self._driver = driver

    def handlers(self) -> grpc.GenericRpcHandler:
        """The handler of all RPCs."""
        calls: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
            "ServerLive": self._live,
            "ServerReady": self._live,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    calls[name],
                    request_deserializer=message_class(f"{name}Request").FromString,
                    response_serializer=message_class(f"{name}Response").SerializeToString,
                )
                for name in RPCS
            },
        )

    async def _live(self, request: Any, context: Any) -> Any:
        if type(request).__name__.startswith("ServerLive"):
            return message_class("ServerLiveResponse")(live=True)
        return message_class("ServerReadyResponse")(ready=True)

    async def _server_metadata(self, _request: Any, context: Any) -> Any:
        return metadata_response("ServerMetadataResponse", await self._document("/v2", context))

    async def _model_metadata(self, request: Any, context: Any) -> Any:
        path = await _model_path(context, request.name, request.version)
        found = await self._document(path, context)
        return metadata_response("ModelMetadataResponse", found)

    async def _model_ready(self, request: Any, context: Any) -> Any:
        path = await _model_path(context, request.name, request.version, "ready")
        answer = await self._ask("GET", path, context)
        if answer.status not in (200, 503):
            await _abort(context, answer)
        return message_class("ModelReadyResponse")(ready=answer.status == 200)

    async def _infer(self, request: Any, context: Any) -> Any:
        try:
            headers, body = infer_body(request)
        except BadRequestError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        path = await _model_path(context, request.model_name, request.model_version, "infer")
        answer = await self._ask("POST", path, context, headers, body)
        if answer.status != 200:
            await _abort(context, answer)
        _tell(context, answer)
        return infer_response(answer.headers, answer.body, raw=bool(request.raw_input_contents))

    async def _document(self, path: str, context: Any) -> dict[str, Any]:
        answer = await self._ask("GET", path, context)
        if answer.status != 200:
            await _abort(context, answer)
        document: dict[str, Any] = json.loads(answer.body)
        return document

    async def _ask(
        self, method: str, path: str, context: Any, extra: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One request to the gateway. When the RPC is cancelled, so is the request."""
        headers = {**_headers(context), **(extra or {}), "content-length": str(len(body))}
        scope = {
            "type": "http",
            "method": method,
            "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()],
            "client": (_address(context.peer()), 0),
        }
        waiting = [{"type": "http.request", "body": body}]
        sent: list[Any] = []

        async def receive() -> Any:
            return waiting.pop() if waiting else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        await self._driver(scope, receive, send, path)
        if not sent:
            return Answer(503, {}, b"")
        told = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], told, b"".join(part.get("body", b"") for part in sent[1:]))


async def _model_path(context: Any, name: str, version: str, action: str = "") -> str:
    if not name:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The request names no model.")
    return model_path(name, version, action)


def _headers(context: Any) -> dict[str, str]:
    """Metadata as headers: credentials, request ids, whatever a model's context is to have."""
    given = {
        name: value if isinstance(value, str) else value.decode("latin-1")
        for name, value in context.invocation_metadata() or ()
        if not name.endswith("-bin")
    }
    # The body is never compressed here, and gRPC compresses the answer.
    for name in ("content-encoding", "accept-encoding", "transfer-encoding", "content-type"):
        given.pop(name, None)
    return given


def _address(peer: str) -> str:
    """The address in ``ipv4:127.0.0.1:5000`` or ``ipv6:%5B::1%5D:5000``."""
    return peer.partition(":")[2].rpartition(":")[0].removeprefix("%5B").removesuffix("%5D")


def _tell(context: Any, answer: Answer) -> None:
    context.set_trailing_metadata([(name, answer.headers[name]) for name in _TOLD if name in answer.headers])


async def _abort(context: Any, answer: Answer) -> None:
    _tell(context, answer)
    try:
        document = json.loads(answer.body)
        # Of V2, or of a path that is refused before it is known to be V2's.
        message = str(document.get("error") or document["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        message = "The request has no answer."
    await context.abort(_CODES.get(answer.status, grpc.StatusCode.INTERNAL), message)


async def serve(settings: Settings, driver: AsgiGateway, stop: asyncio.Event) -> None:
    """Serve until ``stop``; ConfigurationError when the port or the certificate cannot be used."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", settings.max_body_bytes + _BESIDE_TENSORS_BYTES),
            ("grpc.max_send_message_length", -1),
            # Two servers at one port would share its clients.
            ("grpc.so_reuseport", 0),
        ],
        # A call's tensors are in memory before the gateway can count their bytes.
        maximum_concurrent_rpcs=_MOST_CALLS,
    )
    server.add_generic_rpc_handlers((Bridge(driver).handlers(),))
    status = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    for name in ("", SERVICE):
        await status.set(name, health_pb2.HealthCheckResponse.SERVING)
    POOL.AddSerializedFile(health_pb2.DESCRIPTOR.serialized_pb)
    names = (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=POOL)
    _bind(server, settings)
    await server.start()
    _logger.info("gRPC (Open Inference Protocol V2) on %s port %d.", settings.grpc_host, settings.grpc_port)
    await stop.wait()
    await status.enter_graceful_shutdown()
    await server.stop(settings.stop_grace_s)
    await driver.close()


def _bind(server: Any, settings: Settings) -> None:
    host = f"[{settings.grpc_host}]" if ":" in settings.grpc_host else settings.grpc_host
    address = f"{host}:{settings.grpc_port}"
    try:
        if not settings.grpc_certificate_file:
            server.add_insecure_port(address)
            return
        key = Path(settings.grpc_key_file).read_bytes()
        chain = Path(settings.grpc_certificate_file).read_bytes()
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, chain)]))
    except OSError as error:
        raise ConfigurationError(f"The certificate and key of gRPC cannot be read: {error.strerror}.") from None
    except RuntimeError:
        raise ConfigurationError(
            f"gRPC cannot listen on {address}: another program has the port, or the certificate is not valid."
        ) from None
