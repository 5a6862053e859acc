"""MLflow's tracking store within a worker: a stand-in, unless the endpoint has ``tracking: on`` or another URI.

Without a tracking URI, MLflow makes a database in the current directory, which is the model's, and in the sandbox waits
for a directory that it can write to. So workers get a URI of our own. Behind that URI is a store that takes traces,
which leave the worker with the answer to their request, and refuses everything else in one sentence.

With ``tracking: on`` the server's own store stands there, and traces still leave with the answers.

Written against MLflow 2.14 to 3.17, as ``test_traces_of_old_mlflow`` shows; an MLflow with other internals refuses the
URI itself, and drops traces.
"""

from __future__ import annotations

import contextlib
import functools
import os
import uuid
from typing import Any, Callable

from .request_context import current

TRACKING_URI = "MLFLOW_TRACKING_URI"
_SCHEME = "no-tracking-server"
NO_TRACKING_SERVER = f"{_SCHEME}://set-tracking-to-on"
REFUSAL = (
    "This model has no access to a tracking server and a Model Registry. The endpoint's configuration allows access: "
    f"tracking: on for this server, or environment.{TRACKING_URI} for another one."
)
_OWN_EXPORTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", "MLFLOW_TRACING_DESTINATION")
"""Variables by which a model sends its traces somewhere itself."""


def stand_in() -> None:
    """Put the stand-in in the place of a tracking server, where there is none. Before the model is loaded."""
    if os.environ.get(TRACKING_URI) != NO_TRACKING_SERVER:
        return
    with contextlib.suppress(ImportError, AttributeError):
        from mlflow.tracking._tracking_service import utils as tracking

        tracking._tracking_store_registry.register(_SCHEME, _make_store)
    with contextlib.suppress(ImportError, AttributeError):
        from mlflow.tracking._model_registry import utils as registry

        find = getattr(registry, "_get_store_registry", None)
        stores = registry._model_registry_store_registry if find is None else find()
        stores.register(_SCHEME, _refuse_store)
    _keep_traces()


def connect() -> None:
    """With ``tracking: on``: all of the server's tracking store but its traces. Before the model is loaded."""
    if any(name in os.environ for name in _OWN_EXPORTS):
        return
    with contextlib.suppress(ImportError, AttributeError):
        from mlflow.tracking._tracking_service import utils as tracking

        stores = tracking._tracking_store_registry
        for scheme in ("http", "https"):
            stores.register(scheme, functools.partial(_make_without_traces, stores._registry[scheme]))
    _keep_traces()


def _make_without_traces(make: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """A store that leaves traces to the worker: the server would have each of them twice."""
    store, local = make(*given, **named), _Store()
    for name in ("log_spans", "start_trace"):
        if hasattr(store, name):
            setattr(store, name, getattr(local, name))
    return store


def _keep_traces() -> None:
    """Have traces leave the worker with the answers, unless the model sends its traces somewhere itself."""
    # Without it a trace would be exported by another thread, which does not know the request.
    os.environ.setdefault("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    if not any(name in os.environ for name in _OWN_EXPORTS):
        with contextlib.suppress(ImportError, AttributeError):
            _collect_traces()
            _begin_late()


class _Store:
    """What tracing needs of a tracking store. Each call of anything else raises the refusal."""

    def log_spans(self, *_args: Any, **_options: Any) -> Any:
        """MLflow 3.5 and later: the spans of a trace come together, with the trace."""
        raise NotImplementedError

    def start_trace(self, *given: Any, **named: Any) -> Any:
        """MLflow 2 and 3.0: an id for a trace that begins; the trace comes when it has ended."""
        from mlflow.entities.trace_status import TraceStatus

        if given or "experiment_id" not in named:
            return named.get("trace_info", given[0] if given else None)
        return _info_class()(
            request_id=f"tr-{uuid.uuid4().hex}", execution_time_ms=None, status=TraceStatus.IN_PROGRESS, **named
        )

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _refuse


def _info_class() -> Any:
    """What describes a trace from its beginning on."""
    try:
        from mlflow.entities.trace_info_v2 import TraceInfoV2
    except ImportError:
        from mlflow.entities.trace_info import TraceInfo

        return TraceInfo
    return TraceInfoV2


def _make_store(store_uri: Any = None, artifact_uri: Any = None) -> _Store:
    return _Store()


def _refuse_store(store_uri: Any = None, tracking_uri: Any = None) -> Any:
    _refuse()


def _refuse(*_args: Any, **_options: Any) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    raise MlflowException(REFUSAL, error_code=PERMISSION_DENIED)


def _collect_traces() -> None:
    """Each exporter of MLflow takes an ended trace from one method: take the trace there, and leave nothing."""
    from mlflow.tracing.trace_manager import InMemoryTraceManager

    pop = InMemoryTraceManager.pop_trace

    @functools.wraps(pop)
    def pop_and_keep(manager: Any, *given: Any, **named: Any) -> None:
        popped = pop(manager, *given, **named)
        context = current()
        if popped is None or context is None or not context.wants_traces:
            return
        trace = getattr(popped, "trace", popped)
        began_ms = getattr(trace.info, "timestamp_ms", context.began_ms)
        try:
            # An older one belongs to another request, which has its answer.
            text = trace.to_json().encode() if began_ms >= context.began_ms - 1 else b""
        except Exception:
            text = b""
        context.add_trace(text)

    InMemoryTraceManager.pop_trace = pop_and_keep


def _begin_late() -> None:
    """MLflow 2's span processor does not call the ``__init__`` of its base, as OpenTelemetry (1.45, say) relies on.

    Without it each span ends with an AttributeError, and no trace is made.
    """
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    def missing(processor: Any, name: str) -> Any:
        exporter = processor.__dict__.get("span_exporter")
        if exporter is None or "_begun_late" in processor.__dict__:
            raise AttributeError(name)
        processor._begun_late = True
        SimpleSpanProcessor.__init__(processor, exporter)
        return getattr(processor, name)

    SimpleSpanProcessor.__getattr__ = missing  # type: ignore[attr-defined]
