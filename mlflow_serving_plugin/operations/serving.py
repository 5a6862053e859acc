"""Creating, updating, describing and deleting serving endpoints.

CAN_QUERY is READ on every registered model that the endpoint serves; CAN_MANAGE is MANAGE on all of them, or READ for
whoever created the endpoint. An endpoint that the caller may not query does not exist for the caller: NotFoundError.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlflow_serving_plugin.access.base import Access, Permission, User, owner_of, require_manage
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.domain.request_log import NOWHERE, LogRoots, check_log_config
from mlflow_serving_plugin.domain.routes import no_such_endpoint, serving_key
from mlflow_serving_plugin.domain.serving import ServedConfig, ServedEntity, ServingSpec
from mlflow_serving_plugin.domain.tracking import NO_TRACKING, TrackingRules, claim
from mlflow_serving_plugin.errors import ConflictError, InvalidParameterError, NotFoundError, PermissionDeniedError
from mlflow_serving_plugin.host.messages import Changed, Nudge
from mlflow_serving_plugin.host.snapshot import SnapshotReader
from mlflow_serving_plugin.operations.described import Described
from mlflow_serving_plugin.operations.fields import Fields
from mlflow_serving_plugin.operations.served_config import NAME_RULE, is_name, read_config
from mlflow_serving_plugin.operations.served_extras import (
    NOT_HERE,
    limited_tags,
    read_ai_gateway,
    read_limits_of_new,
    read_rate_limits,
    read_tags,
    require_version,
)
from mlflow_serving_plugin.registry.models import RegisteredModel
from mlflow_serving_plugin.store.endpoints import Store
from mlflow_serving_plugin.store.tables import SERVING

RESERVED = ("chat", "completions", "responses", "embeddings", "models", "pt")
"""Names whose paths belong to other APIs below ``/serving-endpoints``."""

_CREATE_FIELDS = ("name", "config", "tags", "description", "rate_limits", "ai_gateway")


@dataclass(frozen=True, slots=True)
class ServingOperations:
    """The operations, on the server's collaborators. ``send`` tells the controller. Thread-safe.

    ``model``: a registered model that the caller may read; NotFoundError for any other. ``log_roots``: where requests
    may be logged. ``sandbox_optional``: whether an entity may turn the sandbox off.
    """

    store: Store
    access: Access
    snapshot: SnapshotReader
    send: Callable[[Nudge], None]
    model: Callable[[User, str, str], RegisteredModel]
    log_roots: LogRoots = NOWHERE
    clock: Callable[[], float] = time.time
    sandbox_optional: bool = False
    tracking: TrackingRules = NO_TRACKING

    def create(self, caller: User, workspace: str, document: Mapping[str, Any]) -> Described:
        """Create an endpoint; AlreadyExistsError, InvalidParameterError naming the field."""
        fields = Fields(document)
        for name, reason in NOT_HERE.items():
            if fields.get(name) not in (None, False, [], {}):
                raise fields.refusal(name, reason)
        name = fields.only(_CREATE_FIELDS, ignored=NOT_HERE).text("name")
        if not is_name(name):
            raise fields.refusal("name", f"must be {NAME_RULE}")
        if name.lower() in RESERVED:
            raise fields.refusal("name", f"'{name}' is the name of an API below /serving-endpoints")
        tags = read_tags(fields.objects("tags"))
        description = fields.text("description", default="", empty=True)
        limits = read_limits_of_new(fields)
        config = fields.object("config")
        if config is None:
            raise fields.refusal("config", "is missing")
        now_ms = self._now_ms()
        wanted = self._resolved(caller, workspace, config.values(), None, config.path)
        spec = ServingSpec(caller.name or "", now_ms, now_ms, description=description, tags=limited_tags(tags))
        spec = replace(spec, **limits)
        endpoint = self.store.create(workspace, name, spec.begin(wanted, now_ms), by=caller.name)
        self._tell(endpoint)
        return self._join(endpoint, manages=True)

    def update(self, caller: User, workspace: str, name: str, document: Mapping[str, Any]) -> Described:
        """Begin the update to another configuration; ConflictError while another update is under way."""
        endpoint = self.managed(caller, workspace, name)
        before = endpoint.spec.present if endpoint.spec else None
        wanted = self._resolved(caller, workspace, document, before, "")

        def begin(spec: ServingSpec) -> ServingSpec:
            if spec.pending is not None:
                raise ConflictError(f"Serving endpoint '{name}' is being updated. Wait, or cancel the update.")
            return spec.begin(wanted, self._now_ms())

        message = f"The configuration of '{endpoint.name}' was changed"
        changed = self.store.change(endpoint, begin, "ENDPOINT_CONFIGURED", message, by=caller.name)
        self._tell(changed)
        return self._join(changed, manages=True)

    def tag(self, caller: User, workspace: str, name: str, document: Mapping[str, Any]) -> dict[str, str | None]:
        """Add and remove tags; the tags there are now."""
        fields = Fields(document).only(("add_tags", "delete_tags"))
        added, removed = read_tags(fields.objects("add_tags")), fields.get("delete_tags") or []
        if not isinstance(removed, list) or not all(isinstance(key, str) for key in removed):
            raise fields.refusal("delete_tags", "must be a list of texts")
        endpoint = self.managed(caller, workspace, name)

        def retag(spec: ServingSpec) -> ServingSpec:
            kept = {key: value for key, value in spec.tags.items() if key not in removed}
            return replace(spec, tags=limited_tags({**kept, **added}), updated_ms=self._now_ms())

        message = f"The tags of '{endpoint.name}' were changed"
        changed = self.store.change(endpoint, retag, "ENDPOINT_TAGGED", message, by=caller.name)
        return dict(changed.spec.tags) if changed.spec else {}

    def limit(
        self, caller: User, workspace: str, name: str, document: Mapping[str, Any], *, ai_gateway: bool = False
    ) -> Described:
        """Replace the limits on calls per minute; those that are left out end. ``ai_gateway``: in that API's shape."""
        fields = Fields(document)
        limits = read_ai_gateway(fields) if ai_gateway else read_rate_limits(fields.only(("rate_limits",)))
        endpoint = self.managed(caller, workspace, name)

        def relimit(spec: ServingSpec) -> ServingSpec:
            return replace(spec, **limits, updated_ms=self._now_ms())

        message = f"The rate limits of '{endpoint.name}' were changed"
        changed = self.store.change(endpoint, relimit, "ENDPOINT_CONFIGURED", message, by=caller.name)
        self._tell(changed)
        return self._join(changed, manages=True)

    def delete(self, caller: User, workspace: str, name: str) -> None:
        """Delete an endpoint, also during an update."""
        endpoint = self.managed(caller, workspace, name)
        self.store.delete(endpoint, by=caller.name)
        self._tell(endpoint)

    def describe(self, caller: User, workspace: str, name: str) -> Described:
        """An endpoint that the caller may query; NotFoundError."""
        endpoint = self.store.find_serving(workspace, name)
        found = None if endpoint is None else self._described(caller, endpoint)
        if found is None:
            raise NotFoundError(no_such_endpoint(name))
        return found

    def describe_by_id(self, caller: User, workspace: str, endpoint_id: str) -> Described:
        """The same by the endpoint's id."""
        for found in self.find_all(caller, workspace):
            if found.endpoint.id == endpoint_id:
                return found
        raise NotFoundError("There is no serving endpoint with this id, or you may not query the endpoint.")

    def find_all(self, caller: User, workspace: str) -> list[Described]:
        """The endpoints of a workspace that the caller may query, by name."""
        endpoints = [found for found in self.store.find_all_serving() if found.workspace == workspace]
        described = (self._described(caller, endpoint) for endpoint in endpoints)
        return [found for found in described if found is not None]

    def events(
        self, caller: User, workspace: str, name: str, *, page_token: str | None, limit: int
    ) -> tuple[list[Event], str | None]:
        """A page of an endpoint's events, newest first, and the token of the next page."""
        name = self.describe(caller, workspace, name).endpoint.name
        return self.store.events(workspace, name, entity=None, page_token=page_token, limit=limit, kind=SERVING)

    def managed(self, caller: User, workspace: str, name: str) -> Endpoint:
        """An endpoint that the caller may manage; NotFoundError, PermissionDeniedError."""
        found = self.describe(caller, workspace, name)
        if not found.manages:
            raise PermissionDeniedError(
                f"You need MANAGE permission on every registered model that serving endpoint '{name}' serves, "
                "or to have created the endpoint."
            )
        return found.endpoint

    def _described(self, caller: User, endpoint: Endpoint) -> Described | None:
        """An endpoint as the caller may see it; None for a caller who may not read all models that answer."""
        spec = endpoint.spec
        if spec is None or spec.present is None:
            return None

        def least(models: Iterable[str]) -> Permission:
            held = (self.access.permission(caller, endpoint.workspace, name) for name in models)
            return min(held, default=Permission.NONE)

        now = least(spec.present.models)
        if now < Permission.READ:
            return None
        after = min(now, least(spec.models)) if spec.pending and spec.active else now
        created = caller.name is not None and spec.creator == caller.name
        manages = created or after is Permission.MANAGE
        return self._join(endpoint, manages=manages, sees_pending=after >= Permission.READ)

    def _resolved(
        self, caller: User, workspace: str, document: Mapping[str, Any], before: ServedConfig | None, path: str
    ) -> ServedConfig:
        """The configuration that a caller wrote, with the registered models as they are."""
        wanted = read_config(document, before, path, sandbox_optional=self.sandbox_optional)
        check_log_config(wanted.request_log, self.log_roots)
        key = "served_entities" if document.get("served_entities") is not None else "served_models"
        entities = []
        for index, entity in enumerate(wanted.entities):
            where = f"{path}{key}[{index}]"
            model = self._model(caller, workspace, entity, where)
            own = document[key][index].get("config") or {}
            if own != {}:
                require_manage(self.access, caller, workspace, model.name)
            found = replace(
                entity,
                model=model.name,
                model_created_ms=model.created_ms,
                creator=caller.name or "",
                created_ms=self._now_ms(),
            )
            lent = found.as_lent(before)
            if lent is None:
                config = claim(self.tracking, found.config, own, owner_of(self.access, caller), f"{where}.")
                lent = replace(found, config=config)
            entities.append(lent)
        return replace(wanted, entities=tuple(entities))

    def _model(self, caller: User, workspace: str, entity: ServedEntity, where: str) -> RegisteredModel:
        try:
            model = self.model(caller, workspace, entity.model)
        except (NotFoundError, InvalidParameterError) as error:
            raise type(error)(f"{where}.entity_name: {error.message}") from None
        require_version(model, entity.version, where)
        return model

    def _join(self, endpoint: Endpoint, *, manages: bool, sees_pending: bool = True) -> Described:
        routes = self.snapshot.current()
        route = routes.endpoints.get(serving_key(endpoint.workspace, endpoint.name))
        route = None if route is None or route.id != endpoint.id else route
        entities = {entity.name: entity for entity in routes.entities_of(route)} if route else {}
        if endpoint.spec is None:
            raise InvalidParameterError(f"'{endpoint.name}' is no serving endpoint.")
        return Described(endpoint, endpoint.spec, entities, route, manages, sees_pending, routes.written_ms)

    def _tell(self, endpoint: Endpoint) -> None:
        for model in endpoint.spec.models if endpoint.spec else ():
            self.send(Changed(endpoint.workspace, model))

    def _now_ms(self) -> int:
        return int(self.clock() * 1000)
