"""Traces in MLflow's own stores: what a worker says of a trace is not believed."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Experiment, ExperimentTag
from mlflow.store.tracking.file_store import FileStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from mlflow_serving_plugin.domain.traces import TraceRecord
from mlflow_serving_plugin.registry.traces import TraceRefusedError, TraceStore

SPAN_ID = "AAAAAAAAAAE="


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> SqlAlchemyStore:
    root = tmp_path_factory.mktemp("traces")
    return SqlAlchemyStore(f"sqlite:///{root}/mlflow.db", str(root / "artifacts"))


def a_trace(number: int, **info: Any) -> bytes:
    """A trace of one span, as a worker of MLflow 3 writes it."""
    trace_id = f"tr-{number:032x}"
    span = mlflow.entities.Span.from_dict(
        {
            "trace_id": base64.b64encode(number.to_bytes(16, "big")).decode(),
            "span_id": SPAN_ID,
            "parent_span_id": None,
            "name": "answer",
            "start_time_unix_nano": 10**18,
            "end_time_unix_nano": 10**18 + 1000,
            "status": {"code": "STATUS_CODE_OK", "message": ""},
            "attributes": {"mlflow.traceRequestId": json.dumps(info.get("span_of", trace_id))},
            "events": [],
        }
    )
    info.pop("span_of", None)
    made = {
        "trace_id": trace_id,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
        "request_time": "2026-11-26T10:00:00Z",
        "state": "OK",
        "trace_metadata": {"mlflow.source.name": "/a/path", "mlflow.trace_schema.version": "3"},
        "tags": {"mlflow.artifactLocation": "/etc", "mlflow.traceName": "answer", "mine": "yes"},
        **info,
    }
    return json.dumps({"info": made, "data": {"spans": [span.to_dict()]}}).encode()


def a_record(text: bytes, **other: Any) -> TraceRecord:
    made = TraceRecord(text, "serving/flowers", "", "1", "flowers", "2", "flowers", "2", "asked", "ann")
    return made._replace(**other)


def found(store: Any, name: str = "serving/flowers") -> tuple[Experiment, list[Any]]:
    experiment = store.get_experiment_by_name(name)
    return experiment, store.search_traces(experiment_ids=[experiment.experiment_id])[0]


def test_a_trace_is_stored_under_the_endpoint_s_experiment(database: SqlAlchemyStore):
    TraceStore(lambda: database, guarded=True).write(a_record(a_trace(1)))
    experiment, (info,) = found(database)
    assert experiment.tags["serving.endpoint"] == "flowers"
    assert info.tags["mine"] == "yes"
    assert info.tags["serving.version"] == "2"
    assert info.tags["mlflow.artifactLocation"] != "/etc"
    assert "mlflow.source.name" not in info.trace_metadata
    assert (info.trace_metadata["mlflow.trace.user"], info.client_request_id) == ("ann", "asked")
    assert database.get_trace(info.trace_id).data.spans[0].name == "answer"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{}", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (a_trace(2, surprise=1), "cannot be read"),
        (a_trace(2, span_of="tr-other"), "spans of another trace"),
        (json.dumps({**json.loads(a_trace(2)), "data": {"spans": []}}).encode(), "or none"),
    ],
)
def test_a_trace_that_is_none_is_refused(database: SqlAlchemyStore, text: bytes, why: str):
    with pytest.raises(TraceRefusedError, match=why):
        TraceStore(lambda: database, guarded=False).write(a_record(text, experiment="of nonsense"))


def test_a_model_cannot_change_a_trace_that_is_there(database: SqlAlchemyStore):
    store = TraceStore(lambda: database, guarded=False)
    store.write(a_record(a_trace(3), experiment="first"))
    with pytest.raises(TraceRefusedError, match="is a trace with this id"):
        store.write(a_record(a_trace(3, tags={"mine": "no"}), experiment="second"))
    assert found(database, "first")[1][0].tags["mine"] == "yes"


def test_with_users_an_experiment_of_somebody_else_has_to_agree(database: SqlAlchemyStore):
    experiment_id = database.create_experiment("of ann", None, [])
    store = TraceStore(lambda: database, guarded=True)
    with pytest.raises(TraceRefusedError, match=r"tag serving\.endpoint"):
        store.write(a_record(a_trace(4), experiment="of ann"))
    database.set_experiment_tag(experiment_id, ExperimentTag("serving.endpoint", "flowers"))
    store.write(a_record(a_trace(4), experiment="of ann"))
    assert len(found(database, "of ann")[1]) == 1
    database.delete_experiment(experiment_id)
    with pytest.raises(TraceRefusedError, match="is deleted"):
        TraceStore(lambda: database, guarded=True).write(a_record(a_trace(5), experiment="of ann"))


def test_a_file_store_keeps_the_spans_as_an_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = FileStore(str(tmp_path))
    TraceStore(lambda: store, guarded=False).write(a_record(a_trace(6)))
    (info,) = found(store)[1]
    (spans,) = tmp_path.rglob("traces.json")
    assert json.loads(spans.read_text())["spans"][0]["name"] == "answer"
    assert info.tags["serving.model"] == "flowers"
