"""A control API on in-memory collaborators, and the snapshot that a controller would have written."""

import shutil
import threading
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from flask import Flask
from support.routes import an_entity, routes_of

from mlflow_serving_plugin.access.base import Permission, User
from mlflow_serving_plugin.api.app import create_api
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.endpoint import DEFAULT_WORKSPACE, Endpoint
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.domain.routes import Routes, WorkerRoute
from mlflow_serving_plugin.domain.states import EndpointState, EntityState
from mlflow_serving_plugin.errors import InvalidParameterError, NotFoundError, UnauthenticatedError
from mlflow_serving_plugin.host.messages import Inbox, send_nudge
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.snapshot import SnapshotReader, publish
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.operations.endpoints import EndpointOperations
from mlflow_serving_plugin.operations.tokens import TokenOperations
from mlflow_serving_plugin.settings import Settings


class MemoryStore:
    """Endpoints and events in dictionaries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str], Endpoint] = {}
        self._on: set[tuple[str, str]] = set()
        self.log: list[Event] = []
        self.callers: list[str | None] = []

    def find(self, workspace, name):
        key = (workspace, name)
        return self._rows[key] if key in self._on else None

    def enabled(self):
        return [self._rows[key] for key in self._on]

    def enable(self, workspace, name, *, model_created_ms, config, by):
        with self._lock:
            key = (workspace, name)
            new = Endpoint(f"id-{name}", workspace, name, config or EndpointConfig(), model_created_ms)
            self._rows.setdefault(key, new)
            self._on.add(key)
            self.callers.append(by)
            return self._rows[key]

    def disable(self, workspace, name, *, by):
        with self._lock:
            found = (workspace, name) in self._on
            self._on.discard((workspace, name))
            self.callers.append(by)
            return found

    def configure(self, workspace, name, config, *, by):
        if self.find(workspace, name) is None:
            raise NotFoundError(f"Serving is not enabled on registered model '{name}'.")
        with self._lock:
            self._rows[workspace, name] = replace(self._rows[workspace, name], config=config)
            self.callers.append(by)
            return self._rows[workspace, name]

    def events(self, workspace, name, *, entity, page_token, limit):
        if page_token is not None and not page_token.isdigit():
            raise InvalidParameterError("page_token is not one that get-event-history gave.")
        start = int(page_token or 0)
        found = [e for e in self.log if e.name == name and entity in (None, e.entity)]
        page = found[start : start + limit]
        return page, str(start + limit) if len(found) > start + limit else None


class MemoryTokens:
    """Tokens by digest, and what the audit would tell."""

    def __init__(self) -> None:
        self.kept = {}
        self.told: list[Event] = []

    def add_token(self, token, digest):
        self.kept[digest] = token

    def tokens(self, owner):
        return [token for token in self.kept.values() if owner in (None, token.owner)]

    def remove_token(self, token_id, *, owner, by):
        found = [digest for digest, token in self.kept.items() if token.id == token_id and owner in (None, token.owner)]
        for digest in found:
            del self.kept[digest]
        return bool(found)

    def audit(self, *, page_token, limit):
        return self.told[:limit], None


@dataclass(frozen=True)
class MemoryModel:
    name: str
    created_ms: int


class MemoryRegistry:
    """Registered models by name."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def model(self, workspace, name):
        if name not in self.names:
            raise NotFoundError(f"Registered Model with name={name} not found")
        return MemoryModel(name, 1000)


@dataclass
class TableAccess:
    """Users by ``Authorization`` header; permissions by (user, model). Whoever is not listed holds ``default``."""

    users: dict[str, str] | None = None
    table: dict[tuple[str, str], Permission] = field(default_factory=dict)
    default: Permission = Permission.MANAGE
    admins: set[str] = field(default_factory=set)

    def identify(self, headers):
        if self.users is None:
            return User(None)
        name = self.users.get(headers.get("authorization", ""))
        if name is None:
            raise UnauthenticatedError("Credentials are missing or wrong.")
        return User(name)

    def permission(self, user, workspace, name):
        return self.table.get((user.name, name), self.default)

    def is_admin(self, user):
        return user.name in self.admins

    def account(self, user):
        return None if user.name is None else f"account of {user.name}"


def worker(worker_id="w1", pid=1, *, ready=True):
    return WorkerRoute(worker_id, "http", f"/tmp/{worker_id}", pid, 1700000000000, ready)


def version(number, state=EntityState.READY, message="", *, stage="None", model_dir=None, workers=()):
    return an_entity(number, state, message, stage=stage, model_dir=model_dir, workers=tuple(workers))


class ApiWorld:
    """One server's control API and everything around it."""

    def __init__(self, root: Path, static_prefix: str = "", secure=lambda app: None) -> None:
        self.paths = StatePaths.create(root)
        self.store = MemoryStore()
        self.registry = MemoryRegistry("iris", "wine", "große Modelle")
        self.access = TableAccess()
        self.tokens = MemoryTokens()
        self.inbox = Inbox(self.paths.nudges)
        self.routes = Routes()
        snapshot = SnapshotReader(self.paths.routes, check_every_s=0)
        self.deps = ApiDeps(
            settings=Settings(),
            paths=self.paths,
            snapshot=snapshot,
            access=self.access,
            endpoints=EndpointOperations(
                self.store, self.registry, self.access, snapshot, partial(send_nudge, self.paths.nudges)
            ),
            tokens=TokenOperations(self.tokens, self.access),
            metrics=Metrics(self.paths.metrics),
            static_prefix=static_prefix,
            secure=secure,
        )
        self.app: Flask = create_api(self.deps)
        self.client = self.app.test_client()

    def enable(self, name="iris", config=None):
        return self.store.enable(DEFAULT_WORKSPACE, name, model_created_ms=1000, config=config, by=None)

    def publish(self, *versions, name="iris", state=EndpointState.READY, message="", aliases=None, endpoint_id=None):
        """Be the controller: put an endpoint into the snapshot."""
        id_ = endpoint_id or f"id-{name}"
        found = [replace(v, key=EntityKey(id_, v.name), model=replace(v.model, name=name)) for v in versions]
        one = routes_of(*found, endpoint_id=id_, name=name, state=state, message=message, aliases=aliases)
        endpoints = {**self.routes.endpoints, **one.endpoints}
        self.routes = Routes(endpoints=endpoints, entities={**self.routes.entities, **one.entities})
        publish(self.paths.routes, self.routes)

    def write_log(self, name, number, data: bytes):
        path = self.paths.entity_log(f"id-{name}", str(number))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def close(self):
        self.inbox.close()
        # Outside the test's directory when that has a long path.
        shutil.rmtree(self.paths.sockets)
