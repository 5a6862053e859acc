"""The composition root: makes every part of one web worker and connects the parts. Nothing else knows all of them.

``app`` imports this module in web workers only: the ``mlflow server`` command needs almost nothing of it.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.access import wrapped_app
from mlflow_serving_plugin.access.base import Access
from mlflow_serving_plugin.access.forgery import BrowserRules
from mlflow_serving_plugin.access.server_rules import browser_rules
from mlflow_serving_plugin.api.app import PATHS, create_api
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.backends.selector import select_backend
from mlflow_serving_plugin.background import AtStop, Background, Service
from mlflow_serving_plugin.connections import defer_accept
from mlflow_serving_plugin.control import Control
from mlflow_serving_plugin.controller.controller import Controller
from mlflow_serving_plugin.controller.deps import ControllerDeps
from mlflow_serving_plugin.controller.leader import Candidate
from mlflow_serving_plugin.diagnosis.running import diagnose_running
from mlflow_serving_plugin.dispatch import AsgiDispatch, Mounts, WsgiDispatch
from mlflow_serving_plugin.domain.request_log import LogRoots
from mlflow_serving_plugin.domain.tracking import TrackingRules
from mlflow_serving_plugin.environments.environments import Environments, environments_root
from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.gateway.addresses import PREFIXES
from mlflow_serving_plugin.gateway.asgi import AsgiGateway
from mlflow_serving_plugin.gateway.core import Gateway, HostServices
from mlflow_serving_plugin.gateway.request_log import RequestLog
from mlflow_serving_plugin.gateway.traces import Traces
from mlflow_serving_plugin.gateway.wsgi import WsgiGateway
from mlflow_serving_plugin.grpc_service import GrpcService
from mlflow_serving_plugin.host.messages import send_nudge
from mlflow_serving_plugin.host.modes import loose_directories
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.snapshot import SnapshotReader
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import REQUEST_LOG
from mlflow_serving_plugin.metrics.history import HistoryReader
from mlflow_serving_plugin.operations.endpoints import EndpointOperations
from mlflow_serving_plugin.operations.serving import ServingOperations
from mlflow_serving_plugin.operations.tokens import TokenOperations
from mlflow_serving_plugin.operator_rules import operator_rules, tracking_rules
from mlflow_serving_plugin.registry import mlflow_server
from mlflow_serving_plugin.registry.download import download_model_version
from mlflow_serving_plugin.registry.examples import scoring_example
from mlflow_serving_plugin.registry.reader import RegistryReader
from mlflow_serving_plugin.registry.signal import watch_registry
from mlflow_serving_plugin.registry.traces import TraceStore
from mlflow_serving_plugin.registry.workspaces import workspaces_enabled
from mlflow_serving_plugin.request_log.keeper import WriterKeeper
from mlflow_serving_plugin.request_log.spool import Spool
from mlflow_serving_plugin.server_access import let_workers_in, make_access
from mlflow_serving_plugin.settings import Settings, default_state_dir
from mlflow_serving_plugin.store.database import absolute_uri, database_uri_for, open_database, upgrade
from mlflow_serving_plugin.store.endpoints import Store
from mlflow_serving_plugin.store.tokens import TokenStore
from mlflow_serving_plugin.store.worker_tokens import WorkerTokenStore
from mlflow_serving_plugin.ui.pages import add_serving_tab

_logger = logging.getLogger(__name__)


def inner_app() -> Any:
    """The wrapped app, or MLflow's without one; ASGI under uvicorn, WSGI elsewhere."""
    name = _settings().base_app
    return wrapped_app.load(name, under_uvicorn=mlflow_server.under_uvicorn()) if name else mlflow_server.mlflow_app()


def compose() -> Any:
    """The app of one web worker: MLflow's with the gateway, the control APIs and the services beside it."""
    settings, workspaces = _settings(), workspaces_enabled()
    paths, store = open_state(settings)
    snapshot, tokens, metrics = SnapshotReader(paths.routes), TokenStore(store.engine), Metrics(paths.metrics)
    inner = inner_app()
    access = make_access(settings, inner, tokens, metrics)
    rules = browser_rules(authenticated=bool(settings.base_app))
    with_door = let_workers_in(settings, inner, access, WorkerTokenStore(store.engine))
    tracking = tracking_rules(settings, mlflow_server.own_address(), rules, tokens=with_door is not None)
    send = partial(send_nudge, paths.nudges)
    watch_registry(mlflow_server.flask_app(), send, workspaces=workspaces)
    add_serving_tab(mlflow_server.flask_app(), mlflow_server.static_prefix())
    roots = _log_roots(settings, paths)
    endpoints = EndpointOperations(
        store,
        _registry(),
        access,
        snapshot,
        send,
        sandbox_optional=settings.sandbox_optional,
        log_roots=roots,
        tracking=tracking,
    )
    serving = ServingOperations(
        store,
        access,
        snapshot,
        send,
        endpoints.model,
        sandbox_optional=settings.sandbox_optional,
        log_roots=roots,
        tracking=tracking,
    )
    deps = ApiDeps(
        settings=settings,
        paths=paths,
        snapshot=snapshot,
        access=access,
        endpoints=endpoints,
        tokens=TokenOperations(tokens, access, endpoints.model),
        serving=serving,
        metrics=metrics,
        history=HistoryReader(paths.history),
        static_prefix=mlflow_server.static_prefix(),
        secure=mlflow_server.secure,
        workspaces=workspaces,
        browser_rules=rules,
        diagnose=partial(diagnose_running, settings, paths.root),
    )
    gateway, spool, traces = _gateway(settings, paths, snapshot, access, metrics, rules)
    background = Background([lambda: traces, *services(settings, paths, store, metrics, spool, tracking)])
    return _dispatch(with_door or inner, deps, gateway, background)


