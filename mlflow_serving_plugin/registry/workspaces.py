"""Workspaces of MLflow (``--enable-workspaces``, since 3.10): whether they are enabled, and how to select one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


def workspaces_enabled() -> bool:
    """Whether the server has workspaces."""
    from mlflow import environment_variables

    variable = getattr(environment_variables, "MLFLOW_ENABLE_WORKSPACES", None)
    return bool(variable is not None and variable.get())


@contextlib.contextmanager
def in_workspace(name: str) -> Iterator[None]:
    """Select a workspace for MLflow's stores in this thread; does nothing on a server without workspaces.

    ``WorkspaceContext`` would change the environment of the whole process, so it is not used.
    """
    if not workspaces_enabled():
        yield
        return
    from mlflow.utils import workspace_context

    scope: Any = getattr(workspace_context, "ServerWorkspaceContext", None)
    if scope is not None:
        with scope(name):
            yield
        return
    workspace_context.set_server_request_workspace(name)
    try:
        yield
    finally:
        workspace_context.clear_server_request_workspace()
