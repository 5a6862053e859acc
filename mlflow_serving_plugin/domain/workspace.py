"""The workspace of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlflow_serving_plugin.domain.endpoint import DEFAULT_WORKSPACE
from mlflow_serving_plugin.errors import InvalidParameterError

WORKSPACE_HEADER = "x-mlflow-workspace"
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


def workspace_of(headers: Mapping[str, str], *, enabled: bool) -> str:
    """The workspace that ``X-MLFLOW-WORKSPACE`` names, else the default workspace; header names in lower case.

    ``enabled``: whether the server runs with ``--enable-workspaces``. InvalidParameterError, as from MLflow itself,
    for an invalid name, and for any name on a server without workspaces.
    """
    name = headers.get(WORKSPACE_HEADER, "").strip()
    if not name:
        return DEFAULT_WORKSPACE
    if not enabled:
        raise InvalidParameterError("Workspaces are not enabled on this server: send no X-MLFLOW-WORKSPACE header.")
    if not _NAME.fullmatch(name):
        raise InvalidParameterError("The header X-MLFLOW-WORKSPACE is not a valid name of a workspace.")
    return name
