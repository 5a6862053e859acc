"""Each shape of model is on the fast path and answered as MLflow answers, or says why not."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from worker_models import (
    Array,
    ColSpec,
    DataType,
    Model,
    ModelSignature,
    Object,
    ParamSchema,
    ParamSpec,
    Predictor,
    Property,
    PyFuncModel,
    Schema,
    Scorer,
    TensorSpec,
)

from mlflow_serving_plugin.worker.fast_path import JsonDecoder
from mlflow_serving_plugin.worker.tables import SignatureTable

JSON = "application/json"
NESTED = [
    ColSpec(Array(DataType.double), "a"),
    ColSpec(Object([Property("x", DataType.double), Property("y", DataType.string, required=False)]), "o"),
]
DOUBLE = [ColSpec("double", "x"), ColSpec("double", "y", required=False)]
PARAMS = ParamSchema([ParamSpec("t", "double", 1.5), ParamSpec("l", "long", [1, 2], (-1,))])
IMAGES = [TensorSpec(np.dtype("float32"), (-1, 2, 2))]
SHAPES = {
    "a null": (DOUBLE, {"dataframe_split": {"columns": ["x", "y"], "data": [[1.5, None]]}}),
    "an index": (DOUBLE, {"dataframe_split": {"columns": ["x", "y"], "index": [4], "data": [[1.5, 2.5]]}}),
    "an optional column that is missing": (DOUBLE, {"dataframe_records": [{"x": 1.5}]}),
    "a further column": (DOUBLE, {"dataframe_records": [{"x": 1.5, "y": 1, "z": "?"}]}),
    "inputs by column": (DOUBLE, {"inputs": {"x": [1.5], "y": [2]}}),
    "instances by row": (DOUBLE, {"instances": [{"x": 1.5, "y": 2.5}]}),
    "whole numbers as floats": ([ColSpec("long", "n")], {"dataframe_records": [{"n": 2.0}]}),
    "a date": ([ColSpec("datetime", "d")], {"dataframe_records": [{"d": "2024-02-29"}]}),
    "a time": ([ColSpec("datetime", "d")], {"dataframe_records": [{"d": "2024-02-29T12:00:00.5"}, {"d": None}]}),
    "binary": ([ColSpec("binary", "b")], {"dataframe_records": [{"b": "AAEC"}]}),
    "text and null": ([ColSpec("string", "s")], {"dataframe_records": [{"s": "a"}, {"s": None}]}),
    "lists and objects": (NESTED, {"dataframe_records": [{"a": [1.5], "o": {"x": 0.5}}]}),
    "params": (DOUBLE, {"dataframe_records": [{"x": 1.5}], "params": {"t": 2}}),
    "params by default": (DOUBLE, {"dataframe_records": [{"x": 1.5}]}),
    "a tensor": (IMAGES, {"inputs": [[[0.1, 0.2], [0.3, 4]]]}),
    "a tensor as instances": (IMAGES, {"instances": [[[0.1, 0.2], [0.3, 4]]]}),
    "a tensor with params": (IMAGES, {"inputs": [[[0.1, 0.2], [0.3, 4]]], "params": {"l": [3]}}),
    "two tensors": (
        [TensorSpec(np.dtype("int64"), (-1, 2), "a"), TensorSpec(np.dtype("bool"), (-1,), "b")],
        {"instances": [{"a": [1, 2], "b": True}]},
    ),
    "no signature": (None, {"dataframe_split": {"columns": ["p", "q", "r"], "data": [[1, 0.5, "a"]]}}),
    "no signature, records": (None, {"dataframe_records": [{"p": 1.5, "q": None}, {"p": 2, "q": 0.5}]}),
    "no signature, a list": (None, {"inputs": [[1, 2], [3, 4]]}),
    "type hints": ("list[str]", {"inputs": ["a", "b"]}),
}


class Shown(Predictor):
    """Answers what the model got, with every type."""

    def predict(self, data, params=None):
        types = data.dtypes.to_dict() if hasattr(data, "dtypes") else getattr(data, "dtype", type(data))
        return [repr((data, types, params))]


def scorer_of(inputs, params=None):
    columns = Schema(DOUBLE if isinstance(inputs, str) else inputs) if inputs is not None else None
    signature = None if columns is None else ModelSignature(inputs=columns, params=params)
    if isinstance(inputs, str):
        signature._is_signature_from_type_hint = True
    meta = Model(signature=signature)
    meta.add_flavor("python_function", loader_module="mlflow.pyfunc.model")
    scorer = Scorer(PyFuncModel(meta, Shown(None), predict_fn="predict"))
    scorer.prepare_fast_path()
    return scorer


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
@pytest.mark.parametrize(
    "value",
    [
        [[[0.1, 0.2], [0.3, 4]]],
        [[[1, 2], [3, 4]]],
        [[[1, 2], [3, 300]], [[5, 6], [7, 8]]],
        [[[1, 2], [3]]],
        [[[1, [2, 3]], [4, []]]],
        [[[1, 2], [3, 16777217]]],
        [[[1, 2], [3, 9007199254740993]]],
        [[[1e300, 2], [3, 4]]],
        [[[True, False], [True, False]]],
        [[[1, None], [3, 4]]],
        [[1, 2], [3, 4]],
        [[["[", "a"], ["b", "c"]]],
        [[], []],
        {"a": [[[1, 2], [3, 4]]]},
    ],
    ids=json.dumps,
)
def test_a_tensor_that_simdjson_reads_is_the_one_that_mlflow_makes(dtype, value, monkeypatch):
    scorer = scorer_of([TensorSpec(np.dtype(dtype), (-1, 2, 2))])
    monkeypatch.setattr("mlflow_serving_plugin.worker.fast_path.LARGE_BYTES", 0)
    for key in ("inputs", "instances"):
        body = json.dumps({key: value}).encode()
        answer, expected = scorer.answer(JSON, body), scorer.score(JSON, body)
        assert (answer.status, answer.body.partition(b"stack")[0]) == (
            expected.status,
            expected.body.partition(b"stack")[0],
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_on_the_fast_path_and_the_model_sees_what_mlflow_shows(shape):
    inputs, document = SHAPES[shape]
    scorer = scorer_of(inputs, PARAMS if "params" in shape else None)
    body = json.dumps(document).encode()
    assert scorer.decode(JSON, body) is not None, scorer.why_no_fast_path
    answer = scorer.answer(JSON, body)
    assert answer.decode_ns > 0
    assert (answer.status, answer.body) == (200, scorer.score(JSON, body).body)


def test_csv_is_read_by_mlflow_and_not_enforced_again():
    scorer = scorer_of([ColSpec("double", "x"), ColSpec("string", "s"), ColSpec("long", "n")])
    for body in (
        b"x,s,n\n0.1,a,1\n,,2\n1e-320,NaN,3\n",
        b"x,s,n\r\n0.1,a,1\r\n",
        b"x,s,n\r0.1,a,1\r0.30000000000000004,b,2",
        b'x,s,n\n0.1,"a\r\nb, ""c""",1\n\n 2 ,\t,3\n',
        "x,s,n\n0.1,\u00fc,1\n".encode(),
    ):
        assert scorer.decode("text/csv", body) is not None
        assert scorer.answer("text/csv", body).body == scorer.score("text/csv", body).body
    for other in (b"", b"x,s\n1,a\n", b"x,s,n\n1,a,b\n", b"s,x,n\na,1,2\n", b"x,s,n\n", b"\xff"):
        assert scorer.decode("text/csv", other) is None


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{"x": 1.5}], "params": {"t": "warm"}},
        {"dataframe_records": [{"x": 1.5}], "params": {"t": 2**70}},
        {"dataframe_records": [{"x": 1.5}], "params": [1]},
        {"dataframe_records": [{"x": 1.5}], "params": {"l": 3}},
        {"dataframe_records": [{"x": 1.5}], "params": {"unknown": 3}},
        {"dataframe_records": [{"x": 1.5}], "params": None},
        {"dataframe_records": [{"x": 1.5}], "params": {}, "more": 1},
    ],
    ids=json.dumps,
)
def test_params_are_judged_by_mlflow(body):
    scorer, written = scorer_of(DOUBLE, PARAMS), json.dumps(body).encode()
    answer, expected = scorer.answer(JSON, written), scorer.score(JSON, written)
    assert answer.status == expected.status
    ours, theirs = json.loads(answer.body), json.loads(expected.body)
    assert {**ours, "stack_trace": 0} == {**theirs, "stack_trace": 0}


