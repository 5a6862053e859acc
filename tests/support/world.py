"""The real controller on a real store (SQLite) with a registry in memory and workers that are only said to run."""

from __future__ import annotations

import threading
from dataclasses import replace

from mlflow_serving_plugin.controller.controller import Controller
from mlflow_serving_plugin.controller.deps import ControllerDeps
from mlflow_serving_plugin.domain.endpoint import EndpointConfig
from mlflow_serving_plugin.domain.routes import Routes
from mlflow_serving_plugin.domain.routes_text import load_routes
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.domain.tracking import NO_TRACKING
from mlflow_serving_plugin.environments.environments import Environments
from mlflow_serving_plugin.host.messages import Changed, send_nudge
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.files import read_totals
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.store.database import open_database, upgrade
from mlflow_serving_plugin.store.endpoints import Store
from mlflow_serving_plugin.testing import MemoryRegistry
from support import eventually
from support.controller import FakeBackend, a_model, a_version, model_files

WS = "default"
# Nothing but a nudge makes it look at the registry within a test.
SETTINGS = Settings(tick_interval_s=0.1, poll_interval_s=3600.0, backoff_base_s=0.05, backoff_cap_s=0.2)


class World:
    """A controller and all that it works with. The registry holds ``iris``, version 1."""

    def __init__(self, paths, settings=SETTINGS):
        self.paths = paths
        self.settings = settings
        engine = open_database(f"sqlite:///{paths.root / 'tracking.db'}")
        upgrade(engine, paths.lock("database"))
        self.engine = engine
        self.store = Store(engine)
        self.registry = MemoryRegistry(a_model("iris", a_version(1)))
        self.backend = FakeBackend()
        self.metrics = Metrics(paths.metrics)
        self.tracking, self.worker_tokens = NO_TRACKING, None
        self.download = self._download
        self.fetch_errors = {}
        self.fetched = []
        self._threads = []

    def controller(self):
        return Controller(
            ControllerDeps(
                settings=self.settings,
                paths=self.paths,
                store=self.store,
                registry=self.registry,
                backend=self.backend,
                environments=Environments(self.settings, self.paths.environments),
                download=self.download,
                example=lambda _: None,
                metrics=self.metrics,
                tracking=self.tracking,
                worker_tokens=self.worker_tokens,
            )
        )

    def start(self):
        stop, controller = threading.Event(), self.controller()
        thread = threading.Thread(target=controller.run, args=(stop,), daemon=True)
        thread.start()
        self._threads.append((thread, stop, controller))
        return thread

    def stop(self):
        for thread, stop, controller in self._threads:
            stop.set()
            controller.wake()
            thread.join(10)
            assert not thread.is_alive()
        self._threads.clear()

    def close(self):
        self.stop()
        self.engine.dispose()

    def enable(self, name="iris", **config):
        created_ms = self.registry.models[WS, name].created_ms
        endpoint = self.store.enable(WS, name, model_created_ms=created_ms, config=EndpointConfig(**config), by=None)
        self.nudge(name)
        return endpoint

    def nudge(self, name=None):
        send_nudge(self.paths.nudges, Changed(WS, name))

    def versions(self, *versions, name="iris", **aliases):
        """Change what the registry says of a model, and nudge as the server does."""
        self.registry.put(replace(self.registry.models[WS, name], versions=versions, aliases=aliases))
        self.nudge(name)

    def route(self, name="iris"):
        return self.routes().endpoints.get(f"{WS}/{name}")

    def routes(self):
        return load_routes(self.paths.routes.read_bytes())

    def state(self, number, name="iris"):
        # One snapshot: the next one may already be without the entity.
        routes = self.routes() if self.paths.routes.exists() else Routes()
        route = routes.endpoints.get(f"{WS}/{name}")
        entity = routes.entities.get(f"{route.id}/{number}") if route else None
        return entity.state if entity else None

    def entity(self, number, name="iris"):
        routes = self.routes()
        return routes.entities[f"{routes.endpoint(WS, name).id}/{number}"]

    def until(self, condition):
        return eventually(condition, tail=self.tail)

    def until_ready(self, *numbers, name="iris"):
        self.until(lambda: all(self.state(n, name) is EntityState.READY for n in numbers))

    def events(self, name="iris"):
        page, _ = self.store.events(WS, name, entity=None, page_token=None, limit=1000)
        return [(event.entity and int(event.entity), event.type, event.message) for event in reversed(page)]

    def kinds(self, name="iris"):
        return [kind for _, kind, _ in self.events(name)]

    def counted(self, *series):
        self.metrics.flush()
        return read_totals(self.paths.metrics).get(series)

    def model_files(self):
        return sorted(path.name for path in self.paths.models.glob("*/*"))

    def tail(self):
        routes = self.paths.routes.read_text() if self.paths.routes.exists() else "(no routes)"
        return f"{routes}\n{self.backend.observe()}\n{self.events()}"

    def _download(self, workspace, name, number, directory):
        self.fetched.append((name, number))
        if number in self.fetch_errors:
            raise self.fetch_errors[number]
        return model_files(directory)
