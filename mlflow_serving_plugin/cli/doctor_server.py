"""What a running server says of itself, and what a proxy in front of the server makes of requests."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from mlflow_serving_plugin.cli.client import ServingClient
from mlflow_serving_plugin.cli.errors import CliError
from mlflow_serving_plugin.diagnosis.base import ERROR, OK, SKIPPED, WARNING, Finding
from mlflow_serving_plugin.diagnosis.stores import clock

_AREA = "server"
_HEALTH, _DIAGNOSIS, _POST = "/serving/health", "/serving/diagnosis", "/api/2.0/mlflow/endpoints/prewarm"
_SCRIPT = "mlflow-serving.js"
_REFUSED_WITHIN_S = 3.0


def diagnose_server(client: ServingClient, *, expected: bool) -> list[Finding]:
    """All findings about the server. ``expected``: somebody has named the server, so its silence is an error."""
    try:
        return list(_ask(client))
    except CliError as error:
        if expected:
            advice = "Start the server, or correct --tracking-uri. Behind a proxy: is the proxy's upstream the server?"
            return [Finding(_AREA, "reachable", ERROR, error.message, advice)]
        return [Finding(_AREA, "reachable", SKIPPED, "no server asked", "--tracking-uri names a server to ask.")]


def _ask(client: ServingClient) -> Iterator[Finding]:
    began = time.perf_counter()
    health = client.ask("GET", _HEALTH, authenticated=False)
    took_ms = (time.perf_counter() - began) * 1000
    body = _json(health)
    if "controller" not in body:
        yield _no_serving(client, health)
        return
    yield Finding(_AREA, "reachable", OK, f"{took_ms:.0f} ms")
    yield _controller(body)
    yield from _failures(body)
    yield from _clock(health)
    answer = client.ask("GET", _DIAGNOSIS)
    findings, arrived = _own(answer)
    yield from findings
    yield _credentials(client, answer)
    if answer.status_code != 401:
        yield _page(client)
        yield _browser(client)
    if arrived:
        yield from _proxy(client.uri, arrived)
        yield from _body_limit(client.uri, int(arrived.get("max_body_bytes", 0)))


def _no_serving(client: ServingClient, health: requests.Response) -> Finding:
    if health.status_code == 404 and client.ask("GET", "/health", authenticated=False).text == "OK":
        advice = "Start it with 'mlflow server --app-name serving'; with --static-prefix the URL ends in the prefix."
        return Finding(_AREA, "serving app", ERROR, "MLflow answers, serving does not.", advice)
    found = f"Something answers {health.status_code}, and is not a server with serving."
    return Finding(_AREA, "serving app", ERROR, found, "Correct --tracking-uri, or the upstream of the proxy.")


def _controller(body: Mapping[str, Any]) -> Finding:
    if body["controller"]["alive"]:
        return Finding(_AREA, "controller", OK, "alive")
    advice = "The server's log has the reason: a database that does not answer, a disk that is full, a web worker lost."
    return Finding(_AREA, "controller", ERROR, "No controller: nothing starts and nothing is updated.", advice)


def _failures(body: Mapping[str, Any]) -> Iterator[Finding]:
    versions = dict(body.get("versions", {}))
    failed = sum(count for state, count in versions.items() if state.endswith("FAILED"))
    if failed:
        advice = "mlflow-serving status shows which, mlflow-serving logs NAME what the model printed."
        yield Finding(_AREA, "versions", WARNING, f"{failed} of {sum(versions.values())} failed", advice)
    else:
        yield Finding(_AREA, "versions", OK, f"{sum(versions.values())} served, none failed")


def _clock(response: requests.Response) -> Iterator[Finding]:
    with contextlib.suppress(KeyError, ValueError, TypeError):
        there = parsedate_to_datetime(response.headers["Date"])
        yield clock(_AREA, "clock", there.timestamp() - time.time())


def _own(answer: requests.Response) -> tuple[list[Finding], dict[str, Any]]:
    """The server's own findings, and how the request arrived; nothing for callers who are no admin."""
    body = _json(answer)
    if answer.status_code == 200 and "checks" in body:
        known = Finding._fields
        found = [Finding(**{key: str(check.get(key, "")) for key in known}) for check in body["checks"]]
        return found, dict(body.get("arrived") or {})
    if answer.status_code == 404:
        return [Finding(_AREA, "diagnosis", SKIPPED, "an older plugin", "Upgrade the plugin on the server.")], {}
    advice = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, of an admin."
    return [Finding(_AREA, "diagnosis", SKIPPED, "only admins are told", advice)], {}


