"""The Open Inference Protocol (V2) with a stock client."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
from support.models import IRIS_COLUMNS, Models, register
from support.server import HTTP_S, TrackingServer

from mlflow_serving_plugin.gateway.dialects.v2 import LENGTH_HEADER
from mlflow_serving_plugin.gateway.dialects.v2_tensors import NUMPY

RECORDED = Path(__file__).parent.parent / "conformance" / "recorded" / "mlserver-1.7.1.json"
"""By ``tests/benchmarks/record_mlserver.py``."""


def test_tritonclient_works_unchanged_with_bytes_json_and_compression(plain: TrackingServer, models: Models) -> None:
    program = Path(__file__).with_name("triton_http.py")
    command = [sys.executable, str(program), plain.url.removeprefix("http://"), "iris"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HTTP_S, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    rows = pd.DataFrame([[5.1] * 4] * 2, columns=IRIS_COLUMNS)
    wanted = [[value] for value in models.iris_predictions(1, rows)]
    kinds = {f"{kind} {packed}" for kind in ("binary", "json") for packed in (None, "gzip", "deflate")} | {"default"}
    assert said["found"] == dict.fromkeys(kinds, wanted)
    assert said["state"][:4] == [True, True, True, "7"]
    assert "Serving is not enabled on registered model 'nothing'" in said["state"][4]
    assert [column["name"] for column in said["described"]["inputs"]] == IRIS_COLUMNS
    assert {column["datatype"] for column in said["described"]["inputs"]} == {"FP64"}


def test_the_server_tells_of_itself_and_refuses_in_its_shape(plain: TrackingServer) -> None:
    assert requests.get(f"{plain.url}/v2").json()["extensions"] == ["binary_tensor_data"]
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert requests.get(plain.url + path).json() == {"live": True, "ready": True}
    for path, method, status in (
        ("/v2/models/iris/versions/7/ready", "GET", 404),
        ("/v2/models/iris/infer", "GET", 405),
        ("/v2/models/iris/infer", "POST", 400),
        ("/v2/nothing", "GET", 404),
    ):
        answer = requests.request(method, plain.url + path, data=b"{}" if method == "POST" else None)
        assert (answer.status_code, set(answer.json())) == (status, {"error"}), path


@pytest.fixture(scope="module")
def numbers(plain: TrackingServer, models: Models) -> str:
    register(plain.client, "numbers", models.path("numbers"))
    plain.enable("numbers")
    plain.wait_ready("numbers", 1)
    return f"{plain.url}/v2/models/numbers/infer"


def test_every_datatype_in_json_is_answered_as_mlserver_answers(numbers: str) -> None:
    recorded = json.loads(RECORDED.read_text())
    answer = requests.post(numbers, json=recorded["request"], timeout=HTTP_S).json()
    outputs = [
        {name: value for name, value in one.items() if name != "parameters"} for one in recorded["answer"]["outputs"]
    ]
    assert (answer["id"], answer["outputs"]) == ("7", outputs)


def test_every_datatype_in_bytes_is_answered_in_bytes_with_the_values_of_mlserver(numbers: str) -> None:
    recorded = json.loads(RECORDED.read_text())
    inputs, raws = [], []
    for one in recorded["request"]["inputs"]:
        raws.append(np.array(one.pop("data"), NUMPY[one["datatype"]]).tobytes())
        inputs.append({**one, "parameters": {"binary_data_size": len(raws[-1])}})
    text = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {LENGTH_HEADER: str(len(text))}
    answer = requests.post(numbers, data=b"".join((text, *raws)), headers=headers, timeout=HTTP_S)
    length = int(answer.headers[LENGTH_HEADER])
    found, rest = [], answer.content[length:]
    for output in json.loads(answer.content[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found.append((output["name"], np.frombuffer(rest[:size], NUMPY[output["datatype"]]).tolist()))
        rest = rest[size:]
    assert found == [(one["name"], one["data"]) for one in recorded["answer"]["outputs"]]
