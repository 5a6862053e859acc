"""Tensors as bytes make the very input that MLflow makes of the same tensors in JSON."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from mlflow_serving_plugin.worker.columns import PLAIN
from mlflow_serving_plugin.worker.fast_path import JsonDecoder
from mlflow_serving_plugin.worker.formats import INPUTS, SPLIT
from mlflow_serving_plugin.worker.same import same_value
from mlflow_serving_plugin.worker.tables import SignatureTable
from mlflow_serving_plugin.worker.tensor_body import as_json, write_body
from mlflow_serving_plugin.worker.tensors import SignatureTensors


def decoder_of_tensors(**specs: tuple[str, tuple[int, ...]]) -> JsonDecoder:
    """The decoder of named tensors, or of the tensor ``_``, all proved."""
    made = [TensorSpec(np.dtype(dtype), shape, None if name == "_" else name) for name, (dtype, shape) in specs.items()]
    shape = SignatureTensors(Schema(made))
    shape._proved.add(INPUTS)
    return JsonDecoder([shape], takes_params=True)


def decoder_of_columns(kind: str, *names: str) -> JsonDecoder:
    shape = SignatureTable(Schema([ColSpec(DataType[kind], name) for name in names]))
    shape._proved.add(SPLIT)
    for column in shape.columns:
        column.proved.add(PLAIN)
    return JsonDecoder([shape], takes_params=True)


def body_of(kind: str, params: Any = None, **arrays: np.ndarray) -> bytes:
    tensors = [(name, array.dtype.str, list(array.shape)) for name, array in arrays.items()]
    return write_body(kind, tensors, [array.tobytes() for array in arrays.values()], params)


def check(decoder: JsonDecoder, body: bytes, taken: bool) -> None:
    """The input is the one of JSON, or is left to JSON."""
    found, by_json = decoder.decode_tensors(body), decoder.decode(as_json(body))
    assert (found is not None) is taken
    if found is not None:
        assert by_json is not None
        assert found.params == by_json.params
        assert same_value(found.model_input(), by_json.model_input())
        if type(found) is type(by_json):
            assert found.group == by_json.group


@pytest.mark.parametrize("wanted", ["float64", "float32", "float16", "int64", "int32", "uint8"])
@pytest.mark.parametrize("sent", ["<f8", "<f4", "<f2", "<i8", "<i4", "<i2", "<i1", "<u8", "<u4", "<u1"])
def test_a_tensor_of_each_type_for_a_model_of_each_type(wanted: str, sent: str):
    array = np.array([[0, 1], [3, 2]], sent)
    floats = (np.dtype(wanted).kind == "f", np.dtype(sent).kind == "f")
    check(decoder_of_tensors(_=(wanted, (-1, 2))), body_of("np", x=array), taken=floats[0] == floats[1])


@pytest.mark.parametrize(
    ("wanted", "array"),
    [
        ("float64", np.array([[0.5, np.nan]])),
        ("float32", np.array([[0.5, 1e300]])),
        ("int32", np.array([[1, 2**40]])),
        ("uint8", np.array([[-1, 2]])),
        ("int64", np.array([[1, 2**63]], "<u8")),
        ("float64", np.array([[0.5, 1, 2]])),
        ("float64", np.array([0.5, 1])),
    ],
)
def test_values_and_shapes_on_which_mlflow_has_a_say_are_left_to_mlflow(wanted: str, array: np.ndarray):
    decoder = decoder_of_tensors(_=(wanted, (-1, 2)))
    assert decoder.decode_tensors(body_of("np", x=array)) is None


def test_named_tensors_and_params():
    decoder = decoder_of_tensors(a=("float64", (-1,)), b=("int64", (-1, 1)))
    arrays = {"b": np.array([[1], [2]]), "a": np.array([0.5, 1.5])}
    check(decoder, body_of("dict", {"depth": 3}, **arrays), taken=True)
    assert decoder.decode_tensors(body_of("dict", a=arrays["a"])) is None
    assert decoder.decode_tensors(body_of("dict", c=arrays["a"], a=arrays["a"])) is None
    assert decoder.decode_tensors(body_of("dict", {"depth": 2.0**70}, **arrays)) is None


@pytest.mark.parametrize(
    ("kind", "sent", "taken"),
    [
        ("double", "<f8", True),
        ("double", "<f4", True),
        ("double", "<i4", False),
        ("float", "<f4", True),
        ("long", "<i8", True),
        ("integer", "<i4", True),
        ("integer", "<f8", False),
        ("string", "<f8", False),
    ],
)
def test_columns_of_one_type_in_any_order(kind: str, sent: str, taken: bool):
    decoder = decoder_of_columns(kind, "a", "b")
    first, second = np.array([[1], [2], [3]], sent), np.array([4, 5, 6], sent)
    check(decoder, body_of("pd", a=first, b=second), taken)
    check(decoder, body_of("pd", b=first, c=first, a=second), taken)
    assert decoder.decode_tensors(body_of("pd", a=first)) is None


def test_columns_with_values_on_which_mlflow_has_a_say_are_left_to_mlflow():
    for kind, array in (
        ("double", np.array([0.5, np.nan])),
        ("double", np.array([0.5, 1e30])),
        ("float", np.array([0.5, 2.0**25])),
        ("integer", np.array([1, 2**40])),
    ):
        assert decoder_of_columns(kind, "a").decode_tensors(body_of("pd", a=array)) is None


def test_as_json_is_what_mlflow_takes():
    array = np.array([[1.5, 2], [3, 4]])
    assert json.loads(as_json(body_of("np", {"a": 1}, x=array))) == {"inputs": array.tolist(), "params": {"a": 1}}
    assert json.loads(as_json(body_of("dict", x=array))) == {"inputs": {"x": array.tolist()}}
    split = json.loads(as_json(body_of("pd", x=array[:, :1], y=array[:, 1])))
    assert split == {"dataframe_split": {"columns": ["x", "y"], "data": array.tolist()}}


def test_a_model_that_mlflow_has_to_read_for_gets_json(monkeypatch: pytest.MonkeyPatch):
    from mlflow_serving_plugin.worker.scoring import Scorer
    from mlflow_serving_plugin.worker.tensor_body import TENSORS

    scorer: Any = SimpleNamespace(decoder=None, _csv=None)
    assert Scorer.decode(scorer, TENSORS, body_of("np", x=np.array([1.0]))) is None
    assert Scorer._as_json(scorer, TENSORS, body_of("np", x=np.array([1.0]))) == (
        "application/json",
        b'{"inputs": [1.0]}',
    )