def _credentials(client: ServingClient, answer: requests.Response) -> Finding:
    anonymous = client.ask("GET", _DIAGNOSIS, authenticated=False)
    if anonymous.status_code == 200:
        return Finding(_AREA, "authentication", OK, "none is asked for")
    if answer.status_code == 401:
        verb, variables = "Set", "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        found = "The server asks for credentials, and none are set here."
        if client.has_credentials:
            verb, found = "Check", "The server does not accept these credentials."
        return Finding(_AREA, "authentication", ERROR, found, f"{verb} {variables}.")
    return Finding(_AREA, "authentication", OK, "the server accepts these credentials")


def _page(client: ServingClient) -> Finding:
    page = client.ask("GET", "/", headers={"Accept": "text/html"})
    if page.status_code == 200 and _SCRIPT in page.text:
        return Finding(_AREA, "Serving tab", OK, "in MLflow's page")
    advice = "The server's log says why. A proxy that caches pages may also give out an old page."
    return Finding(_AREA, "Serving tab", WARNING, "MLflow's page has no Serving tab.", advice)


def _browser(client: ServingClient) -> Finding:
    """A change by MLflow's own page, which a server behind a proxy refuses unless the server knows its name."""
    parts = urlsplit(client.uri)
    origin = f"{parts.scheme}://{parts.netloc}"
    headers = {"Origin": origin}
    if parts.scheme == "https" or parts.hostname in {"localhost", "127.0.0.1", "::1"}:
        # Browsers add this header on pages that they call secure.
        headers["Sec-Fetch-Site"] = "same-origin"
    answer = client.ask("POST", _POST, headers=headers)
    if answer.status_code != 403:
        return Finding(_AREA, "browser", OK, "MLflow's page may change something")
    advice = (
        f"Start the server with --allowed-hosts {parts.netloc} --cors-allowed-origins {origin}, and let the proxy pass "
        "the header Host on (proxy_set_header Host $host)."
    )
    return Finding(_AREA, "browser", ERROR, "The Serving tab may not change anything under this address.", advice)


def _proxy(uri: str, arrived: Mapping[str, Any]) -> Iterator[Finding]:
    parts = urlsplit(uri)
    if str(arrived.get("host", "")).partition(":")[0] != (parts.hostname or ""):
        advice = "Let the proxy pass the header Host on: proxy_set_header Host $host."
        yield Finding(_AREA, "proxy: Host", WARNING, "The server is called by another name than the proxy.", advice)
    if parts.scheme == "https" and "https" not in {arrived.get("scheme"), arrived.get("x_forwarded_proto")}:
        advice = "Let the proxy say so: proxy_set_header X-Forwarded-Proto $scheme."
        yield Finding(_AREA, "proxy: scheme", WARNING, "The server does not know that it is called by https.", advice)
    if parts.scheme == "https" and not arrived.get("x_forwarded_for"):
        advice = (
            "Let the proxy say who calls: proxy_set_header X-Forwarded-For $remote_addr. Wrong passwords are counted "
            "by address; without the header one caller's wrong passwords slow all callers down."
        )
        yield Finding(_AREA, "proxy: client", WARNING, "All callers have the address of the proxy.", advice)


def _body_limit(uri: str, largest: int) -> Iterator[Finding]:
    """Whether a proxy refuses by its length a body that the server takes. No body is sent: proxies judge the head."""
    if largest <= 0:
        return
    with contextlib.suppress(OSError):
        status = _status_of_large_body(uri, largest)
        if status == 413:
            advice = f"Let the proxy take as much: client_max_body_size {largest // 2**20}m, for nginx."
            text = f"A body of {largest // 2**20} MB gets 413 before it reaches the server."
            yield Finding(_AREA, "proxy: body", WARNING, text, advice)
        else:
            yield Finding(_AREA, "proxy: body", OK, f"{largest // 2**20} MB may pass")


def _status_of_large_body(uri: str, length: int) -> int | None:
    """The status of an answer that comes although the body does not; None when nothing comes."""
    parts = urlsplit(uri)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    head = (
        f"POST {parts.path}/v2/models/-/infer HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((parts.hostname or "", port), _REFUSED_WITHIN_S))
        if parts.scheme == "https":
            # Nothing secret is sent, so whose certificate it is does not matter here.
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = stack.enter_context(context.wrap_socket(connection, server_hostname=parts.hostname))
        connection.sendall(head.encode())
        connection.settimeout(_REFUSED_WITHIN_S)
        try:
            line = connection.recv(64)
        except TimeoutError:
            return None
    words = line.split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
