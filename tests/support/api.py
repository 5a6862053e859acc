"""A control API on in-memory collaborators, and the snapshot that a controller would have written."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from flask import Flask

from mlflow_serving_plugin.api.app import create_api
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.domain.endpoint import DEFAULT_WORKSPACE
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.domain.request_log import LogRoots
from mlflow_serving_plugin.domain.routes import Routes, WorkerRoute
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.host.messages import Inbox, send_nudge
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.snapshot import SnapshotReader, publish
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.history import HistoryReader
from mlflow_serving_plugin.operations.endpoints import EndpointOperations
from mlflow_serving_plugin.operations.serving import ServingOperations
from mlflow_serving_plugin.operations.tokens import TokenOperations
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.testing import MemoryAccess, MemoryRegistry, MemoryStore, MemoryTokens
from support.routes import an_entity, routes_of

MODEL_CREATED_MS = 1000


def worker(worker_id="w1", pid=1, *, ready=True):
    return WorkerRoute(worker_id, "http", f"/tmp/{worker_id}", pid, 1700000000000, ready)


def version(number, state=EntityState.READY, message="", *, stage="None", model_dir=None, workers=()):
    return an_entity(number, state, message, stage=stage, model_dir=model_dir, workers=tuple(workers))


class ApiWorld:
    """One server's control API and everything around it."""

    def __init__(self, root: Path, static_prefix: str = "", secure=lambda app: None, rules=None) -> None:
        self.paths = StatePaths.create(root)
        self.store = MemoryStore()
        self.registry = MemoryRegistry()
        for name in ("iris", "wine", "große Modelle"):
            self.registry.add(name, created_ms=MODEL_CREATED_MS)
        self.access = MemoryAccess()
        self.tokens = MemoryTokens(self.store)
        self.inbox = Inbox(self.paths.nudges)
        self.routes = Routes()
        snapshot = SnapshotReader(self.paths.routes, check_every_s=0)
        send = partial(send_nudge, self.paths.nudges)
        roots = LogRoots.of("", str(self.paths.request_logs))
        endpoints = EndpointOperations(self.store, self.registry, self.access, snapshot, send, log_roots=roots)
        self.deps = ApiDeps(
            settings=Settings(),
            paths=self.paths,
            snapshot=snapshot,
            access=self.access,
            endpoints=endpoints,
            tokens=TokenOperations(self.tokens, self.access, endpoints.model),
            serving=ServingOperations(self.store, self.access, snapshot, send, endpoints.model, log_roots=roots),
            metrics=Metrics(self.paths.metrics),
            history=HistoryReader(self.paths.history),
            static_prefix=static_prefix,
            secure=secure,
            browser_rules=rules,
        )
        self.app: Flask = create_api(self.deps)
        self.client = self.app.test_client()

    def enable(self, name="iris", config=None):
        return self.store.enable(DEFAULT_WORKSPACE, name, model_created_ms=MODEL_CREATED_MS, config=config, by=None)

    def add_event(self, timestamp_ms, entity, message, name="iris", hosts=()):
        """Be the controller: tell of something that happened to an enabled endpoint."""
        event = Event(timestamp_ms, DEFAULT_WORKSPACE, name, entity, "VERSION_READY", message, hosts)
        self.store.add_events([(f"id-{name}", event)])

    def publish(self, *versions, name="iris", endpoint_id=None, **endpoint):
        """Be the controller: put an endpoint into the snapshot, which knows the newest generation unless told."""
        id_ = endpoint_id or f"id-{name}"
        stored = self.store.find(DEFAULT_WORKSPACE, name)
        endpoint = {"generation": stored.generation if stored else 0} | endpoint
        found = [replace(v, key=EntityKey(id_, v.name), model=replace(v.model, name=name)) for v in versions]
        one = routes_of(*found, endpoint_id=id_, name=name, **endpoint)
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
