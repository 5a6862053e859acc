"""The Open Inference Protocol: tensors to and from what a model takes, in JSON and in bytes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlflow_serving_plugin.errors import BadRequestError
from mlflow_serving_plugin.gateway.dialects.base import Failure
from mlflow_serving_plugin.gateway.dialects.v2 import V2, V2Model
from mlflow_serving_plugin.gateway.dialects.v2_signature import declared
from mlflow_serving_plugin.gateway.dialects.v2_tensors import (
    NUMPY,
    Tensor,
    infer_tensor,
    raw_tensor,
    read_tensor,
    write_bytes,
)
from mlflow_serving_plugin.worker.tensor_body import TENSORS, as_json

COLUMNS = declared('[{"type": "double", "name": "a"}, {"type": "string", "name": "b"}]', "input")
MATRIX = declared('[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}]', "input")
NAMED = declared('[{"type": "tensor", "name": "x", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]', "input")
CLASS = declared('[{"type": "integer"}]', "output")


def tensor(name, values, shape, datatype="FP64", **parameters):
    made = {"name": name, "shape": shape, "datatype": datatype, "data": values}
    return {**made, "parameters": parameters} if parameters else made


def read(*inputs, of=COLUMNS, declares=(), headers=None, rest=b"", **fields):
    body = json.dumps({"inputs": inputs, **fields}).encode()
    sent = {"inference-header-content-length": str(len(body))} if rest else {}
    return V2Model("m", "1", of, list(declares), 1000).reader(sent | (headers or {}), "modern")(body + rest)


def to_model(request):
    """The request as MLflow takes it."""
    return json.loads(as_json(request.body) if request.content_type == TENSORS else request.body)


def test_columns_become_a_data_frame_in_whatever_shape_they_come():
    request = read(tensor("a", [1.5, 2.5], [2, 1]), tensor("b", ["x", "y"], [2], "BYTES"))
    assert to_model(request) == {"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, "x"], [2.5, "y"]]}}


def test_tensors_keep_their_shape_flat_or_nested():
    for data in ([1, 2, 3, 4], [[1, 2], [3, 4]]):
        assert to_model(read(tensor("input-0", data, [2, 2]), of=MATRIX)) == {"inputs": [[1, 2], [3, 4]]}
    assert to_model(read(tensor("x", [1, 2], [2]), of=NAMED)) == {"inputs": {"x": [1, 2]}}


@pytest.mark.parametrize(
    ("content_type", "made"),
    [
        ("pd", {"dataframe_split": {"columns": ["a"], "data": [["1"], ["2"]]}}),
        ("np", {"inputs": ["1", "2"]}),
        ("str", {"inputs": ["1", "2"]}),
        ("dict", {"inputs": {"a": ["1", "2"]}}),
    ],
)
def test_the_content_type_decides_before_the_signature(content_type, made):
    request = read(tensor("a", ["1", "2"], [2], "BYTES"), parameters={"content_type": content_type, "depth": 3})
    assert to_model(request) == {**made, "params": {"depth": 3}}
    of_input = read(tensor("a", ["1", "2"], [2], "BYTES", content_type=content_type))
    assert to_model(of_input) == made


@pytest.mark.parametrize("datatype", sorted(NUMPY))
def test_every_datatype_passes_as_bytes_both_ways(datatype):
    array = np.array([[0, 1], [1, 0]], NUMPY[datatype])
    raw = array.tobytes()
    found = read_tensor({"name": "a", "shape": [2, 2], "datatype": datatype}, raw, 100)
    assert found.nested() == array.tolist()
    assert write_bytes(Tensor("a", datatype, [2, 2], found.values)) == raw


def test_texts_pass_as_bytes_both_ways():
    texts = ["", "a", "\u00e9"]
    raw = write_bytes(Tensor("a", "BYTES", [3], texts))
    given = {"name": "a", "shape": [3], "datatype": "BYTES"}
    assert read_tensor(given, raw, 100).values == texts
    coded = read_tensor({**given, "shape": [1], "parameters": {"content_type": "base64"}}, b"\x01\0\0\0\xff", 100)
    assert coded.values == ["/w=="]


def test_bytes_of_several_inputs_stand_one_behind_another():
    raw = np.array([1.5], "<f8").tobytes() + b"\x01\0\0\0x"
    inputs = [tensor("a", None, [1], binary_data_size=8), tensor("b", None, [1], "BYTES", binary_data_size=5)]
    assert to_model(read(*inputs, rest=raw))["dataframe_split"]["data"] == [[1.5, "x"]]


ONE = tensor("a", [1], [1])


@pytest.mark.parametrize(
    ("inputs", "more", "said"),
    [
        ([], {}, "the field 'inputs'"),
        (["a"], {}, "Each input must be an object"),
        ([{**ONE, "datatype": "BF16"}], {}, "none of BYTES, BOOL"),
        ([{**ONE, "shape": [2]}], {}, "has 1 values, and its shape asks for 2"),
        ([{**ONE, "shape": [-1]}], {}, "must be a list of sizes"),
        ([{**ONE, "shape": [10**9]}], {}, "of 1000 values at most"),
        ([{**ONE, "data": 1}], {}, "data of an input must be a list"),
        ([tensor("a", None, [1], binary_data_size=8)], {}, "shorter than the binary_data_size"),
        ([tensor("a", None, [1], binary_data_size=7)], {"rest": b"1234567"}, "no whole number of FP64"),
        ([tensor("a", None, [1], "BYTES", binary_data_size=5)], {"rest": b"\x05\0\0\0x"}, "are cut short"),
        ([ONE, tensor("b", [1, 2], [2])], {}, "all inputs must have the same shape"),
        ([ONE, tensor("b", [1], [1])], {"of": MATRIX}, "takes one input"),
        ([ONE, tensor("b", [1], [1]), ONE], {}, "Two inputs have the same name"),
        ([tensor("a", ["x"], [1], "BYTES"), ONE], {}, "Two inputs have the same name"),
        ([ONE], {"parameters": 1}, "must be an object"),
        ([tensor("a", ["{"], [1], "BYTES", content_type="pd_json")], {}, "must be JSON"),
        ([ONE], {"headers": {"inference-header-content-length": "x"}}, "length of the JSON"),
    ],
)
def test_a_request_that_is_none_is_refused_in_words(inputs, more, said):
    with pytest.raises(BadRequestError, match=said):
        read(*inputs, **more)


def answered(predictions, declares=(), **fields):
    written = read(ONE, declares=declares, **fields).reply_format
    body = written.answer(json.dumps({"predictions": predictions}).encode())
    document = json.loads(body[: written.json_length])
    return document, body[written.json_length or len(body) :]


def test_a_list_becomes_one_output_as_of_mlserver():
    document, _ = answered([0.5, None], id="7")
    assert document == {
        "model_name": "m",
        "model_version": "1",
        "id": "7",
        "outputs": [{"name": "output-1", "datatype": "FP64", "shape": [2, 1], "data": [0.5, None]}],
    }


@pytest.mark.parametrize(
    ("predictions", "declared_as", "made"),
    [
        ([1, 2], None, ("INT64", [2, 1], [1, 2])),
        ([1, 2], "INT32", ("INT32", [2, 1], [1, 2])),
        ([1.5], "INT32", ("FP64", [1, 1], [1.5])),
        ([1, 2], "FP32", ("FP32", [2, 1], [1, 2])),
        ([[1.0, 2.0], [3.0, 4.0]], "FP32", ("FP32", [2, 2], [1.0, 2.0, 3.0, 4.0])),
        ([True], None, ("BOOL", [1, 1], [True])),
        (["a"], None, ("BYTES", [1, 1], ["a"])),
        ([[1], [1, 2]], None, ("BYTES", [2, 1], ["[1]", "[1, 2]"])),
        (3, None, ("INT64", [1, 1], [3])),
        ([], None, ("FP64", [0, 1], [])),
    ],
)
def test_an_output_has_the_signature_s_datatype_where_its_values_fit(predictions, declared_as, made):
    found = infer_tensor("o", predictions, declared_as)
    assert (found.datatype, found.shape, found.values) == made


def test_records_become_an_output_for_each_column_and_outputs_can_be_chosen():
    records = [{"p": 0.5, "q": "x"}, {"p": 1.5, "q": "y"}]
    document, _ = answered(records)
    assert [output["name"] for output in document["outputs"]] == ["p", "q"]
    document, raw = answered(records, outputs=[{"name": "p", "parameters": {"binary_data": True}}])
    (output,) = document["outputs"]
    assert output["parameters"] == {"binary_data_size": 16}
    assert np.frombuffer(raw, "<f8").tolist() == [0.5, 1.5]
    with pytest.raises(BadRequestError, match="the outputs p, q"):
        answered(records, outputs=[{"name": "r"}])


def test_all_outputs_come_as_bytes_where_the_request_says_so_and_null_is_nan():
    document, raw = answered([0.5, None], CLASS, parameters={"binary_data_output": True})
    assert document["outputs"][0]["name"] == "output-1"
    assert np.isnan(np.frombuffer(raw, "<f8")[1])


def test_metadata_has_the_signature_s_types():
    assert [(one.name, one.datatype, one.shape) for one in COLUMNS] == [("a", "FP64", [-1, 1]), ("b", "BYTES", [-1, 1])]
    assert [(one.name, one.datatype, one.shape) for one in MATRIX] == [("input-0", "FP32", [-1, 2])]
    assert [(one.name, one.datatype) for one in CLASS] == [("output-1", "INT32")]
    assert declared(None, "input") == declared("{", "input") == []


def test_errors_are_texts():
    refusal = V2().refuse(Failure(404, "CODE", "why"))
    assert (refusal.status, json.loads(refusal.body)) == (404, {"error": "why"})


@pytest.mark.parametrize(
    ("of", "inputs", "raws"),
    [
        (MATRIX, [("x", [2, 2], "FP32")], [np.array([1, 2, 3, 4], "<f4")]),
        (NAMED, [("x", [2], "INT64")], [np.array([1, 2], "<i8")]),
        (COLUMNS, [("a", [2, 1], "FP64"), ("b", [2], "INT32")], [np.array([0.5, 2]), np.array([1, 2], "<i4")]),
    ],
)
def test_numbers_as_bytes_go_to_the_worker_as_bytes_and_mean_what_json_means(of, inputs, raws):
    given = [
        tensor(name, None, shape, datatype, binary_data_size=raw.nbytes)
        for (name, shape, datatype), raw in zip(inputs, raws, strict=True)
    ]
    for one in given:
        del one["data"]
    found = read(*given, of=of, rest=b"".join(raw.tobytes() for raw in raws), parameters={"depth": 3})
    in_json = [tensor(name, raw.tolist(), shape, kind) for (name, shape, kind), raw in zip(inputs, raws, strict=True)]
    assert found.content_type == TENSORS
    by_json = read(*in_json, of=of, parameters={"depth": 3})
    assert by_json.content_type == TENSORS
    assert to_model(found) == to_model(by_json)


@pytest.mark.parametrize(
    ("fields", "raw"),
    [
        ({"binary_data_size": 4}, b"\0" * 4),
        ({"binary_data_size": 16, "content_type": "base64"}, b"\0" * 16),
        ({"binary_data_size": 16, "shape": [3]}, b"\0" * 16),
        ({"binary_data_size": 16, "datatype": "BOOL"}, b"\0" * 16),
        ({"binary_data_size": 16, "shape": [2, -1]}, b"\0" * 16),
        ({"binary_data_size": 16, "shape": [True, 2]}, b"\0" * 16),
        ({"binary_data_size": True}, b"\0" * 16),
    ],
)
def test_tensors_that_are_odd_or_wrong_take_the_usual_way(fields, raw):
    parameters = {name: value for name, value in fields.items() if name not in ("shape", "datatype")}
    given = {"name": "x", "shape": [2], "datatype": "FP64", "parameters": parameters}
    given |= {name: value for name, value in fields.items() if name in ("shape", "datatype")}
    try:
        assert read(given, of=MATRIX, rest=raw).content_type == "application/json"
    except BadRequestError:
        assert len(raw) == 4 or "shape" in fields or "datatype" in fields or fields["binary_data_size"] is True


@pytest.mark.parametrize(
    ("datatype", "values", "packed"),
    [
        ("FP32", [0.1, 2], np.array([0.1, 2], "<f4")),
        ("FP64", [1, 2], np.array([1, 2], "<f8")),
        ("UINT8", [0, 255], np.array([0, 255], "<u1")),
        ("UINT8", [0, 256], None),
        ("INT32", [1.5, 2], None),
        ("INT64", [2**70, 1], None),
        ("INT64", [1, None], None),
        ("FP64", ["1", "2"], None),
        ("FP64", [[1], [2, 3]], None),
        ("BOOL", [True, False], None),
    ],
)
def test_numbers_in_json_have_the_datatype_that_the_client_names(datatype, values, packed):
    found = raw_tensor(tensor("x", values, [2], datatype), 10)
    assert (found and found.values) == (None if packed is None else packed.tobytes())
