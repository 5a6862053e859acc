"""V2's gRPC messages, and their way to and from V2 over HTTP."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pool

from mlflow_serving_plugin.errors import BadRequestError, ConfigurationError
from mlflow_serving_plugin.gateway.dialects.v2 import V2Answer, V2Model
from mlflow_serving_plugin.grpc.messages import POOL, SERVICE, message_class
from mlflow_serving_plugin.grpc.translate import infer_body, infer_response, model_path
from mlflow_serving_plugin.grpc_service import require_grpc
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.worker.tensor_body import TENSORS, as_json

MODEL = V2Model("flowers", "2", [], [], 1000)


def a_request(datatype: str, shape: list[int], *, raw: bytes | None = None, **contents: Any) -> Any:
    request = message_class("ModelInferRequest")(model_name="flowers", id="7")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=shape)
    for name, values in contents.items():
        getattr(tensor.contents, name).extend(values)
    if raw is not None:
        request.raw_input_contents.append(raw)
    return message_class("ModelInferRequest").FromString(request.SerializeToString())


def read(request: Any) -> Any:
    """What the model gets, and the format of the answer."""
    headers, body = infer_body(request)
    return MODEL.reader(headers, "")(body)


@pytest.mark.parametrize(
    ("datatype", "contents", "values"),
    [
        ("BOOL", {"bool_contents": [True, False]}, [True, False]),
        ("INT8", {"int_contents": [-1, 2]}, [-1, 2]),
        ("INT64", {"int64_contents": [-(2**63), 2]}, [-(2**63), 2]),
        ("UINT16", {"uint_contents": [1, 65535]}, [1, 65535]),
        ("UINT64", {"uint64_contents": [1, 2**63 - 1]}, [1, 2**63 - 1]),
        ("FP32", {"fp32_contents": [0.5, -2]}, [0.5, -2.0]),
        ("FP64", {"fp64_contents": [0.1, 2]}, [0.1, 2.0]),
        ("BYTES", {"bytes_contents": ["ü".encode(), b""]}, ["ü", ""]),
    ],
)
def test_values_of_each_datatype_come_and_go(datatype: str, contents: dict[str, Any], values: list[Any]):
    request = read(a_request(datatype, [2], **contents))
    assert json.loads(as_json(request.body) if request.content_type == TENSORS else request.body)["inputs"] == (
        pytest.approx(values) if datatype.startswith("FP") else values
    )
    answered = request.reply_format.answer(json.dumps({"predictions": values}).encode())
    headers = {"inference-header-content-length": str(request.reply_format.json_length)}
    for raw in (True, False):
        response = infer_response(headers, answered, raw=raw)
        assert (response.model_name, response.model_version, response.id) == ("flowers", "2", "7")
        (output,) = response.outputs
        assert list(output.shape) == [2, 1]
        assert len(response.raw_output_contents) == raw
        if not raw:
            found = next(list(field) for _, field in output.contents.ListFields())
            assert [one.decode() if isinstance(one, bytes) else one for one in found] == values


def test_raw_values_are_passed_on_as_they_are():
    raw = np.array([[0.5, 2]], "<f4").tobytes()
    headers, body = infer_body(a_request("FP32", [1, 2], raw=raw))
    assert body.endswith(raw)
    assert json.loads(body[: int(headers["inference-header-content-length"])])["id"] == "7"


@pytest.mark.parametrize(
    "request_",
    [
        a_request("FP32", [1], raw=b"1234", fp32_contents=[1.0]),
        a_request("INT8", [1], int_contents=[1000]),
        a_request("FP16", [1]),
        a_request("NONSENSE", [1]),
    ],
)
def test_values_that_do_not_fit_are_refused(request_: Any):
    with pytest.raises(BadRequestError):
        infer_body(request_)


def test_parameters_and_wanted_outputs_reach_the_model_s_reader():
    request = a_request("FP32", [1], raw=struct.pack("<f", 1))
    request.parameters["content_type"].string_param = "np"
    request.parameters["depth"].int64_param = 3
    request.outputs.add(name="classes")
    found = read(request)
    assert isinstance(found.reply_format, V2Answer)
    assert b'"depth": 3' in found.body


def test_the_names_of_the_messages_stay_free_for_other_packages():
    assert POOL.FindServiceByName(SERVICE).methods_by_name["ModelInfer"].input_type.full_name.startswith("inference.")
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (("flowers", ""), "/v2/models/flowers"),
        (("flowers", "@best", "infer"), "/v2/models/flowers/versions/@best/infer"),
    ],
)
def test_paths_are_those_of_http(given: tuple[str, ...], path: str):
    assert model_path(*given) == path


def test_half_of_tls_and_a_missing_key_are_refused_at_the_start():
    require_grpc(Settings())
    with pytest.raises(ConfigurationError, match="GRPC_KEY_FILE"):
        require_grpc(Settings(grpc_port=1, grpc_certificate_file="here"))
    with pytest.raises(ConfigurationError, match="GRPC_KEY_FILE names no file"):
        require_grpc(Settings(grpc_port=1, grpc_certificate_file=__file__, grpc_key_file="/nothing"))
