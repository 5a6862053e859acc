"""Enabling, disabling, configuring and describing the endpoints of registered models.

Each operation takes the caller, the workspace and the model's name, and raises ``ServingError`` for what is refused.
A model that the caller may not read does not exist for the caller: NotFoundError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlflow_serving_plugin.access.base import Access, Permission, User, owner_of, require_manage
from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.domain.request_log import NOWHERE, LogRoots, check_log_config
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute, not_enabled, routes_key
from mlflow_serving_plugin.domain.states import EndpointState
from mlflow_serving_plugin.domain.tracking import NO_TRACKING, TrackingRules, claim
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.host.messages import Changed, Nudge, Wake
from mlflow_serving_plugin.host.snapshot import SnapshotReader
from mlflow_serving_plugin.operations.config import merge_config
from mlflow_serving_plugin.registry.models import RegisteredModel
from mlflow_serving_plugin.registry.reader import RegistryReader
from mlflow_serving_plugin.store.endpoints import Store


class NotEnabledError(NotFoundError):
    """Serving is not enabled on the model."""


@dataclass(frozen=True, slots=True)
class Served:
    """An enabled endpoint. ``route`` is None until this host's controller has published one."""

    endpoint: Endpoint
    route: EndpointRoute | None
    entities: tuple[EntityRoute, ...] = ()
    """In the order of their names."""

    @property
    def state(self) -> EndpointState:
        """The endpoint's state on this host."""
        return self.route.state if self.route else EndpointState.STARTING

    @property
    def message(self) -> str:
        """The reason for the state."""
        return self.route.message if self.route else "Waiting for the controller."

    @property
    def observed(self) -> bool:
        """Whether this host's controller knows of the last change that somebody asked for."""
        return self.route is not None and self.route.generation >= self.endpoint.generation

    @property
    def reason(self) -> EntityRoute | None:
        """The version that the state comes from, if any."""
        return next((entity for entity in self.entities if self.route and entity.name == self.route.reason), None)

    @property
    def versions(self) -> list[EntityRoute]:
        """The served versions, newest first."""
        return list(reversed(self.entities))

    def version(self, number: int) -> EntityRoute:
        """One served version; NotFoundError when the version is not served."""
        found = next((entity for entity in self.entities if entity.name == str(number)), None)
        if found is None:
            raise NotFoundError(f"Version {number} of registered model '{self.endpoint.name}' is not served.")
        return found


