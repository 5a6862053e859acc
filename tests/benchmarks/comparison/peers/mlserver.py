"""MLServer with its MLflow runtime: the endpoint that mimics MLflow's, and V2 with adaptive batching."""

from __future__ import annotations

import json

from comparison.dialects import OpenInference, Split
from comparison.launch import Launched, free_port
from comparison.peers.base import MAX_BATCH, MAX_WAIT_S, OneModelPeer
from comparison.samples import Sample


class MLServer(OneModelPeer):
    """In one process (``parallel_workers`` 0), which is its fastest on few cores. ``/invocations`` never batches."""

    distributions = ("mlserver", "mlserver-mlflow")
    packages = ("mlserver", "mlserver-mlflow")
    venv = "mlserver"

    def __init__(self, key: str, title: str, *, v2: bool) -> None:
        super().__init__(key, title)
        self._v2 = v2
        self.dialect = OpenInference() if v2 else Split()
        batching = f", max_batch_size {MAX_BATCH}, max_batch_time {MAX_WAIT_S}" if v2 else ""
        self.settings = f"parallel_workers 0, debug false{batching}"

    def command(self, sample: Sample, launched: Launched) -> tuple[list[str], dict[str, str]]:
        settings = {
            "host": "127.0.0.1",
            "http_port": launched.port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "parallel_workers": 0,
            "debug": False,
        }
        model = {
            "name": sample.name,
            "implementation": "mlserver_mlflow.MLflowRuntime",
            "parameters": {"uri": str(sample.directory)},
        }
        if self._v2:
            model |= {"max_batch_size": MAX_BATCH, "max_batch_time": MAX_WAIT_S}
        (launched.root / "settings.json").write_text(json.dumps(settings))
        (launched.root / "model-settings.json").write_text(json.dumps(model))
        return [str(self.python.parent / "mlserver"), "start", str(launched.root)], {}

    def url(self, sample: Sample, launched: Launched) -> str:
        path = f"/v2/models/{sample.name}/infer" if self._v2 else "/invocations"
        return f"http://127.0.0.1:{launched.port}{path}"
