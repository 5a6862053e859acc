from __future__ import annotations

import json

import pytest

from mlflow_serving_plugin.errors import (
    InvalidParameterError,
    TemporarilyUnavailableError,
    UnavailableError,
    UnsupportedTypeError,
)
from mlflow_serving_plugin.gateway.dialects.base import ScoringRequest, failure_of
from mlflow_serving_plugin.gateway.dialects.failures import UNEXPECTED, explain
from mlflow_serving_plugin.gateway.dialects.mlflow1 import MLFLOW1
from mlflow_serving_plugin.gateway.dialects.mlflow2 import MLFLOW2
from mlflow_serving_plugin.worker.redact import LONGEST_MESSAGE, last_words, redact

TRACE = """Traceback (most recent call last):
  File "a.py", line 1, in predict
    return f(x)
           ^^^^
ValueError: Input X contains
NaN.
"""


def answered(status, *, debug=False, dialect=MLFLOW2, text=None, **document):
    body = text if text is not None else json.dumps(document).encode()
    failure = dialect.refuse(explain(status, body, debug=debug))
    return failure.status, json.loads(failure.body) if failure.content_type == "application/json" else failure.body


def test_a_workers_400_keeps_code_and_message_and_loses_the_rest():
    status, body = answered(
        400,
        error_code="INVALID_PARAMETER_VALUE",
        message="Model is missing inputs ['a'].",
        sqlstate="x",
        stack_trace="y",
    )
    assert (status, body) == (
        400,
        {"error_code": "INVALID_PARAMETER_VALUE", "message": "Model is missing inputs ['a']."},
    )


def test_mlflow_1_has_one_code_for_400():
    _, body = answered(400, dialect=MLFLOW1, error_code="INVALID_PARAMETER_VALUE", message="m")
    assert body["error_code"] == "BAD_REQUEST"


def test_a_traceback_is_shown_with_debug_only():
    failure = {"error_code": "BAD_REQUEST", "message": "Encountered an unexpected error.", "stack_trace": TRACE}
    assert "stack_trace" not in answered(400, **failure)[1]
    assert answered(400, debug=True, **failure)[1]["stack_trace"] == TRACE


def test_a_models_own_words_are_taken_from_its_traceback():
    failure = {"error_code": "BAD_REQUEST", "message": "Encountered an unexpected error.", "stack_trace": TRACE}
    assert answered(400, **failure)[1]["message"].endswith("error. Error: ValueError: Input X contains\nNaN.")
    assert answered(400, **{**failure, "stack_trace": None})[1]["message"] == "Encountered an unexpected error."


@pytest.mark.parametrize(
    "text", [b"Internal Server Error", b"", b"\xff", b"[]", b'{"message": 1, "error_code": "x"}', b"[" * 100_000]
)
def test_a_crash_of_the_scoring_server_is_an_internal_error_in_one_sentence(text):
    assert answered(500, text=text) == (500, {"error_code": "INTERNAL_ERROR", "message": UNEXPECTED})


def test_a_crash_of_the_scoring_server_on_a_body_that_is_no_json_is_a_bad_request():
    for sent, status in ((b'{"inputs": ' + b"[" * 100_000, 400), (b'{"inputs": [1]}', 500)):
        request = ScoringRequest("application/json", sent, MLFLOW2)
        assert explain(500, b"Internal Server Error", debug=False, sent=request).status == status


@pytest.mark.parametrize(
    ("status", "code"), [(500, "INTERNAL_ERROR"), (503, "TEMPORARILY_UNAVAILABLE"), (501, "NOT_IMPLEMENTED")]
)
def test_a_models_own_error_keeps_its_status_and_code_as_of_the_stock_server(status, code):
    found = answered(status, error_code=code, message="Failed to predict data '[1]'. \nError: no such user")
    assert found == (status, {"error_code": code, "message": "Failed to predict. Error: no such user"})


def test_a_models_timeout_of_its_own_keeps_the_models_words():
    found = answered(504, error_code="DEADLINE_EXCEEDED", message="the feature store is slow")
    assert found == (504, {"error_code": "DEADLINE_EXCEEDED", "message": "the feature store is slow"})


@pytest.mark.parametrize("quoted", [False, True], ids=["as it is", "as a Python string"])
def test_a_traceback_in_a_models_own_words_is_cut_to_the_exception(quoted):
    trace = repr(TRACE)[1:-1] if quoted else TRACE
    _, body = answered(400, error_code="BAD_REQUEST", message=f"Failed to predict data 'x'. \nError: {trace}")
    assert body["message"].startswith("Failed to predict. Error: ValueError: Input X contains")
    assert "Traceback" not in body["message"] and "a.py" not in body["message"]


