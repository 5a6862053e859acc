"""The Open Inference Protocol (V2) over gRPC and HTTP with stock clients, on a server with users."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import pandas as pd
import pytest
from support import eventually
from support.auth import BasicAuthServer, Cast
from support.models import IRIS_COLUMNS, Models
from support.server import HTTP_S

from mlflow_serving_plugin.grpc.messages import SERVICE, message_class


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_tritonclient_s_grpc_works_unchanged(basic: BasicAuthServer, cast: Cast, models: Models) -> None:
    eventually(lambda: listens(basic.grpc_port), tail=basic.tail)
    program = Path(__file__).with_name("triton_grpc.py")
    authorization = cast.tokens["read"]["Authorization"]
    said = said_by([sys.executable, str(program), f"127.0.0.1:{basic.grpc_port}", "iris", authorization])
    wanted = [[value] for value in two_irises(models)]
    assert (said["found"], said["packed"], said["answered"]) == (wanted, wanted, ["7", "1"])
    assert said["state"] == [True, True, True, "mlflow-serving-plugin", 1]
    assert said["refused"]["nobody"][0] == "StatusCode.UNAUTHENTICATED"
    assert said["refused"]["nothing"][0] == "StatusCode.NOT_FOUND"
    assert "Serving is not enabled on registered model 'nothing'" in said["refused"]["nothing"][1]
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= set(said["services"])
    assert said["file"]


def test_open_inference_openapi_s_client_works_unchanged(basic: BasicAuthServer, cast: Cast, models: Models) -> None:
    program = Path(__file__).with_name("open_inference_http.py")
    said = said_by([sys.executable, str(program), basic.url, "iris", cast.tokens["read"]["Authorization"]])
    assert (said["found"], said["id"]) == (two_irises(models), "7")
    assert "Serving is not enabled on registered model 'nothing'" in said["refused"]


@pytest.mark.matrix
@pytest.mark.eras
def test_kserve_s_clients_work_unchanged(basic: BasicAuthServer, cast: Cast, models: Models, tmp_path: Path) -> None:
    """kserve needs an older pandas than this package, so an environment of its own."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "kserve"], check=True)
    python = tmp_path / "kserve" / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "kserve==0.21.0"], check=True)
    eventually(lambda: listens(basic.grpc_port), tail=basic.tail)
    program, token = Path(__file__).with_name("kserve_clients.py"), cast.tokens["read"]["Authorization"]
    said = said_by([str(python), str(program), basic.url, f"127.0.0.1:{basic.grpc_port}", "iris", token])
    assert said == dict.fromkeys(("http True", "http False", "grpc"), two_irises(models))


def said_by(command: list[str]) -> dict:
    """What a client's program has printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=HTTP_S, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def two_irises(models: Models) -> list[float]:
    return models.iris_predictions(1, pd.DataFrame([[5.1] * 4] * 2, columns=IRIS_COLUMNS))


def test_requests_over_grpc_are_in_the_request_log(basic: BasicAuthServer, cast: Cast) -> None:
    eventually(lambda: listens(basic.grpc_port), tail=basic.tail)
    request = message_class("ModelInferRequest")(model_name="iris")
    for column in IRIS_COLUMNS:
        tensor = request.inputs.add(name=column, datatype="FP64", shape=[1])
        tensor.contents.fp64_contents.append(5.1)
    metadata = (("authorization", cast.tokens["read"]["Authorization"]), ("x-request-id", "over-grpc"))
    iris = {"registered_model_name": "iris"}
    basic.api("PUT", "update-compute-config", **iris, config={"request_log": {"enabled": True}})
    try:
        with grpc.insecure_channel(f"127.0.0.1:{basic.grpc_port}") as channel:
            infer = channel.unary_unary(
                f"/{SERVICE}/ModelInfer",
                request_serializer=message_class("ModelInferRequest").SerializeToString,
                response_deserializer=message_class("ModelInferResponse").FromString,
            )

            def logged() -> list[dict]:
                infer(request, metadata=metadata, timeout=HTTP_S)
                rows = basic.api("GET", "list-requests", **iris, max_results=100)["requests"]
                return [row for row in rows if row["request_id"] == "over-grpc"]

            eventually(logged, within_s=60, tail=basic.tail)
            row = logged()[0]
        assert (row["requester"], row["status_code"], row["endpoint_version_name"]) == ("read", 200, "1")
    finally:
        basic.api("PUT", "update-compute-config", **iris, config={"request_log": None})
