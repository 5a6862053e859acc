"""Callers who are not let in, or who send nothing, keep nobody else waiting."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from support import eventually
from support.auth import BasicAuthServer, bearer, client_of
from support.auth import basic as password
from support.cells import IRIS
from support.dear import dear_bodies
from support.models import IRIS_COLUMNS, Models, register
from support.server import TrackingServer
from support.silence import ENABLE, silent

MB = 1024 * 1024
ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}
"""uvicorn takes the client's address from a proxy on its own machine: guesses from here are not this machine's."""


@pytest.fixture(scope="module", params=["basic", pytest.param("gunicorn", marks=pytest.mark.matrix)])
def guarded(request: pytest.FixtureRequest) -> Iterator[BasicAuthServer]:
    """A server with users of each kind that can be met without a proxy; of uvicorn the one that all tests share."""
    if request.param == "basic":
        yield request.getfixturevalue("basic")
        return
    with BasicAuthServer(request.param) as server:
        with client_of(server) as client:
            register(client, "iris", request.getfixturevalue("models").path("iris-1"))
        server.enable("iris")
        server.wait_ready("iris", 1)
        yield server


def test_silent_connections_without_credentials_are_refused_at_once(guarded: BasicAuthServer) -> None:
    with silent(guarded, 60) as connections:
        assert {connection.recv(12) for connection in connections} == {b"HTTP/1.1 401"}


def test_silent_connections_with_credentials_keep_nobody_out(guarded: BasicAuthServer) -> None:
    with silent(guarded, 60, **guarded.credentials):
        for _ in range(9):
            assert requests.get(f"{guarded.url}/serving/health", timeout=20).status_code == 200
            assert guarded.api("GET", "list")["endpoints"]


def test_a_load_balancer_that_asks_under_its_own_host_name_finds_the_server_well(plain: TrackingServer) -> None:
    own = {"Host": "10.0.3.7:5000"}
    assert requests.get(f"{plain.url}/serving/health", headers=own, timeout=20).status_code == 200
    assert requests.head(f"{plain.url}/serving/health", headers=own, timeout=20).status_code == 200
    assert requests.get(f"{plain.url}/model/iris/1/ping", headers=own, timeout=20).status_code == 403


@contextlib.contextmanager
def guessing(server: BasicAuthServer, user: str = "admin") -> Iterator[None]:
    """32 connections that try passwords: of one user, or with ``{}`` of many."""
    done = threading.Event()

    def guess(number: int) -> set[int]:
        seen, tries = set(), 0
        while not done.is_set():
            tries += 1
            wrong = password(user.format(f"{number}-{tries}"), f"{number}-{tries}") | ELSEWHERE
            seen.add(requests.get(f"{server.url}{ENABLE[:-6]}list", headers=wrong, timeout=30).status_code)
        return seen

    with ThreadPoolExecutor(32) as pool:
        guesses = [pool.submit(guess, number) for number in range(32)]
        try:
            yield
        finally:
            done.set()
        assert set().union(*(one.result() for one in guesses)) == {401, 429}


def test_guessing_passwords_keeps_out_nobody_who_is_let_in(guarded: BasicAuthServer) -> None:
    token = bearer(guarded.token(guarded.credentials))
    with guessing(guarded):
        for _ in range(30):
            scored = requests.post(f"{guarded.url}/model/iris/1/invocations", json=IRIS, headers=token, timeout=30)
            assert scored.status_code == 200, scored.text
        assert guarded.api("GET", "list")["endpoints"]


def test_a_new_password_gets_in_beside_guesses_from_the_same_address(guarded: BasicAuthServer) -> None:
    new = guarded.add_user("newcomer") | ELSEWHERE

    def status(headers: dict[str, str]) -> int:
        return requests.get(f"{guarded.url}{ENABLE[:-6]}list", headers=headers, timeout=30).status_code

    with guessing(guarded, user="somebody {}"):
        tries = itertools.count()
        eventually(lambda: status(password(f"nobody {next(tries)}", "x") | ELSEWHERE) == 429, tail=guarded.tail)
        # In each web worker a password waits once, four seconds at most.
        eventually(lambda: status(new) == 200, within_s=30, tail=guarded.tail)


@pytest.fixture(
    scope="module",
    params=["plain", *(pytest.param(kind, marks=pytest.mark.matrix) for kind in ("gunicorn", "waitress"))],
)
def serving_iris(request: pytest.FixtureRequest) -> Iterator[TrackingServer]:
    """A server of each kind that serves iris; of uvicorn the one that all tests share."""
    if request.param == "plain":
        yield request.getfixturevalue("plain")
        return
    models: Models = request.getfixturevalue("models")
    with TrackingServer(request.param) as server:
        register(server.client, "iris", models.path("iris-1"))
        server.enable("iris")
        server.wait_ready("iris", 1)
        yield server


def small_bodies_of_large_tables() -> list[object]:
    """Bodies that ask for a table of gigabytes, each as its content type, itself and what refuses it."""
    own = [{f"c{number}": number} for number in range(20_000)]
    index = {"columns": IRIS_COLUMNS, "data": [[1, 2, 3, 4]], "index": list(range(1_000_000))}
    return [
        pytest.param("application/json", json.dumps({"dataframe_records": own}), "missing inputs", id="own columns"),
        pytest.param("application/json", json.dumps({"dataframe_split": index}), "index", id="index"),
        pytest.param("text/csv", "," * (16 * MB), "max_cells", id="commas"),
        pytest.param("application/json", '{"instances": [' + "[]," * (5 * MB) + "[]]}", "max_cells", id="empty lists"),
    ]


@pytest.mark.parametrize(("content_type", "body", "reason"), small_bodies_of_large_tables())
def test_a_small_body_of_a_large_table_costs_the_worker_no_memory(
    serving_iris: TrackingServer, content_type: str, body: str, reason: str
) -> None:
    before = _most_memory(serving_iris)
    refused = serving_iris.score("iris/1", body.encode(), content_type)
    assert refused.status_code == 400, refused.text
    assert reason in refused.json()["message"], refused.text
    assert len(refused.text) < 1000
    assert _most_memory(serving_iris) - before < 10 * 16 * MB


def test_bodies_that_are_made_to_be_dear_get_an_answer_for_bounded_memory(serving_iris: TrackingServer) -> None:
    before = _most_memory(serving_iris)
    for shape, form, content_type, body in dear_bodies(seed=5, count=30, most_bytes=MB):
        answer = serving_iris.score("iris/1", body, content_type)
        assert answer.status_code in {200, 400}, f"{shape}, {form}: {answer.status_code} {answer.text[:300]}"
    assert _most_memory(serving_iris) - before < 10 * 16 * MB


def _most_memory(server: TrackingServer) -> int:
    """The largest memory that the worker of ``iris`` ever had, in bytes."""
    status = Path(f"/proc/{server.workers('iris')[0]['pid']}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
