"""Traces of models whose environments have an older MLflow, from the worker into MLflow's own store."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

import mlflow_serving_plugin
from mlflow_serving_plugin.domain.traces import TraceRecord
from mlflow_serving_plugin.environments.environments import Environments
from mlflow_serving_plugin.registry.traces import TraceStore
from mlflow_serving_plugin.settings import Settings

pytestmark = [pytest.mark.eras, pytest.mark.matrix]

_PROGRAM = """
import importlib, json, os, sys, types
package = types.ModuleType("worker")
package.__path__ = [sys.argv[1]]
sys.modules["worker"] = package
tracking = importlib.import_module("worker.tracking")
if sys.argv[3] == "on":
    # Nothing listens there: whoever sends a trace there says so in the log, and the worker has none.
    os.environ[tracking.TRACKING_URI] = "http://127.0.0.1:1"
    tracking.connect()
else:
    os.environ[tracking.TRACKING_URI] = tracking.NO_TRACKING_SERVER
    tracking.stand_in()
import mlflow

@mlflow.trace(name="answer")
def predict(value):
    with mlflow.start_span("think") as span:
        span.set_inputs(value)
    return value

requests = importlib.import_module("worker.request_context")
context = requests.RequestContext(json.dumps({"trace": True, "request_id": "r"}).encode())
with requests.during(context):
    predict(3)
(trace,) = context.take_traces()
open(sys.argv[2], "wb").write(trace)
"""
"""A worker's part in traces, without the rest of the worker: MLflow there has no scoring server."""


@pytest.mark.parametrize("version", ["2.14.0", "2.17.2", "2.22.5", "3.0.1", "3.4.0", "3.8.1"])
def test_a_model_s_traces_are_stored_whatever_mlflow_the_model_has(version: str, tmp_path: Path) -> None:
    model, trace = tmp_path / "model", tmp_path / "trace.json"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {python_function: {}}\n")
    (model / "requirements.txt").write_text(f"mlflow-skinny=={version}\nnumpy<2\npandas<2.3\nsetuptools<80\n")
    environments = Environments(Settings(), tmp_path / "environments")
    python = environments.build(environments.need(model, "uv").recipe).python
    worker = Path(mlflow_serving_plugin.__file__).parent / "worker"
    for on_or_off in ("on", "off"):
        said = subprocess.run(
            [python, "-c", _PROGRAM, worker, trace, on_or_off],
            check=True,
            timeout=120,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert "127.0.0.1" not in said.stderr, said.stderr
    store = SqlAlchemyStore(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts"))
    record = TraceRecord(trace.read_bytes(), "serving/flowers", "", "1", "flowers", "2", "flowers", "2", "asked", "ann")
    TraceStore(lambda: store, guarded=False).write(record)
    experiment = store.get_experiment_by_name("serving/flowers")
    (found,), _ = store.search_traces([experiment.experiment_id])
    (stored,) = store.batch_get_traces([found.trace_id])
    assert sorted(span.name for span in stored.data.spans) == ["answer", "think"]
    assert found.tags["serving.model"] == "flowers"