@pytest.mark.parametrize(
    "inputs, why",
    [
        ([ColSpec("double"), ColSpec("double")], "the columns of the signature have no names"),
        ([ColSpec(Array(DataType.datetime), "when")], "column 'when' has arrays of datetime, which needs a conversion"),
        ([TensorSpec(np.dtype("object"), (-1,), "words")], "the tensor 'words' is not one of numbers"),
    ],
)
def test_a_model_without_a_fast_path_says_why(inputs, why):
    scorer = scorer_of(inputs)
    assert scorer.decoder is None
    assert scorer.why_no_fast_path == why


def test_a_model_that_changes_its_input_changes_that_of_no_other_request():
    def spoil(data):
        data.columns.name = "spoilt"
        data.iloc[:, :] = -1.0
        return [0.0] * len(data)

    scorer = scorer_of(DOUBLE)
    row = {"dataframe_records": [{"x": 1.5, "y": 2.5}]}
    many = {"dataframe_split": {"columns": ["x", "y"], "data": [[1.5, 2.5]] * 2000}}
    for document in (row, many):
        decoded = scorer.decode(JSON, json.dumps(document).encode())
        spoil(decoded.model_input())
        fresh = decoded.model_input()
        assert fresh.columns.name is None
        assert fresh["x"].eq(1.5).all()
    spoil(scorer.decode(JSON, json.dumps(row).encode()).model_input())
    assert scorer.decode(JSON, json.dumps(row).encode()).model_input().columns.name is None


def test_twenty_thousand_columns_are_read_as_fast_in_any_order():
    names, row = [f"c{number}" for number in range(20_000)], [float(number) for number in range(20_000)]
    decoder = JsonDecoder([SignatureTable(Schema([ColSpec("double", name) for name in names]))])
    for trial in decoder.trials():
        for proved, item in trial.allows:
            proved.add(item)
    took_s = []
    for step in (1, -1):
        split = {"columns": names[::step], "data": [row[::step]]}
        started_s = time.process_time()
        frame = decoder.decode(json.dumps({"dataframe_split": split}).encode()).model_input()
        took_s.append(time.process_time() - started_s)
        assert (list(frame.columns), frame.iloc[0].tolist()) == (names, row)
    assert took_s[1] < 5 * took_s[0] + 0.2
