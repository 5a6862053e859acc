"""Every kind of caller gets an answer that it can read, under each kind of web server."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
import requests
from support.front import ALICE, Front
from support.matrix import MODEL, wrong_answers

pytestmark = pytest.mark.xdist_group("fronts")

KINDS = ("uvicorn", "gunicorn", "gunicorn-sync", "waitress")
SCORE = f"/model/{MODEL.replace(' ', '%20')}/1/invocations"
ENABLE = "/api/2.0/mlflow/endpoints/enable"
LARGE = b"x" * (17 * 1024 * 1024)


@pytest.fixture(scope="module")
def fronts() -> Iterator[dict[str, Front]]:
    """All at once: starting them one after the other takes as long for each."""
    running = {kind: Front(kind) for kind in KINDS}
    yield running
    for front in running.values():
        front.terminate()
    for front in running.values():
        front.close()


@pytest.fixture(params=KINDS)
def front(request: pytest.FixtureRequest, fronts: dict[str, Front]) -> Front:
    fronts[request.param].wait_ready()
    return fronts[request.param]


def test_every_request_of_the_table_is_answered_as_it_must_be(front: Front) -> None:
    assert wrong_answers(front.place()) == []


@pytest.mark.parametrize("path", [SCORE, ENABLE])
def test_a_client_that_offers_http_2_is_answered_or_told_what_to_send(front: Front, path: str) -> None:
    body = b'{"inputs": [1]}' if path == SCORE else b'{"registered_model_name": "unknown"}'
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{front.port}", f"Content-Length: {len(body)}"]
    lines += ["Content-Type: application/json", f"Authorization: {ALICE}"]
    lines += ["Connection: Upgrade, HTTP2-Settings, close", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"]
    with socket.create_connection(("127.0.0.1", front.port), timeout=60) as connection:
        # In one packet: uvicorn itself refuses a body that comes after the head.
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        said = answer.read().decode()
    if front.kind == "uvicorn":
        assert (answer.status, "HTTP_1_1" in said) == (400, True), said
    else:
        assert answer.status == (200 if path == SCORE else 404), said


def by_urllib(front: Front, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(front.url + path, LARGE, headers), timeout=60)
    return caught.value.code, caught.value.read()


def by_requests(front: Front, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    answer = requests.post(front.url + path, LARGE, headers=headers, timeout=60)
    return answer.status_code, answer.content


def by_http_client(front: Front, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
    pieces = (LARGE[start : start + 65536] for start in range(0, len(LARGE), 65536))
    connection.request("POST", path, pieces, headers | {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


def by_socket(front: Front, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    lines = [f"POST {path} HTTP/1.0", f"Host: 127.0.0.1:{front.port}", f"Content-Length: {len(LARGE)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", front.port), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + LARGE)
        connection.shutdown(socket.SHUT_WR)
        came = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = came.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def by_curl(front: Front, path: str, headers: dict[str, str], *more: str) -> tuple[int, bytes]:
    words = ["curl", "-sS", "--max-time", "60", "-w", "%{http_code}", "--data-binary", "@-", *more]
    words += [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    done = subprocess.run([*words, front.url + path], input=LARGE, capture_output=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout[-3:]), done.stdout[:-3]


def by_curl_at_once(front: Front, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    return by_curl(front, path, headers, "-H", "Expect:")


CLIENTS = (by_urllib, by_requests, by_http_client, by_socket, by_curl, by_curl_at_once)


@pytest.mark.parametrize("send", CLIENTS, ids=lambda send: send.__name__)
def test_the_answer_to_a_body_of_17_mb_can_be_read(front: Front, send: Callable[..., tuple[int, bytes]]) -> None:
    for path, authorization, status in ((SCORE, ALICE, 413), (SCORE, "", 401), (ENABLE, ALICE, 413)):
        found, body = send(front, path, {"Content-Type": "application/json", "Authorization": authorization})
        assert (found, json.loads(body).keys()) == (status, {"error_code", "message"})
