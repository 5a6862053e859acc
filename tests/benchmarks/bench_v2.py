"""What tensors as bytes save: ``python tests/benchmarks/bench_v2.py [--mlserver] [--seconds 5] [--rounds 3]``.

One tracking server, and two models that next to nothing is computed for, so that the way to the model shows: a tensor
of 28 x 28 numbers in single precision, and a frame of 1,000 rows and 100 columns. Each is asked by wrk in turns: in
JSON (the format of MLflow), in V2's JSON, and in V2 with tensors as bytes (``binary_tensor_data``). ``--mlserver``:
also MLServer with its MLflow runtime in V2's JSON, its only format over HTTP, in an environment of its own. Prints
requests per second and the ratios to JSON and to MLServer (budgets of bytes to MLServer: 5 and 2).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import numpy as np
import requests
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, Schema, TensorSpec

sys.path.insert(0, str(Path(__file__).parent.parent))

from comparison.launch import Launched, free_port
from comparison.load import ensure_wrk, run_wrk
from comparison.venvs import default_cache, ensure_venv
from support.models import register
from support.server import HTTP_S, TrackingServer

_JSON = "application/json"
MLSERVER = "mlserver v2 json"


class First(PythonModel):
    """The first number of what it is given."""

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        return np.asarray(model_input, dtype="float64").ravel()[:1]


@dataclass(frozen=True)
class Question:
    """One request. ``json_bytes``: of the JSON before the tensors' bytes; None: there are none. ``host``: of another
    server.
    """

    name: str
    path: str
    body: bytes
    json_bytes: int | None = None
    host: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """Beside the content type."""
        return {} if self.json_bytes is None else {"Inference-Header-Content-Length": str(self.json_bytes)}


def questions(name: str, arrays: dict[str, np.ndarray], in_json: object) -> list[Question]:
    """The same values in three formats."""
    described = [
        {"name": key, "shape": list(array.shape), "datatype": f"FP{array.dtype.itemsize * 8}"}
        for key, array in arrays.items()
    ]
    flat = [{**one, "data": arrays[one["name"]].ravel().tolist()} for one in described]
    sized = [{**one, "parameters": {"binary_data_size": arrays[one["name"]].nbytes}} for one in described]
    text, path = json.dumps({"inputs": sized}).encode(), f"/v2/models/{name}/infer"
    raw = b"".join(array.tobytes() for array in arrays.values())
    return [
        Question("json", f"/model/{name}/1/invocations", json.dumps(in_json).encode()),
        Question("v2 json", path, json.dumps({"inputs": flat}).encode()),
        Question("v2 bytes", path, text + raw, len(text)),
    ]


def main() -> None:
    """The command."""
    arguments = _arguments()
    ensure_wrk()
    random = np.random.default_rng(1)
    image = random.random((1, 28, 28), dtype=np.float32)
    table = random.random((1000, 100))
    columns = [f"feature {number}" for number in range(100)]
    split = {"dataframe_split": {"columns": columns, "data": table.tolist()}}
    shapes = {
        "image": (
            Schema([TensorSpec(np.dtype("float32"), (-1, 28, 28))]),
            questions("image", {"input-0": image}, {"inputs": image.tolist()}),
        ),
        "frame": (
            Schema([ColSpec("double", name) for name in columns]),
            questions("frame", {name: table[:, [place]] for place, name in enumerate(columns)}, split),
        ),
    }
    root, found = Path(tempfile.mkdtemp(prefix="mlsb-v2-")), {}
    for name, (schema, _) in shapes.items():
        # MLServer loads no model without a signature of its answers.
        signature = ModelSignature(inputs=schema, outputs=Schema([TensorSpec(np.dtype("float64"), (-1,))]))
        mlflow.pyfunc.save_model(root / name, python_model=First(), signature=signature, pip_requirements=["mlflow"])
    with TrackingServer() as server, _mlserver(root, list(shapes), arguments.mlserver) as other:
        for name, (_, asked) in shapes.items():
            if other:
                asked.append(replace(asked[1], name=MLSERVER, host=other))
            register(server.client, name, root / name)
            server.enable(name, env_manager="local", max_concurrency=1)
            server.wait_ready(name, 1)
            found[name] = _measure(server, asked, arguments)
            _print(name, found[name])
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def _measure(server: TrackingServer, asked: list[Question], arguments: argparse.Namespace) -> dict[str, list[float]]:
    answers = [
        requests.post(
            (one.host or server.url) + one.path,
            data=one.body,
            headers={"Content-Type": _JSON, **one.headers},
            timeout=HTTP_S,
        ).json()
        for one in asked
    ]
    values = [answers[0]["predictions"][0], *(answer["outputs"][0]["data"][0] for answer in answers[1:])]
    if len(set(values)) != 1:
        raise SystemExit(f"The formats give different answers: {values}")
    rates: dict[str, list[float]] = {one.name: [] for one in asked}
    for turn in range(arguments.rounds + 1):
        for one in asked:
            url = (one.host or server.url) + one.path
            result = run_wrk(
                url, one.body, arguments.connections, arguments.seconds, server=[], gateway=[], headers=one.headers
            )
            if result.errors:
                raise SystemExit(f"{result.errors} of {result.requests} requests failed.\n{server.tail()}")
            if turn:  # the first is to warm up
                rates[one.name].append(round(result.requests_per_s, 1))
    return rates


def _print(name: str, rates: dict[str, list[float]]) -> None:
    medians = {kind: statistics.median(found) for kind, found in rates.items()}
    print(f"{name}: requests per second {medians}", flush=True)
    for base in {"json", MLSERVER} & medians.keys():
        print(f"  to {base}: { {kind: round(rate / medians[base], 2) for kind, rate in medians.items()} }", flush=True)


@contextlib.contextmanager
def _mlserver(root: Path, names: list[str], wanted: bool) -> Iterator[str]:
    """The address of an MLServer with the models, in one process, which is its fastest on few cores; or empty."""
    if not wanted:
        yield ""
        return
    python, launched = ensure_venv(default_cache(), "mlserver", ("mlserver", "mlserver-mlflow")), Launched()
    ports = {"http_port": launched.port, "grpc_port": free_port(), "metrics_port": free_port()}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports}
    (launched.root / "settings.json").write_text(json.dumps(settings))
    for name in names:
        (launched.root / name).mkdir()
        model = {"implementation": "mlserver_mlflow.MLflowRuntime", "parameters": {"uri": str(root / name)}}
        (launched.root / name / "model-settings.json").write_text(json.dumps({"name": name, **model}))
    address = f"http://127.0.0.1:{launched.port}"
    try:
        launched.start([str(python.parent / "mlserver"), "start", str(launched.root)], {}, python)
        launched.wait_until(lambda: all(_is_ready(f"{address}/v2/models/{name}/ready") for name in names))
        yield address
    finally:
        launched.close()


def _is_ready(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).status_code == 200
    except requests.ConnectionError:
        return False


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--mlserver", action="store_true", help="compare with MLServer, which is installed if need be")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    return parser.parse_args()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
