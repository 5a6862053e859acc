"""The Open Inference Protocol (V2) with a stock client."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import requests
from support.models import IRIS_COLUMNS, Models
from support.server import HTTP_S, TrackingServer


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
