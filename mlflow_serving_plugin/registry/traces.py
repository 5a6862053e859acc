"""Writes traces of models into the server's own tracking store.

A trace comes from a worker, so from a model's code: it may be anything. Of what it says about itself only that counts
which is its own business; where it is stored, and under which experiment, is decided here. An experiment is made at
its first trace. Written against MLflow 3.10 to 3.17.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mlflow_serving_plugin.domain.traces import ENDPOINT, MODEL, OF_THE_PROCESS, VERSION, TraceRecord
from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.registry.workspaces import in_workspace

_TAGS = frozenset({"mlflow.traceName"})
"""Of MLflow's own tags, those that a worker may set: others say where the server reads files."""

_USER = "mlflow.trace.user"
_MOST_KNOWN = 1024


class TraceRefusedError(ServingError):
    """This trace is not stored; the message says why."""


class TraceStore:
    """Not thread-safe: one thread writes. ``guarded``: the server has users, so experiments have permissions.

    ``tracking_store``: MLflow's own, of this server.
    """

    def __init__(self, tracking_store: Callable[[], Any], *, guarded: bool) -> None:
        self._tracking_store = tracking_store
        self._guarded = guarded
        self._experiments: dict[tuple[str, str, str], str] = {}

    def write(self, record: TraceRecord) -> None:
        """Store one trace. TraceRefusedError; whatever the store raises when the database is away."""
        with in_workspace(record.workspace):
            store = self._tracking_store()
            key = (record.workspace, record.endpoint_id, record.experiment)
            experiment_id = self._experiments.get(key) or self._find(store, record)
            trace = _parsed(record, experiment_id)
            try:
                _refuse_known(store, trace.info.trace_id)
                _write(store, experiment_id, trace)
            except Exception:
                # The experiment may be gone.
                self._experiments.pop(key, None)
                raise
            if len(self._experiments) >= _MOST_KNOWN:
                self._experiments.clear()
            self._experiments[key] = experiment_id

    def _find(self, store: Any, record: TraceRecord) -> str:
        from mlflow.entities import ExperimentTag
        from mlflow.exceptions import MlflowException

        found = store.get_experiment_by_name(record.experiment)
        if found is None:
            try:
                made = store.create_experiment(record.experiment, None, [ExperimentTag(ENDPOINT, record.endpoint)])
                return str(made)
            except MlflowException:
                # Another web worker may have made the experiment just now.
                found = store.get_experiment_by_name(record.experiment)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise TraceRefusedError(f"Experiment '{record.experiment}' is deleted: restore it, or name another.")
        if self._guarded and found.tags.get(ENDPOINT) != record.endpoint:
            raise TraceRefusedError(
                f"Experiment '{record.experiment}' takes no traces of endpoint '{record.endpoint}'. Set the "
                f"experiment's tag {ENDPOINT} to the endpoint's name."
            )
        return str(found.experiment_id)


def _parsed(record: TraceRecord, experiment_id: str) -> Any:
    from mlflow.entities import Trace
    from mlflow.entities.trace_location import TraceLocation

    try:
        document = json.loads(record.text)
        info = document["info"]
        info["experiment_id" if "request_id" in info else "trace_location"] = (
            experiment_id if "request_id" in info else TraceLocation.from_experiment_id(experiment_id).to_dict()
        )
        info.pop("assessments", None)
        trace = Trace.from_dict(document)
        _make_ours(trace.info, record)
        trace_id, spans = trace.info.trace_id, trace.data.spans
        whole = isinstance(trace_id, str) and spans and all(span.trace_id == trace_id for span in spans)
    except Exception as error:
        raise TraceRefusedError(f"A trace of endpoint '{record.endpoint}' cannot be read.") from error
    if not whole:
        raise TraceRefusedError(f"A trace of endpoint '{record.endpoint}' has spans of another trace, or none.")
    return trace


def _make_ours(info: Any, record: TraceRecord) -> None:
    info.tags = {
        **{name: str(value) for name, value in info.tags.items() if not name.startswith("mlflow.") or name in _TAGS},
        **{MODEL: record.model, VERSION: record.version, ENDPOINT: record.endpoint},
    }
    metadata = {name: value for name, value in info.trace_metadata.items() if name not in OF_THE_PROCESS}
    info.trace_metadata = metadata | ({_USER: record.user} if record.user else {})
    info.client_request_id = record.client_request_id


def _refuse_known(store: Any, trace_id: str) -> None:
    """A model that names a trace of another endpoint must not change that trace."""
    from mlflow.exceptions import MlflowException

    try:
        store.get_trace_info(trace_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return
        raise
    raise TraceRefusedError("There is a trace with this id.")


def _write(store: Any, experiment_id: str, trace: Any) -> None:
    """As MLflow's own exporter: spans into the store; into an artifact where the store takes none."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.tracing.utils import TraceJSONEncoder
    from mlflow.tracing.utils.artifact_utils import get_artifact_uri_for_trace

    try:
        store.log_spans(experiment_id, trace.data.spans)
    except NotImplementedError:
        written = store.start_trace(trace.info)
        text = json.dumps(trace.data.to_dict(), cls=TraceJSONEncoder, ensure_ascii=False)
        get_artifact_repository(get_artifact_uri_for_trace(written)).upload_trace_data(text)
        return
    store.start_trace(trace.info)
