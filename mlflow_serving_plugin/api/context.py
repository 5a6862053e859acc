"""What every view needs: the caller, the endpoint it names, and where that stands on this host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import current_app, request

from mlflow_serving_plugin.access.base import Permission, User, require
from mlflow_serving_plugin.api.bases import Base
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute, routes_key
from mlflow_serving_plugin.domain.states import EndpointState
from mlflow_serving_plugin.domain.workspace import workspace_of
from mlflow_serving_plugin.errors import InvalidParameterError, NotFoundError
from mlflow_serving_plugin.host.messages import Nudge, send_nudge

WORKSPACES = "SERVING_WORKSPACES"
"""Where the app's configuration has it whether the server has workspaces."""


def current_workspace() -> str:
    """The workspace that the request is about; InvalidParameterError when it names none."""
    return workspace_of(header_names_lowered(), enabled=bool(current_app.config.get(WORKSPACES)))


def caller_of(deps: ApiDeps) -> User:
    """Whoever sent the request; UnauthenticatedError when that is nobody."""
    return deps.access.identify(header_names_lowered())


def header_names_lowered() -> dict[str, str]:
    """The request's headers."""
    return {name.lower(): value for name, value in request.headers}


@dataclass(frozen=True, slots=True)
class Served:
    """An enabled endpoint. ``route`` is None until this host's controller has taken it up."""

    endpoint: Endpoint
    route: EndpointRoute | None

    @property
    def state(self) -> EndpointState:
        """Where it stands on this host."""
        return self.route.state if self.route else EndpointState.PENDING

    @property
    def message(self) -> str:
        """Why it stands there."""
        return self.route.message if self.route else "Waiting for the controller"

    @property
    def versions(self) -> list[EntityRoute]:
        """Its served versions, newest first."""
        return sorted(self.route.versions.values(), key=lambda v: -v.number) if self.route else []

    def version(self, number: int) -> EntityRoute:
        """One served version; NotFoundError when it is not served."""
        found = self.route.versions.get(number) if self.route else None
        if found is None:
            raise NotFoundError(f"Version {number} of registered model '{self.endpoint.name}' is not served.")
        return found


@dataclass(frozen=True, slots=True)
class Context:
    """The views' way to the rest of the server, for one base path."""

    deps: ApiDeps
    base: Base

    def caller(self) -> User:
        """Whoever sent the request; UnauthenticatedError when that is nobody."""
        return caller_of(self.deps)

    def require(self, user: User, name: str, needed: Permission) -> None:
        """Raise unless the caller has the permission on the model."""
        require(self.deps.access, user, current_workspace(), name, needed)

    def served(self, fields: dict[str, Any]) -> Served:
        """The endpoint that the request reads.

        Not enabled is INVALID_PARAMETER_VALUE on ``endpoints`` and RESOURCE_DOES_NOT_EXIST on ``endpoints-v2``.
        """
        name = fields["registered_model_name"]
        self.require(self.caller(), name, Permission.READ)
        endpoint = self.deps.store.find(current_workspace(), name)
        if endpoint is None:
            kind = NotFoundError if self.base.v2 else InvalidParameterError
            raise kind(f"Serving is not enabled on registered model '{name}'.")
        return self.join(endpoint)

    def join(self, endpoint: Endpoint) -> Served:
        """An endpoint with its route, unless the snapshot still has an earlier endpoint of that name."""
        route = self.deps.snapshot.current().endpoints.get(routes_key(endpoint.workspace, endpoint.name))
        return Served(endpoint, route if route is not None and route.id == endpoint.id else None)

    def nudge(self, name: str, *, retry: bool = False) -> None:
        """Tell the controller to look at the model now; ``retry``: and to try at once what has failed."""
        send_nudge(self.deps.paths.nudges, Nudge(current_workspace(), name, retry=retry))
