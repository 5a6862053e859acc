"""Models that ask who calls, and clients that ask for the traces of models. Pure but for chance, which samples traces.

Called by ``scoring``, for models whose code may ask (``EntityRoute.asks``).
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from mlflow_serving_plugin.domain.traces import OF_THE_PROCESS
from mlflow_serving_plugin.gateway.choice import Choice
from mlflow_serving_plugin.gateway.dialects.base import Asked, Reader, ScoringRequest
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.events import write_events
from mlflow_serving_plugin.gateway.exchange import Exchange

_FIELDS = (b'"client_request_id"', b'"databricks_options"')
_SECRET = frozenset({"authorization", "cookie", "proxy-authorization"})
_LONGEST_ID = 256
_LOCATION = ("trace_location", "experiment_id")
"""Of a trace's info: the worker knows no experiment of the server."""
_METADATA = ("trace_metadata", "request_metadata", "tags")


def read_asking(read: Reader, headers: Mapping[str, str], body: bytes) -> ScoringRequest:
    """Read a body, and take what is not for the model out of the body. Raises as ``read`` does."""
    request = read(body)
    asked = Asked(trace_id=headers.get("x-mlflow-return-trace-id", "").lower() == "true")
    body = request.body
    if request.content_type != JSON or not any(field in body for field in _FIELDS):
        return request._replace(asked=asked) if asked.trace_id else request
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return request
    if not isinstance(document, dict):
        return request
    given, options = document.pop("client_request_id", None), document.pop("databricks_options", None)
    if given is None and options is None:
        return request._replace(asked=asked)
    asked = asked._replace(
        client_request_id=str(given)[:_LONGEST_ID] if given is not None else None,
        trace=isinstance(options, dict) and options.get("return_trace") is True,
    )
    return request._replace(body=json.dumps(document).encode(), asked=asked)


def introduce(exchange: Exchange, choice: Choice, request: ScoringRequest) -> tuple[bool, bytes]:
    """Whether the traces of a request are stored, and what the model is told of the caller, as JSON."""
    config, asked, headers = choice.endpoint.config, request.asked, exchange.head.headers
    names = [name.strip().lower() for name in config.context_headers.split(",")] if config.context_headers else []
    stored = config.trace_sampling > 0 and (asked.trace_id or random.random() < config.trace_sampling)  # noqa: S311
    context = {
        "request_id": exchange.request_id,
        "client_request_id": asked.client_request_id,
        "user": exchange.caller.name if exchange.caller is not None else None,
        "headers": {name: headers[name] for name in names if name in headers and name not in _SECRET},
        "endpoint_name": choice.endpoint.name,
        "model_version": str(choice.entity.model.version),
        "trace": stored or asked.trace or asked.trace_id,
    }
    return stored, json.dumps(context).encode()


def wants_traces(asked: Asked) -> bool:
    """Whether the answer is to have a trace, or a trace's id."""
    return asked.trace or asked.trace_id


def with_traces(body: bytes, exchange: Exchange) -> bytes:
    """An answer with what the client asked for; any answer but a JSON object stays as it is."""
    additions = _additions(exchange)
    if not additions:
        return body
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(document, dict):
        return body
    if "trace_id" in additions:
        metadata = document.get("metadata")
        trace_id = additions.pop("trace_id")
        document["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), "trace_id": trace_id}
    return json.dumps({**document, **additions}).encode()


def last_events(exchange: Exchange) -> bytes:
    """What the client asked for, as the last events of a stream."""
    return write_events([json.dumps({name: value}).encode() for name, value in _additions(exchange).items()])


def _additions(exchange: Exchange) -> dict[str, Any]:
    request, answer = exchange.request, exchange.answer
    if request is None or answer is None:
        return {}
    trace = next((found for text in reversed(answer.traces) if (found := _trace(text))), None)
    additions: dict[str, Any] = {}
    if request.asked.trace:
        additions["databricks_output"] = {"databricks_request_id": exchange.request_id, "trace": trace}
    if request.asked.trace_id and trace is not None:
        info = trace["info"]
        additions["trace_id"] = info.get("trace_id") or info.get("request_id")
    return additions


def _trace(text: bytes) -> dict[str, Any] | None:
    try:
        trace = json.loads(text)
        info, data = trace["info"], trace["data"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not isinstance(info, dict) or not isinstance(data, dict):
        return None
    return {"info": {name: _told(name, value) for name, value in info.items() if name not in _LOCATION}, "data": data}


def _told(name: str, value: Any) -> Any:
    """A field of a trace's info, as clients may see it."""
    if name not in _METADATA or not isinstance(value, dict):
        return value
    return {key: said for key, said in value.items() if key not in OF_THE_PROCESS}
