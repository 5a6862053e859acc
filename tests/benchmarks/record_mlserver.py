"""``python tests/benchmarks/record_mlserver.py``: record what MLServer answers, in an environment of its own.

Writes ``tests/conformance/recorded/mlserver-<version>.json``: a request of the Open Inference Protocol with every
datatype of numbers, and the answer of MLServer's runtime for MLflow.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).parent.parent))

from comparison.launch import Launched, free_port
from comparison.venvs import default_cache, ensure_venv, installed_versions
from support.models import NUMBERS, Models

from mlflow_serving_plugin.gateway.dialects.v2_tensors import OF_DTYPES

_RECORDED = Path(__file__).parent.parent / "conformance" / "recorded"


def main() -> None:
    """The command."""
    python, launched = ensure_venv(default_cache(), "mlserver", ("mlserver", "mlserver-mlflow")), Launched()
    inputs = [
        {"name": name, "datatype": OF_DTYPES[name], "shape": [1, 2], "data": values} for name, values in NUMBERS.items()
    ]
    request, path = {"id": "7", "inputs": inputs}, Models(Path(tempfile.mkdtemp())).path("numbers")
    ports = {"http_port": launched.port, "grpc_port": free_port(), "metrics_port": free_port()}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports}
    model = {"implementation": "mlserver_mlflow.MLflowRuntime", "parameters": {"uri": str(path)}}
    (launched.root / "settings.json").write_text(json.dumps(settings))
    (launched.root / "model-settings.json").write_text(json.dumps({"name": "numbers", **model}))
    url = f"http://127.0.0.1:{launched.port}/v2/models/numbers"
    try:
        launched.start([str(python.parent / "mlserver"), "start", str(launched.root)], {}, python)
        launched.wait_until(lambda: _is_ready(f"{url}/ready"))
        answer = requests.post(f"{url}/infer", json=request, timeout=60)
        answer.raise_for_status()
    finally:
        launched.close()
    version = installed_versions(python, ("mlserver",))["mlserver"]
    recorded = {"request": request, "answer": answer.json()}
    (_RECORDED / f"mlserver-{version}.json").write_text(json.dumps(recorded, indent=1) + "\n")


def _is_ready(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).status_code == 200
    except requests.ConnectionError:
        return False


if __name__ == "__main__":
    main()
