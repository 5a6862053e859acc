"""Real servers with an auth app, and people who may do this and that on them."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import requests
from mlflow import MlflowClient

from support.server import HTTP_S, TrackingServer

ADMIN, ADMIN_PASSWORD = "admin", "the admin's own password"
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


class BasicAuthServer(TrackingServer):
    """MLflow's ``basic-auth`` with serving around it, on a database that is made when it starts."""

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
