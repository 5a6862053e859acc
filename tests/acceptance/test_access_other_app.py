"""Serving around auth apps by other ways: an app that nobody here knows, and MLflow's own under other web servers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from support import eventually
from support.auth import NO_TOKEN, BasicAuthServer, bearer, client_of
from support.auth import basic as password
from support.cells import IRIS, KINDS, SERVED, put_up, wrong_cells
from support.models import Models, register
from support.server import TrackingServer
from support.silence import silent

from mlflow_serving_plugin.api.server import AUDIT_PATH, DIAGNOSIS_PATH, METRICS_PATH

HOUSE_KEYS = Path(__file__).parent.parent / "other_app"
HEADER = "X-House-Key"
BASIC = "mlflow.server.auth:create_app"


class HouseKeysServer(TrackingServer):
    """The app of ``tests/other_app`` with serving around it; it is installed by a directory on the path."""

    def __init__(self, kind: str = "uvicorn") -> None:
        super().__init__(
            kind,
            settings={"base_app": "house-keys"},
            environ={"PYTHONPATH": f"{HOUSE_KEYS}:{{root}}/installed"},
            credentials={HEADER: "the-admin-key"},
        )
        install(self, "house-keys", "house_keys:create_app")


def install(server: TrackingServer, name: str, app: str) -> None:
    """What an installed package with an app of that name leaves behind, in a directory on the server's path."""
    installed = server.root / "installed" / "an_app-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: an-app\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[mlflow.app]\n{name} = {app}\n")


def of_kind(kind: str) -> dict[str, str]:
    return {"anonymous": {}, "wrong": {HEADER: "a nail"}}.get(kind, {HEADER: f"the-{kind}-key"})


@pytest.fixture(scope="module", params=["uvicorn", pytest.param("gunicorn", marks=pytest.mark.matrix)])
def house(request: pytest.FixtureRequest, models: Models) -> Iterator[HouseKeysServer]:
    with HouseKeysServer(request.param) as server:
        with client_of(server, "anybody", "the-admin-key") as client:
            put_up(server, client, models)
        yield server


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_app_is_asked_what_its_callers_may_do(house: HouseKeysServer, kind: str) -> None:
    # It tells of no accounts that tokens could belong to, and of no admins.
    for_admins = [f"GET {path} as admin: 403" for path in (AUDIT_PATH, DIAGNOSIS_PATH, METRICS_PATH)]
    wrong = [cell for cell in wrong_cells(house, kind, of_kind(kind)) if "/token/" not in cell]
    assert [cell for cell in wrong if not cell.startswith(tuple(for_admins))] == []


def test_an_unknown_app_has_no_accounts_for_tokens(house: HouseKeysServer) -> None:
    made = requests.post(f"{house.url}/api/2.0/token/create", json={}, headers=house.credentials, timeout=60)
    assert made.status_code == 400
    assert "no users that tokens could belong to" in made.json()["message"]


@pytest.mark.matrix
def test_mlflow_s_own_auth_app_under_a_name_that_nobody_knows(models: Models) -> None:
    """Whatever wraps it: who may edit a model may not manage it."""
    settings, environ = {"base_app": "our-own"}, {"PYTHONPATH": "{root}/installed"}
    unstarted = BasicAuthServer(settings=settings, environ=environ)
    install(unstarted, "our-own", BASIC)
    with unstarted as server:
        with client_of(server) as client:
            register(client, SERVED, models.path("iris-1"))
        server.enable(SERVED)
        people = {kind: server.add_user(kind) for kind in ("none", "read", "edit", "manage")}
        for kind in ("read", "edit", "manage"):
            server.grant(kind, SERVED, kind.upper())
        server.wait_ready(SERVED, 1)
        changed: dict[str, int] = {}
        scored: dict[str, int] = {}
        for kind, headers in people.items():
            base, body = f"{server.url}/api/2.0/mlflow/endpoints", {"registered_model_name": SERVED}
            changed[kind] = requests.post(f"{base}/enable", json=body, headers=headers, timeout=60).status_code
            url = f"{server.url}/model/{SERVED}/1/invocations"
            scored[kind] = requests.post(url, json=IRIS, headers=headers, timeout=60).status_code
        assert changed == {"none": 404, "read": 403, "edit": 403, "manage": 200}
        assert scored == {"none": 404, "read": 200, "edit": 200, "manage": 200}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.matrix) for kind in ("gunicorn", "gunicorn-sync", "waitress")]
)
def test_basic_auth_under_other_web_servers(models: Models, kind: str) -> None:
    """By the entry point of its own. Not every cell: what is asked is the same, who asks it is not."""
    with BasicAuthServer(kind, app="serving-basic-auth") as server:
        with client_of(server) as client:
            register(client, SERVED, models.path("iris-1"))
        server.enable(SERVED)
        reader = server.add_user("read")
        server.grant("read", SERVED, "READ")
        server.wait_ready(SERVED, 1)
        token = bearer(server.token(reader))
        expected = {"anonymous": ({}, 401, 401), "reader": (reader, 200, 403), "token": (token, 200, 403)}
        expected |= {"admin": (server.credentials, 200, 200), "no token": (bearer(NO_TOKEN), 401, 401)}
        for who, (headers, scoring, changing) in expected.items():
            url = f"{server.url}/model/{SERVED}/1/invocations"
            assert requests.post(url, json=IRIS, headers=headers, timeout=60).status_code == scoring, who
            base, body = f"{server.url}/api/2.0/mlflow/endpoints", {"registered_model_name": SERVED}
            answer = requests.post(f"{base}/enable", json=body, headers=headers, timeout=60)
            assert answer.status_code == changing, (who, answer.text)
        assert requests.get(server.url, timeout=60).status_code == 401
        if kind == "gunicorn":
            keeps_nobody_out(server, token)


def keeps_nobody_out(server: BasicAuthServer, token: dict[str, str]) -> None:
    """Who is not let in: silent connections are refused at once, and guesses have to wait, without others."""
    url = f"{server.url}/model/{SERVED}/1/invocations"
    with silent(server, 20) as connections:
        assert {connection.recv(12) for connection in connections} == {b"HTTP/1.1 401"}
    guesses = itertools.count()

    def guess() -> int:
        wrong = password("admin", f"guess {next(guesses)}")
        return requests.post(url, json=IRIS, headers=wrong, timeout=60).status_code

    assert [guess() for _ in range(6)] == [401] * 6
    eventually(lambda: guess() == 429, tail=server.tail)
    assert requests.post(url, json=IRIS, headers=token, timeout=60).status_code == 200
    assert requests.get(f"{server.url}/serving/health", timeout=60).status_code == 200


def test_asking_an_unknown_app_changes_nothing(house: HouseKeysServer) -> None:
    url = f"{house.url}/api/2.0/mlflow/registered-models/get"
    before = requests.get(url, params={"name": SERVED}, headers=house.credentials, timeout=60).json()
    assert wrong_cells(house, "manage", of_kind("manage"))
    assert requests.get(url, params={"name": SERVED}, headers=house.credentials, timeout=60).json() == before
