"""Traces of a model in its worker, and what the model learns of the request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracing.trace_manager import InMemoryTraceManager
from mlflow.tracking._model_registry import utils as registry
from mlflow.tracking._tracking_service import utils as tracking_service
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from support.tracking import tracking_at

from mlflow_serving_plugin.worker import tracking
from mlflow_serving_plugin.worker.request_context import (
    LARGEST_TRACE_BYTES,
    MOST_TRACES,
    RequestContext,
    current,
    during,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred")
"""MLflow warns of its own types when it is imported."""


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process as a worker without a tracking server."""
    monkeypatch.setattr(InMemoryTraceManager, "pop_trace", InMemoryTraceManager.pop_trace)
    monkeypatch.setattr(SimpleSpanProcessor, "__getattr__", None, raising=False)
    monkeypatch.setenv(tracking.TRACKING_URI, tracking.NO_TRACKING_SERVER)
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    tracking.stand_in()
    with tracking_at(tracking.NO_TRACKING_SERVER):
        yield
    tracking_service._tracking_store_registry._registry.pop("no-tracking-server")
    registry._get_store_registry()._registry.pop("no-tracking-server")


def a_context(**told: object) -> RequestContext:
    return RequestContext(json.dumps(told).encode())


@mlflow.trace(name="outer")
def traced() -> None:
    with mlflow.start_span("inner"):
        pass


@pytest.mark.usefixtures("worker")
def test_a_trace_goes_to_the_request_that_made_the_trace():
    first, second = a_context(trace=True), a_context(trace=True)
    with during(first):
        traced()
        with during(second):
            traced()
    for context in (first, second):
        (text,) = context.take_traces()
        trace = json.loads(text)
        assert sorted(span["name"] for span in trace["data"]["spans"]) == ["inner", "outer"]
        assert trace["info"]["trace_id"].startswith("tr-")


@pytest.mark.usefixtures("worker")
def test_traces_that_nobody_wants_are_dropped():
    unwanted = a_context(trace=False)
    traced()
    with during(unwanted):
        traced()
    assert unwanted.take_traces() == []


@pytest.mark.usefixtures("worker")
def test_everything_else_of_mlflow_is_refused_with_the_name_of_the_setting():
    for use in (
        lambda: mlflow.log_metric("rows", 1),
        lambda: mlflow.set_experiment("mine"),
        lambda: mlflow.pyfunc.load_model("models:/flowers/1"),
        lambda: mlflow.search_runs(experiment_names=["mine"]),
    ):
        with pytest.raises(MlflowException, match=r"tracking: on.*environment\.MLFLOW_TRACKING_URI"):
            use()


def test_with_tracking_on_the_server_s_store_leaves_traces_to_the_worker(monkeypatch: pytest.MonkeyPatch):
    stores = tracking_service._tracking_store_registry
    monkeypatch.setattr(stores, "_registry", dict(stores._registry))
    monkeypatch.setattr(InMemoryTraceManager, "pop_trace", InMemoryTraceManager.pop_trace)
    monkeypatch.setattr(SimpleSpanProcessor, "__getattr__", None, raising=False)
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    # Nothing listens there, and nothing is to be asked.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracking.connect()
    context, nowhere = a_context(trace=True), "http://127.0.0.1:1"
    with tracking_at(nowhere), during(context):
        traced()
        store = stores.get_store(nowhere)
        with pytest.raises(NotImplementedError):
            store.log_spans("0", [])
        with pytest.raises(MlflowException, match=r"127\.0\.0\.1"):
            mlflow.log_metric("rows", 1, run_id="0" * 32)
    (text,) = context.take_traces()
    assert sorted(span["name"] for span in json.loads(text)["data"]["spans"]) == ["inner", "outer"]


def test_large_traces_and_too_many_are_only_told():
    context = a_context(trace=True)
    context.add_trace(b"x" * (LARGEST_TRACE_BYTES + 1))
    for _ in range(MOST_TRACES):
        context.add_trace(b"{}")
    assert context.take_traces() == [b"", *[b"{}"] * (MOST_TRACES - 1), b""]


def test_the_model_finds_the_request_in_mlflow_s_context():
    from mlflow.pyfunc.context import get_prediction_context

    told = {"request_id": "1", "endpoint_name": "a", "user": "ann", "headers": {"x": "y"}, "model_version": "2"}
    context = a_context(**told, client_request_id="c")
    with during(context):
        found = get_prediction_context()
        assert current() is context
    assert {name: getattr(found, name) for name in told} == told
    assert found.client_request_id == "c"
    assert (get_prediction_context(), current()) == (None, None)


@pytest.mark.usefixtures("worker")
def test_a_span_processor_that_does_not_call_its_base_exports_all_the_same():
    """As MLflow 2's with a new OpenTelemetry."""
    exported: list[object] = []

    class Processor(SimpleSpanProcessor):
        def __init__(self) -> None:
            self.span_exporter = SimpleNamespace(export=exported.extend)

    span = SimpleNamespace(context=SimpleNamespace(trace_id=1, trace_flags=SimpleNamespace(sampled=True)))
    processor = Processor()
    processor.on_end(span)
    assert exported == [span]
    with pytest.raises(AttributeError, match="nothing"):
        processor.nothing  # noqa: B018