@dataclass(frozen=True, slots=True)
class EndpointOperations:
    """The operations, on the server's collaborators. ``send`` tells the controller. Thread-safe."""

    store: Store
    registry: RegistryReader
    access: Access
    snapshot: SnapshotReader
    send: Callable[[Nudge], None]
    sandbox_optional: bool = False
    """Whether an endpoint may turn the sandbox off."""
    log_roots: LogRoots = NOWHERE
    """Where requests may be logged."""
    tracking: TrackingRules = NO_TRACKING

    def enable(self, caller: User, workspace: str, name: str, changes: dict[str, Any] | None = None) -> None:
        """Enable serving on a model. On an enabled endpoint, ``changes`` apply and failed versions are retried."""
        model = self.model(caller, workspace, name)
        name = model.name
        require_manage(self.access, caller, workspace, name)
        if changes:
            # Checked before anything is enabled. A disabled endpoint shows no values that a placeholder could keep.
            present = self.store.find(workspace, name)
            self._merge(caller, present.config if present else EndpointConfig(), changes)
        # Even when enabled: the store also handles a model that was deleted and created again under its old name.
        endpoint = self.store.enable(workspace, name, model_created_ms=model.created_ms, config=None, by=caller.name)
        if changes:
            self.store.configure(workspace, name, self._merge(caller, endpoint.config, changes), by=caller.name)
        self.send(Changed(workspace, name))

    def disable(self, caller: User, workspace: str, name: str) -> None:
        """Disable serving on a model; idempotent. NotFoundError when there is no such model."""
        endpoint = self._readable(caller, workspace, name)
        name = endpoint.name if endpoint else self.model(caller, workspace, name).name
        require_manage(self.access, caller, workspace, name)
        self.store.disable(workspace, name, by=caller.name)
        self.send(Changed(workspace, name))

    def configure(self, caller: User, workspace: str, name: str, changes: dict[str, Any]) -> Endpoint:
        """Merge ``changes`` into the configuration; NotEnabledError, InvalidParameterError naming the key."""
        present = self.describe(caller, workspace, name).endpoint
        require_manage(self.access, caller, workspace, present.name)
        config = self._merge(caller, present.config, changes)
        endpoint = self.store.configure(workspace, present.name, config, by=caller.name)
        self.send(Changed(workspace, present.name))
        return endpoint

    def prewarm(self, caller: User, workspace: str, name: str, version: int | None = None) -> None:
        """Wake the versions of a model that sleep, or one version. READ is enough, as a request wakes a version too."""
        served = self.describe(caller, workspace, name)
        for entity in served.entities if version is None else [served.version(version)]:
            self.send(Wake(served.endpoint.id, entity.name))

    def describe(self, caller: User, workspace: str, name: str) -> Served:
        """The endpoint of a model; NotEnabledError, also when there is no such model or the caller may not read it."""
        endpoint = self._readable(caller, workspace, name)
        if endpoint is None:
            raise NotEnabledError(self._why_not_enabled(caller, workspace, name))
        return self._join(endpoint)

    def describe_if_enabled(self, caller: User, workspace: str, name: str) -> Served | None:
        """The endpoint of a model, None when serving is not enabled; NotFoundError when there is no such model."""
        endpoint = self._readable(caller, workspace, name)
        if endpoint is None:
            self.model(caller, workspace, name)
            return None
        return self._join(endpoint)

    def permission(self, caller: User, workspace: str, name: str) -> Permission:
        """What the caller may do with a model; NONE when there is no such model."""
        try:
            return self.access.permission(caller, workspace, self.model(caller, workspace, name).name)
        except NotFoundError:
            return Permission.NONE

    def find_all(self, caller: User, workspace: str) -> list[Served]:
        """The endpoints of a workspace that the caller may read, by name."""
        return [
            self._join(endpoint)
            for endpoint in sorted(self.store.enabled(), key=lambda found: found.name)
            if endpoint.workspace == workspace
            and endpoint.spec is None
            and self.access.permission(caller, workspace, endpoint.name) >= Permission.READ
        ]

    def events(
        self, caller: User, workspace: str, name: str, *, version: int | None, page_token: str | None, limit: int
    ) -> tuple[list[Event], str | None]:
        """A page of an endpoint's events, newest first, and the token of the next page; NotEnabledError."""
        name = self.describe(caller, workspace, name).endpoint.name
        entity = None if version is None else str(version)
        return self.store.events(workspace, name, entity=entity, page_token=page_token, limit=limit)

    def _merge(self, caller: User, config: EndpointConfig, changes: dict[str, Any]) -> EndpointConfig:
        merged = merge_config(config, changes, sandbox_optional=self.sandbox_optional)
        if "request_log" in changes:
            check_log_config(merged.request_log, self.log_roots)
        return claim(self.tracking, merged, changes, owner_of(self.access, caller))

    def _readable(self, caller: User, workspace: str, name: str) -> Endpoint | None:
        """The endpoint of a model that the caller may read, by the name in the endpoint's row.

        MySQL and MariaDB find a row by a name in other letters too, and an auth app does not.
        """
        endpoint = self.store.find(workspace, name)
        if endpoint is None or self.access.permission(caller, workspace, endpoint.name) < Permission.READ:
            return None
        return endpoint

    def model(self, caller: User, workspace: str, name: str) -> RegisteredModel:
        """A registered model that the caller may read; NotFoundError, in the same words, for any other."""
        # Auth apps give a default permission on models that do not exist.
        if self.access.permission(caller, workspace, name) >= Permission.READ:
            model = self.registry.model(workspace, name)
            if self.access.permission(caller, workspace, model.name) >= Permission.READ:
                return model
        raise NotFoundError(f"Registered Model with name={name} not found")

    def _why_not_enabled(self, caller: User, workspace: str, name: str) -> str:
        """A misspelt name is told apart from a model that is not served; a model to be hidden is a misspelt name."""
        try:
            self.model(caller, workspace, name)
        except NotFoundError as error:
            return error.message
        return not_enabled(name)

    def _join(self, endpoint: Endpoint) -> Served:
        """An endpoint with its route, unless the snapshot still has an earlier endpoint of that name."""
        routes = self.snapshot.current()
        route = routes.endpoints.get(routes_key(endpoint.workspace, endpoint.name))
        if route is None or route.id != endpoint.id:
            return Served(endpoint, None)
        return Served(endpoint, route, tuple(routes.entities_of(route)))
