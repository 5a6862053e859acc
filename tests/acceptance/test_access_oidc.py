"""Who may do what on a real ``oidc-auth`` server: by a session in the browser, by password, and by token."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import requests
from support.auth import GRANTS, NO_TOKEN, Caller, basic, bearer, client_of
from support.cells import KINDS, SERVED, SPARE, put_up, wrong_cells
from support.models import Models
from support.oidc import ADMIN, OLDEST_PYTHON, OidcServer, Provider, oidc_environment

WORKERS = 1
"""That several web workers agree is shown with ``basic-auth``."""

pytestmark = pytest.mark.skipif(sys.version_info < OLDEST_PYTHON, reason="mlflow-oidc-auth needs Python 3.11")


def kinds(*in_ci: str) -> list[object]:
    """Callers with credentials. Who somebody is decides what they may do, whatever says who they are: these in CI."""
    return [pytest.param(kind, marks=() if kind in in_ci else pytest.mark.matrix) for kind in KINDS[1:]]


class OidcCast(Caller):
    """A server, and somebody of every kind with a session, an access token as a password, and a token of ours."""

    def __init__(self, server: OidcServer) -> None:
        super().__init__(server, WORKERS)
        self.sessions = {kind: server.sign_in(address(kind)) for kind in ("none", *GRANTS)}
        self.sessions |= {"anonymous": {}, "wrong": {"Cookie": "session=bm90IGEgc2Vzc2lvbg.x.y"}}
        self.sessions["admin"] = server.sign_in(ADMIN, "mlflow-admin")
        for kind, permission in GRANTS.items():
            for model in (SERVED, SPARE):
                server.grant(address(kind), model, permission)
        people = ("none", *GRANTS)
        self.passwords = {kind: basic(address(kind), server.access_token(self.sessions[kind])) for kind in people}
        self.passwords |= {"anonymous": {}, "wrong": basic(address("read"), "wrong"), "admin": server.credentials}
        self.tokens = {kind: bearer(server.token(self.sessions[kind])) for kind in (*people, "admin")}
        self.tokens |= {"anonymous": {}, "wrong": bearer(NO_TOKEN)}


def address(kind: str) -> str:
    return f"{kind}@example.com"


@pytest.fixture(scope="module")
def oidc(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcCast]:
    log = tmp_path_factory.mktemp("provider") / "log"
    with (
        oidc_environment() as python,
        Provider(python, log) as provider,
        OidcServer(python, provider, workers=WORKERS) as server,
    ):
        with client_of(server, ADMIN, server.admin_password) as client:
            put_up(server, client, models)
        yield OidcCast(server)


@pytest.mark.parametrize("kind", KINDS)
def test_every_route_by_session(oidc: OidcCast, kind: str) -> None:
    assert wrong_cells(oidc.server, kind, oidc.sessions[kind]) == []


@pytest.mark.parametrize("kind", kinds("wrong", "read"))
def test_every_route_by_password(oidc: OidcCast, kind: str) -> None:
    assert wrong_cells(oidc.server, kind, oidc.passwords[kind]) == []


@pytest.mark.parametrize("kind", kinds("wrong", "manage"))
def test_every_route_by_token(oidc: OidcCast, kind: str) -> None:
    assert wrong_cells(oidc.server, kind, oidc.tokens[kind]) == []


def test_the_identity_provider_s_own_tokens_are_as_good_as_on_mlflow_s_own_routes(oidc: OidcCast) -> None:
    headers = bearer(oidc.server.provider.id_token(address("read")))
    assert oidc.server.mlflow("GET", "/api/2.0/mlflow/users/current", headers)["username"] == address("read")
    assert wrong_cells(oidc.server, "read", headers) == []


def test_a_granted_and_a_withdrawn_permission_count_within_seconds(oidc: OidcCast) -> None:
    server, name = oidc.server, address("late")
    headers = server.sign_in(name)
    assert oidc.score(headers) == 404
    server.grant(name, SERVED, "READ")
    oidc.everywhere(headers, 200)
    server.mlflow("DELETE", f"/api/2.0/mlflow/permissions/users/{name}/registered-models/{SERVED}")
    oidc.everywhere(headers, 404)


def test_a_session_ends_with_signing_out(oidc: OidcCast) -> None:
    headers = oidc.server.sign_in(address("leaving"))
    oidc.server.grant(address("leaving"), SERVED, "READ")
    oidc.everywhere(headers, 200)
    requests.get(f"{oidc.server.url}/logout", headers=headers, timeout=60, allow_redirects=False)
    oidc.everywhere(headers, 401)


def test_somebody_who_is_switched_off_is_refused_and_so_are_their_tokens(oidc: OidcCast) -> None:
    server, name = oidc.server, address("off")
    headers = server.sign_in(name)
    server.grant(name, SERVED, "READ")
    token = bearer(server.token(headers))
    for who in (headers, token):
        oidc.everywhere(who, 200)
    server.mlflow("PATCH", f"/api/2.0/mlflow/users/{name}/active", active=False)
    for who in (headers, token):
        oidc.everywhere(who, 401)


def test_the_tokens_of_a_deleted_user_are_dead_and_stay_dead(oidc: OidcCast) -> None:
    server, name = oidc.server, address("gone")
    token = bearer(server.token(server.sign_in(name)))
    server.grant(name, SERVED, "READ")
    server.mlflow("DELETE", "/api/2.0/mlflow/users", username=name)
    # Before the token was ever used, somebody gets the name, and on SQLite the number too.
    server.sign_in(name)
    server.grant(name, SERVED, "READ")
    assert oidc.score(token) == 401


def test_oidc_auth_s_own_pages_and_permissions_work_as_before(oidc: OidcCast) -> None:
    server = oidc.server
    with_page = {"Accept": "text/html"}
    stranger = requests.get(server.url, headers=with_page, timeout=60, allow_redirects=False)
    assert stranger.status_code in {302, 307}, stranger.text
    page = requests.get(server.url, headers=oidc.sessions["read"] | with_page, timeout=60)
    assert page.status_code == 200 and "/mlflow-serving.js" in page.text
    models = f"{server.url}/api/2.0/mlflow/registered-models/get"
    for kind, status in {"read": 200, "none": 403, "wrong": 401}.items():
        answer = requests.get(models, params={"name": SERVED}, headers=oidc.passwords[kind], timeout=60)
        assert answer.status_code == status, (kind, answer.text)
