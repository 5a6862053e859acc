"""Real servers with an auth app, and people who may do this and that on them."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import requests
from mlflow import MlflowClient

from support import eventually
from support.cells import IRIS, SERVED, SPARE
from support.server import HTTP_S, TrackingServer
from support.shared import databases

ADMIN, ADMIN_PASSWORD = "admin", "the admin's own password"
NO_TOKEN = "mlsp_" + "A" * 43
"""Has the shape of a token, and nobody has made it."""

_NAMES = ("127.0.0.1", "server.test", "tracking.test")
ALLOWED_HOSTS = ("--allowed-hosts", ",".join(f"{name},{name}:*" for name in _NAMES))
"""The names by which tests call a server; by another, ``evil.test`` say, a server does not answer."""

GRANTS = {"read": "READ", "edit": "EDIT", "manage": "MANAGE"}
"""What the people of a cast may do with both models of the table, by the kind of caller."""

BASIC_ENVIRON = {
    "MLFLOW_AUTH_CONFIG_PATH": "{root}/auth.ini",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key for tests",
}


def basic(name: str, password: str) -> dict[str, str]:
    """Headers of a caller with a password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    """Headers of a caller with a token."""
    return {"Authorization": f"Bearer {token}"}


class Caller:
    """Scores on a server with authentication; ``workers`` of the server: how many web workers have to agree."""

    def __init__(self, server: TrackingServer, workers: int) -> None:
        self.server = server
        self._workers = workers

    def score(self, headers: Mapping[str, str], model: str = SERVED) -> int:
        """The status of scoring, on a connection of its own."""
        url = f"{self.server.url}/model/{model}/1/invocations"
        return requests.post(url, json=IRIS, headers=headers, timeout=HTTP_S).status_code

    def everywhere(self, headers: Mapping[str, str], status: int, within_s: float = 30.0) -> None:
        """Soon every web worker scores with this status: many more connections than there are workers agree."""
        eventually(
            lambda: all(self.score(headers) == status for _ in range(6 * self._workers)),
            within_s=within_s,
            tail=self.server.tail,
        )


class BasicAuthServer(TrackingServer):
    """MLflow's ``basic-auth`` with serving around it, whose admin is made when it starts."""

    def __init__(
        self, kind: str = "uvicorn", *, app: str = "serving", environ: Mapping[str, str] | None = None, **options
    ) -> None:
        settings = {**({"base_app": "basic-auth"} if app == "serving" else {}), **options.pop("settings", {})}
        super().__init__(
            kind,
            app=app,
            environ={**BASIC_ENVIRON, **(environ or {})},
            settings=settings,
            credentials=basic(ADMIN, ADMIN_PASSWORD),
            **options,
        )
        self.grpc_port = 0
        shutil.copy(databases() / "auth.db", self.root)
        (self.root / "auth.ini").write_text(
            "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
            f"database_uri = sqlite:///{self.root}/auth.db\n"
            f"admin_username = {ADMIN}\nadmin_password = {ADMIN_PASSWORD}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )

    def mlflow(self, method: str, path: str, headers: Mapping[str, str] | None = None, **body: object) -> dict:
        """Call MLflow's own API as the admin, or with other headers."""
        response = requests.request(
            method, f"{self.url}{path}", json=body, headers=headers or self.credentials, timeout=HTTP_S
        )
        assert response.ok, f"{path}: {response.status_code} {response.text}\n{self.tail()}"
        return response.json() if response.text else {}

    def add_user(self, name: str, password: str = "a long enough password") -> dict[str, str]:
        """A new user; their headers."""
        self.mlflow("POST", "/api/2.0/mlflow/users/create", username=name, password=password)
        return basic(name, password)

    def grant(self, name: str, model: str, permission: str) -> None:
        """Give a user a permission on a registered model."""
        self.mlflow(
            "POST",
            "/api/3.0/mlflow/users/permissions/grant",
            username=name,
            resource_type="registered_model",
            resource_id=model,
            permission=permission,
        )

    def token(self, headers: Mapping[str, str], **fields: object) -> str:
        """A token of whoever these headers are of."""
        return self.mlflow("POST", "/api/2.0/token/create", headers, **fields)["token_value"]


class Cast(Caller):
    """A server with ``basic-auth``, and somebody of every kind with a password and a token."""

    def __init__(self, server: BasicAuthServer) -> None:
        super().__init__(server, server.web_workers)
        self.passwords: dict[str, dict[str, str]] = {
            "anonymous": {},
            "wrong": basic("read", "not the password"),
            "admin": server.credentials,
        }
        for kind in ("none", *GRANTS):
            self.passwords[kind] = server.add_user(kind)
        for kind, permission in GRANTS.items():
            for model in (SERVED, SPARE):
                server.grant(kind, model, permission)
        self.tokens = {kind: bearer(server.token(self.passwords[kind])) for kind in ("none", *GRANTS, "admin")}
        self.tokens |= {"anonymous": {}, "wrong": bearer(NO_TOKEN)}


@contextlib.contextmanager
def client_of(server: TrackingServer, name: str = ADMIN, password: str = ADMIN_PASSWORD) -> Iterator[MlflowClient]:
    """MLflow's own client of a server, with a password."""
    variables = {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password}
    before = {key: os.environ.get(key) for key in variables}
    os.environ.update(variables)
    try:
        yield server.client
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.__setitem__(key, value)


def model_files_of(server: TrackingServer) -> list[Path]:
    """All files and directories of served models in the state directory."""
    return list((server.state / "models").rglob("*"))
