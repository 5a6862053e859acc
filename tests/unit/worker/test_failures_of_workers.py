"""What a request gets whose prediction has no JSON form, or whose body MLflow cannot even parse."""

from __future__ import annotations

import dataclasses
import decimal
import json
import re

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import INVALID_PARAMETER_VALUE, MlflowException
from worker_models import Scorer, pyfunc

JSON = "application/json"
NAMES = [("x", "double")]
BODY = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}).encode()


@dataclasses.dataclass
class Point:
    x: float = 1.0


def answer_of(output: object) -> tuple[int, dict]:
    answer = Scorer(pyfunc(NAMES, lambda _: output)).score(JSON, BODY)
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({1, 2}, "a set, which has no JSON form"),
        (decimal.Decimal("1.5"), "a Decimal, which has no JSON form"),
        ([decimal.Decimal("1.5")], "a Decimal, which has no JSON form (within a list)"),
        (1j, "a complex, which has no JSON form"),
        (np.array([1j]), "a complex, which has no JSON form (within an ndarray)"),
        ((n for n in range(3)), "a generator, which has no JSON form"),
        (Point(), "a Point, which has no JSON form"),
        ({"a": {"b": {3}}}, "a set, which has no JSON form (within a dict)"),
        ({"a": pd.NA}, "a NAType, which has no JSON form (within a dict)"),
        (
            pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", 1)])),
            "a DataFrame with names of type tuple, which has no JSON form",
        ),
        ({(1, 2): 3}, "a dict with names of type tuple, which has no JSON form"),
        (object(), "an object, which has no JSON form"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_prediction_without_a_json_form_is_an_internal_error_that_names_its_type(output, said):
    status, document = answer_of(output)
    assert (status, document["error_code"]) == (500, "INTERNAL_ERROR")
    assert document["message"].startswith("The prediction cannot be sent: the model returned ")
    assert said in document["message"]
    assert "Traceback" in document["stack_trace"]


def test_a_prediction_that_holds_itself_is_an_internal_error():
    ring: list = []
    ring.append(ring)
    status, document = answer_of(ring)
    assert status == 500
    assert "a list, which has no JSON form" in document["message"]


@pytest.mark.parametrize("output", [b"bytes", np.float32(1), pd.Timestamp("2024-01-01"), {"a": np.arange(2)}, None])
def test_a_prediction_that_mlflow_can_write_is_answered(output):
    status, document = answer_of(output)
    assert status == 200
    assert "predictions" in document


def test_a_body_that_cannot_be_read_is_a_bad_request_that_says_why():
    answer = Scorer(pyfunc(NAMES, lambda _: [0])).score(JSON, b'{"inputs": ' + b"[" * 200_000)
    assert answer.status == 400
    assert "too deeply nested" in json.loads(answer.body)["message"]


def test_an_error_of_mlflow_with_more_than_json_holds_is_still_answered():
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

    def raises(_):
        raise MlflowException("later", error_code=TEMPORARILY_UNAVAILABLE, cause={1})

    answer = Scorer(pyfunc(NAMES, raises)).score(JSON, BODY)
    assert (answer.status, json.loads(answer.body)["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")


def raises(_: object) -> object:
    try:
        return {}["age"]
    except KeyError:
        raise ValueError("the model has its own words") from None


def validates(data: object) -> object:
    raise MlflowException("the model checks its input", INVALID_PARAMETER_VALUE)


def _validate_twice(data: object) -> object:
    raise TypeError("a model's function has the name of a check")


@pytest.mark.parametrize("model", [raises, validates, _validate_twice])
def test_the_log_has_the_traceback_of_an_error_that_the_model_raised(capfd, model):
    Scorer(pyfunc(NAMES, model)).score(JSON, BODY)
    said = capfd.readouterr().err
    assert "Traceback" in said
    assert model.__name__ in said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"dataframe_split": {"columns": ["age"], "data": [["Sekret"]]}}', "missing inputs"),
        (b'{"dataframe_split": {"columns": ["x"], "data": [["Sekret"]]}}', "Failed to convert column x"),
        (b'{"dataframe_records": [{"x": "Sekret"}, {"x": 1}]}', "Failed to convert column x"),
        (b'{"instances": [{"y": "Sekret"}]}', "missing inputs"),
        (b'{"Sekret', "valid JSON"),
        (b'{"frame": "Sekret"}', "dataframe_split"),
        # In the words of Python 3.13 and before, and of 3.14.
        pytest.param(b"[" * 100_000, "recursion depth|Stack overflow", id="nested"),
        (b'["Sekret"]', ""),
    ],
)
def test_the_log_has_one_line_without_data_of_a_bad_request(capfd, body, said):
    answer = Scorer(pyfunc(NAMES, len)).score(JSON, body)
    (line,) = "".join(capfd.readouterr()).splitlines()
    assert answer.status == 400
    assert line.startswith("Bad request: ")
    assert re.search(said, line)
    assert "Sekret" not in line