def test_no_path_of_the_server_reaches_the_caller():
    failure = {"error_code": "BAD_REQUEST", "message": "cannot open '/srv/state/models/1/model/lookup.db'"}
    assert answered(400, **failure)[1]["message"] == "cannot open 'lookup.db'"
    failure = {"error_code": "BAD_REQUEST", "message": "Encountered an unexpected error.", "stack_trace": "E: /srv/a/b"}
    assert answered(400, **failure)[1]["message"] == "Encountered an unexpected error. Error: E: b"


def test_an_error_that_the_table_of_advice_knows_comes_with_what_to_set():
    trace = TRACE.replace("ValueError: Input X contains\nNaN.", "RuntimeError: Already borrowed")
    failure = {"error_code": "BAD_REQUEST", "message": "Encountered an unexpected error.", "stack_trace": trace}
    message = answered(400, **failure)[1]["message"]
    assert message.endswith(
        "Error: RuntimeError: Already borrowed. "
        "The model is not thread-safe: set max_concurrency to 1, with the runtime native."
    )


def test_413_415_and_504_have_our_shapes():
    assert answered(413, text=b"x")[1]["error_code"] == "REQUEST_TOO_LARGE"
    assert answered(415, text=b"Unrecognized content type parameters: x.") == (
        415,
        b"Unrecognized content type parameters: x.",
    )
    status, body = answered(504, text=b"Request processing time exceeded limit")
    assert (status, body["error_code"]) == (504, "DEADLINE_EXCEEDED")


def test_each_dialect_writes_our_own_errors_its_own_way():
    starting = failure_of(TemporarilyUnavailableError("starting", retry_after_s=2))
    assert (MLFLOW2.refuse(starting).status, MLFLOW1.refuse(starting).status) == (503, 404)
    assert MLFLOW2.refuse(starting).body == MLFLOW1.refuse(starting).body
    assert MLFLOW1.refuse(failure_of(UnavailableError("failed"))).status == 503
    assert json.loads(MLFLOW1.refuse(failure_of(InvalidParameterError("m"))).body)["error_code"] == "BAD_REQUEST"
    assert json.loads(MLFLOW2.refuse(failure_of(InvalidParameterError("m"))).body)["error_code"] != "BAD_REQUEST"
    assert MLFLOW2.refuse(failure_of(UnsupportedTypeError("m"))).content_type.startswith("text/plain")


@pytest.mark.parametrize(
    "message, expected",
    [
        ("Failed to predict data '   a\n0  7'. \nError: boom", "Failed to predict. Error: boom"),
        ("Failed to predict data 'x'. \nError: 7'. \nError: boom", "Failed to predict. Error: boom"),
        (
            "Failed to predict data '7'. \nError: Failed to enforce schema of data '7' with schema '['a': long]'. "
            "Error: Incompatible input types for column a. Can not safely convert object to int64.",
            "Failed to predict. Error: Failed to enforce schema. "
            "Error: Incompatible input types for column a. Can not safely convert object to int64.",
        ),
        (
            "Invalid input. Ensure that input is a valid JSON formatted string. "
            "Error: 'JSONDecodeError('Expecting value: line 1 column 2 (char 1)')'\nInput: \nb'{7'\n",
            "Invalid input. Ensure that input is a valid JSON formatted string. "
            "Expecting value: line 1 column 2 (char 1).",
        ),
        (
            "Invalid input. Ensure that input is a valid JSON formatted string. "
            "Error: 'UnicodeDecodeError('utf-8', b'7', 0, 1, 'invalid start byte')'\nInput: \nb'7'\n",
            "Invalid input. Ensure that input is a valid JSON formatted string.",
        ),
        (
            "Invalid input. Data is not compatible with model signature. Failed to convert column a to type 'int64'. "
            "Error: 'ValueError(\"invalid literal for int() with base 10: '7'\")'",
            "Invalid input. Data is not compatible with model signature. Failed to convert column a to type 'int64'.",
        ),
        (
            "Invalid input. Failed to convert data type for data `7` with spec `long (required)`.",
            "Invalid input. Failed to convert data with spec `long (required)`.",
        ),
        (
            "Invalid parameters found: {('t', 'Can not safely convert `<class 'str'>` to `double` for value `7`')}",
            "Invalid parameters found: {('t', 'Can not safely convert `<class 'str'>` to `double`')}",
        ),
        (
            "The input must be a JSON dictionary. Received a list. IMPORTANT: The MLflow Model scoring protocol has "
            "changed in MLflow version 2.0.",
            "The input must be a JSON dictionary. Received a list.",
        ),
    ],
)
def test_values_are_taken_out_of_stock_messages_and_names_stay(message, expected):
    assert redact(message) == expected


def test_a_message_without_its_end_loses_the_rest():
    assert redact("Failed to predict data '7 7 7") == "Failed to predict. Error:"


def test_long_messages_are_cut():
    assert len(redact("x" * 100_000)) == LONGEST_MESSAGE + 1


def test_last_words_of_no_traceback_are_empty():
    assert last_words("") == ""
