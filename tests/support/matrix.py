"""Every kind of request to a served model on one keep-alive connection, and what each must be answered.

Methods, path forms, kinds of headers and outcomes; of each answer the status, the headers for pages of other origins,
the length, the compression, HEAD beside GET, and whether the connection is kept.
"""

from __future__ import annotations

import functools
import gzip
import http.client
import itertools
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote

from mlflow import MlflowClient

from support.models import Models, move_stage, register
from support.server import HTTP_S, TrackingServer

MODEL, FAILED = "model for callers", "failed model for callers"
APP, OTHER_PAGE = "http://app.example:3000", "http://evil.example"

_FORMS = ("/1", "/Production", "/latest", "@champion")
_READING = ("ping", "health", "version", "schema")
ROWS = 600
_COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
_GOOD = json.dumps({"dataframe_split": {"columns": _COLUMNS, "data": [[5.1, 3.5, 1.4, 0.2]] * ROWS}}).encode()
_BAD = b'{"dataframe_split": {"columns": ["other"], "data": [[1]]}}'
_TOO_LARGE = _GOOD.ljust(17 * 1024 * 1024)
_JSON = {"Content-Type": "application/json"}
_PREFLIGHT = {"Access-Control-Request-Method": "POST"}
_SHORT = 1024


class Kind(NamedTuple):
    """A kind of headers. ``across``: the origin that may read the answer; ``squeeze``: what the body is sent as."""

    headers: Mapping[str, str]
    across: str | None = None
    squeeze: str = ""


KINDS = {
    "plain": Kind({"Accept-Encoding": "identity"}),
    "an allowed page": Kind({"Origin": APP, "Sec-Fetch-Site": "cross-site"}, across=APP),
    "accepting gzip": Kind({"Accept-Encoding": "gzip, deflate"}),
    "accepting deflate, from a page": Kind({"Origin": APP, "Accept-Encoding": "deflate, gzip;q=0"}, across=APP),
    "refusing gzip": Kind({"Accept-Encoding": "gzip;q=0, *;q=0"}),
    "sending gzip": Kind({"Content-Encoding": "gzip"}, squeeze="gzip"),
    "sending deflate": Kind({"Content-Encoding": "deflate"}, squeeze="deflate"),
}


class Cell(NamedTuple):
    """One request and the status that it must get."""

    outcome: int
    method: str
    path: str
    kind: str
    body: bytes = b""
    headers: Mapping[str, str] = {}


def put_up(server: TrackingServer, client: MlflowClient, models: Models) -> None:
    """Serve a model under every form of its name, and fail to serve another. ``client`` may register them."""
    register(client, MODEL, models.path("iris-1"))
    move_stage(client, MODEL, 1, "Production")
    client.set_registered_model_alias(MODEL, "champion", "1")
    register(client, FAILED, models.path("unloadable"))
    server.enable(MODEL)
    server.enable(FAILED)
    server.wait_ready(MODEL, 1)
    server.wait_state(FAILED, "FAILED", 1)


def cells(stranger: Mapping[str, str]) -> Iterator[Cell]:
    """All requests. ``stranger``: as of ``Place``."""
    # Whoever may not read a model is not told that there is one.
    strangers = {401: {"Authorization": ""}, 403: {"Host": "evil.test"}, 404: stranger}
    model, failed = f"/model/{quote(MODEL)}", f"/model/{quote(FAILED)}"
    for number, (kind, form) in enumerate(itertools.product(KINDS, _FORMS)):
        slash, unknown = ("", "/")[number % 2], f"{form}9"
        url = f"{model}{form}/invocations{slash}"
        yield Cell(200, "POST", url, kind, _GOOD)
        yield Cell(400, "POST", url, kind, _BAD)
        yield Cell(404, "POST", f"{model}{unknown}/invocations{slash}", kind, _GOOD)
        yield Cell(405, "DELETE", url, kind)
        # A browser asks before its page may send; from a page that is not allowed, and from programs, it is a method.
        yield Cell(200 if KINDS[kind].across else 405, "OPTIONS", url, kind, headers=_PREFLIGHT)
        yield from (Cell(status, "POST", url, kind, _GOOD, headers) for status, headers in strangers.items())
        for action, method in itertools.product(_READING, ("GET", "HEAD")):
            yield Cell(200, method, f"{model}{form}/{action}{slash}", kind)
        action = _READING[number % len(_READING)]
        for method in ("GET", "HEAD"):
            url = f"{model}{form}/{action}{slash}"
            yield Cell(404, method, f"{model}{unknown}/{action}{slash}", kind)
            yield from (Cell(status, method, url, kind, headers=headers) for status, headers in strangers.items())
    for kind in KINDS:
        yield Cell(413, "POST", f"{model}/1/invocations", kind, _TOO_LARGE)
        yield from (Cell(503, "POST", f"{failed}{form}/invocations", kind, _GOOD) for form in ("/1", "/latest"))
        yield from (Cell(503, method, f"{failed}/1/ping", kind) for method in ("GET", "HEAD"))


