"""Workspaces of MLflow (``--enable-workspaces``, since 3.10): whether there are any, and how its stores look at one."""

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
    """Have MLflow's stores look at this workspace, in this thread; nothing on a server that has none.

    Never with ``WorkspaceContext``: that changes the environment of the whole process.
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
