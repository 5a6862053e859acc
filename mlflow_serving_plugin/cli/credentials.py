"""Who calls, and which certificates are trusted: by MLflow's own variables."""

from __future__ import annotations

from collections.abc import Mapping

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from mlflow_serving_plugin.cli.errors import CliError

VARIABLES = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
"""Where the credentials come from, for a person."""


class _Bearer(AuthBase):
    # Not a header of the session: a .netrc entry for the host would replace that header.
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def credentials(environ: Mapping[str, str]) -> AuthBase | None:
    """The caller's credentials; None: the server is asked without."""
    user, password = environ.get("MLFLOW_TRACKING_USERNAME"), environ.get("MLFLOW_TRACKING_PASSWORD")
    if user and password:
        return HTTPBasicAuth(user.encode(), password.encode())
    token = environ.get("MLFLOW_TRACKING_TOKEN")
    if token and not (token.isascii() and token.isprintable()):
        raise CliError("MLFLOW_TRACKING_TOKEN holds a line break or another character that no token has.")
    return _Bearer(token) if token else None


def verification(environ: Mapping[str, str]) -> bool | str:
    """How the certificate of the server is verified, as ``requests`` takes it."""
    if environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"true", "1"}:
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return False
    return environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