class Place(NamedTuple):
    """Where requests go.

    ``kind`` of server: TrackingServer's. ``stranger``: headers of a caller who may not read the model.
    """

    kind: str
    port: int
    prefix: str
    credentials: Mapping[str, str]
    stranger: Mapping[str, str]


def wrong_answers(place: Place) -> list[str]:
    """The requests that are not answered as they must be, and how they are; empty when all is well."""
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=HTTP_S)
    # Beforehand: gunicorn closes a connection on which nothing comes for 2 s.
    for kind in KINDS.values():
        _squeezed(_TOO_LARGE, kind.squeeze)
    wrong: list[str] = []
    got: dict[str, dict[str, str | None]] = {}
    try:
        for cell in cells(place.stranger):
            faults = list(_faults(place, connection, cell, got))
            wrong += [f"{cell._replace(body=cell.body[:20])}: {fault}" for fault in faults]
    finally:
        connection.close()
    return wrong


def _faults(
    place: Place, connection: http.client.HTTPConnection, cell: Cell, got: dict[str, dict[str, str | None]]
) -> Iterator[str]:
    kind = KINDS[cell.kind]
    body = _squeezed(cell.body, kind.squeeze)
    headers = {**_JSON, **place.credentials, **kind.headers, **cell.headers}
    if not headers.get("Authorization", "x"):
        del headers["Authorization"]
    try:
        connection.request(cell.method, place.prefix + cell.path, body or None, headers)
        used = connection.sock
        response = connection.getresponse()
    except OSError as error:
        connection.close()
        yield f"no answer: {error!r}"
        return
    said: dict[str, str] = {}
    for name, value in response.getheaders():
        said[name.lower()] = f"{said[name.lower()]}, {value}" if name.lower() in said else value
    answer = response.read()
    if response.status != cell.outcome:
        yield f"status {response.status} {answer[:200]!r}"
    yield from _across_faults(said, kind.across, asks=cell.method == "OPTIONS")
    yield from _body_faults(cell, kind, said, answer, got)
    # gunicorn's synchronous web workers close each connection, its others that of an early answer to a large body.
    closes = place.kind == "gunicorn-sync" or (place.kind == "gunicorn" and len(cell.body) > len(_GOOD))
    if (connection.sock is not used) is not closes:
        yield "the connection was kept" if closes else "the connection was closed"


def _across_faults(said: Mapping[str, str], across: str | None, *, asks: bool) -> Iterator[str]:
    if said.get("access-control-allow-origin") != across:
        yield f"allows {said.get('access-control-allow-origin')}"
    if across and asks:
        if "POST" not in said.get("access-control-allow-methods", ""):
            yield "does not allow to POST"
        return
    if across and not {"X-Request-Id", "Retry-After"} <= set(said["access-control-expose-headers"].split(", ")):
        yield "does not expose our headers"


def _body_faults(
    cell: Cell, kind: Kind, said: Mapping[str, str], answer: bytes, got: dict[str, dict[str, str | None]]
) -> Iterator[str]:
    compared = {name: said.get(name) for name in ("content-type", "content-length", "content-encoding", "vary")}
    key = f"{cell.outcome} {cell.path} {cell.kind}"
    if cell.method == "GET":
        got[key] = compared
    if cell.method == "HEAD":
        if answer:
            yield "has a body"
        if cell.outcome == 200 and compared != got.get(key):
            yield f"{compared} instead of {got.get(key)}"
        return
    if int(said["content-length"]) != len(answer):
        yield f"{len(answer)} bytes instead of {said['content-length']}"
    if not answer:
        return
    encoding = said.get("content-encoding")
    text = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(encoding or "", bytes)(answer)
    accepted = kind.headers.get("Accept-Encoding", "").split(",")[0]
    wanted = accepted if accepted in {"gzip", "deflate"} and len(text) > _SHORT else None
    if encoding != wanted:
        yield f"is {len(text)} bytes as {encoding}"
    if wanted and "Accept-Encoding" not in said["vary"]:
        yield f"varies by {said['vary']}"
    if said["content-type"] == "application/json" and text.startswith(b"{"):
        document = json.loads(text)
        if cell.outcome == 200 and cell.method == "POST" and document != {"predictions": [0] * ROWS}:
            yield "other predictions"
        if cell.outcome != 200 and not document.keys() >= {"error_code", "message"}:
            yield f"said {document}"


@functools.cache
def _squeezed(body: bytes, how: str) -> bytes:
    # A large body stays large: one that becomes small says nothing about large bodies.
    level = 0 if body is _TOO_LARGE else 6
    return {"gzip": gzip.compress, "deflate": zlib.compress}[how](body, level) if how else body