def compose_for_grpc() -> tuple[Gateway, Background]:
    """The gateway of the process that serves gRPC, and what runs beside it. No browser speaks gRPC by itself."""
    settings = _settings()
    paths, store = open_state(settings)
    metrics = Metrics(paths.metrics)
    access = make_access(settings, inner_app(), TokenStore(store.engine), metrics)
    gateway, spool, traces = _gateway(settings, paths, SnapshotReader(paths.routes), access, metrics, rules=None)
    return gateway, Background([lambda: traces, lambda: AtStop(metrics.flush), lambda: spool])


def _gateway(
    settings: Settings,
    paths: StatePaths,
    snapshot: SnapshotReader,
    access: Access,
    metrics: Metrics,
    rules: BrowserRules | None,
) -> tuple[Gateway, Spool, Traces]:
    """The gateway of one process with what its observers write to."""
    host = HostServices(paths.nudges, paths.lock("suspects"), metrics, paths.calls, paths.shadow)
    spool = Spool(paths.request_log_segments, partial(metrics.add, REQUEST_LOG), settings.request_log_waiting_bytes)
    traces = Traces(TraceStore(mlflow_server.tracking_store, guarded=bool(settings.base_app)).write, metrics)
    observers = (RequestLog(_log_roots(settings, paths), spool), traces)
    workspaces = workspaces_enabled()
    gateway = Gateway(settings, snapshot, access, host, browser_rules=rules, workspaces=workspaces, observers=observers)
    return gateway, spool, traces


def _log_roots(settings: Settings, paths: StatePaths) -> LogRoots:
    return LogRoots.of(settings.request_log_roots, str(paths.request_logs))


def services(
    settings: Settings, paths: StatePaths, store: Store, metrics: Metrics, spool: Spool, tracking: TrackingRules
) -> list[Callable[[], Service]]:
    """What runs beside the requests, in the order of starting; a new service is a line here."""
    backend = partial(select_backend, settings, paths)
    controller = partial(_controller, settings, paths, store, metrics, tracking)
    writer = partial(WriterKeeper, paths.request_log_segments, paths.metrics, paths.lock("request-log"))
    grpc: list[Callable[[], Service]] = [lambda: GrpcService(settings, paths)] if settings.grpc_port else []
    return [lambda: AtStop(metrics.flush), writer, lambda: spool, lambda: Candidate(paths, controller, backend), *grpc]


def _controller(
    settings: Settings, paths: StatePaths, store: Store, metrics: Metrics, tracking: TrackingRules
) -> Controller:
    for path in loose_directories([paths.root, environments_root(settings, paths.environments)]):
        _logger.warning("Other users of this machine can change what the server runs, by writing to %s.", path)
    return Controller(
        ControllerDeps(
            settings=settings,
            paths=paths,
            store=store,
            registry=_registry(),
            backend=select_backend(settings, paths),
            environments=Environments(settings, paths.environments),
            download=download_model_version,
            example=scoring_example,
            rules=operator_rules(settings, os.environ),
            metrics=metrics,
            tracking=tracking,
            worker_tokens=WorkerTokenStore(store.engine) if tracking.has_users else None,
            page=f"{mlflow_server.static_prefix()}/#/serving",
        )
    )


def _dispatch(inner: Any, deps: ApiDeps, gateway: Gateway, background: Background) -> Any:
    """The outermost app, which knows the handler of each path."""

    def mounts(scoring: Callable[..., Any], control: Callable[..., Any]) -> Mounts:
        return Mounts(dict.fromkeys(PREFIXES, scoring) | dict.fromkeys(PATHS, control), deps.static_prefix)

    control = Control(
        create_api(deps),
        deps.access,
        rules=deps.browser_rules,
        memory=gateway.memory,
        prefix=deps.static_prefix,
    )
    if mlflow_server.under_uvicorn():
        driver = AsgiGateway(gateway)
        # After a second Ctrl-C, such as `mlflow server` passes on beside the terminal's own, uvicorn skips lifespan.
        background.stop_at_exit()
        return AsgiDispatch(inner, mounts(driver, partial(driver.serve, control.respond)), background, driver.close)
    defer_accept()
    blocking_driver = WsgiGateway(gateway)
    background.ensure_started()
    background.stop_at_exit()
    background.stop_early(lambda: gateway.busy)
    # WSGI servers do not tell their app that they stop. Registered last, so that connections close first.
    atexit.register(blocking_driver.close)
    return WsgiDispatch(inner, mounts(blocking_driver, partial(blocking_driver.serve, control.respond)), background)


def open_state(settings: Settings) -> tuple[StatePaths, Store]:
    """The state directory and the tables of this server, made if need be."""
    backend = absolute_uri(mlflow_server.backend_store_uri())
    paths = StatePaths.create(Path(settings.state_dir) if settings.state_dir else default_state_dir(backend))
    environments_root(settings, paths.environments)
    engine = open_database(settings.database_uri or database_uri_for(backend, paths.root))
    # MLflow checks its own tables when the store is opened first; ours come after.
    with contextlib.suppress(ServingError):
        mlflow_server.registry_store()
    upgrade(engine, paths.lock("database"))
    return paths, Store(engine)


def _registry() -> RegistryReader:
    return RegistryReader(mlflow_server.registry_store)


def _settings() -> Settings:
    return Settings.from_environ(os.environ)
