"""Who may do what on a real ``oidc-auth`` server: by a session in the browser, by password, and by token."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from support_auth import basic, bearer, client_of
from support_cells import KINDS, SERVED, SPARE, wrong_cells
from support_models import Models, register
from support_oidc import ADMIN, OLDEST_PYTHON, OidcServer, Provider, oidc_environment

NO_TOKEN = "mlsp_" + "A" * 43
GRANTS = {"read": "READ", "edit": "EDIT", "manage": "MANAGE"}

pytestmark = pytest.mark.skipif(sys.version_info < OLDEST_PYTHON, reason="mlflow-oidc-auth needs Python 3.11")


class Cast:
    """A server, and somebody of every kind with a session, an access token as a password, and a token of ours."""

    def __init__(self, server: OidcServer) -> None:
        self.server = server
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
def cast(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    log = tmp_path_factory.mktemp("provider") / "log"
    with oidc_environment() as python, Provider(python, log) as provider, OidcServer(python, provider) as server:
        with client_of(server, ADMIN, server.admin_password) as client:
            register(client, SERVED, models.path("iris-1"))
            client.create_registered_model(SPARE)
        server.enable(SERVED)
        server.enable(SPARE)
        server.wait_ready(SERVED, 1)
        yield Cast(server)


@pytest.mark.parametrize("kind", KINDS)
def test_every_route_by_session(cast: Cast, kind: str) -> None:
    assert wrong_cells(cast.server, kind, cast.sessions[kind]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_route_by_password(cast: Cast, kind: str) -> None:
    assert wrong_cells(cast.server, kind, cast.passwords[kind]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_route_by_token(cast: Cast, kind: str) -> None:
    assert wrong_cells(cast.server, kind, cast.tokens[kind]) == []
