"""What a worker's error about the model's own example means: a note without data, or nothing can be scored."""

from __future__ import annotations

import json

import pytest

from mlflow_serving_plugin.backends.refusals import note_on, read_refusal
from mlflow_serving_plugin.domain.entity import Example

SECRET = "s3ntinel 2024-02-29"
FRAME = 'Traceback (most recent call last):\n  File "/srv/m/model.py", line 3, in predict\n    f(x)\n'


def refusal(status=400, message="Encountered an unexpected error.", trace="", code="BAD_REQUEST"):
    body = {"error_code": code, "message": message, "stack_trace": trace}
    return read_refusal(status, json.dumps(body).encode())


@pytest.mark.parametrize(
    "error",
    [
        "ModuleNotFoundError: No module named 'fancy_lib'",
        "NameError: name 'np' is not defined",
        "AttributeError: module 'numpy' has no attribute 'float'",
    ],
)
def test_an_error_that_every_request_would_meet_comes_with_its_advice(error):
    found = refusal(trace=FRAME + error)
    assert found.any_body
    assert found.said.startswith(error)
    assert found.said.endswith(".")


@pytest.mark.parametrize(
    ("message", "trace", "said"),
    [
        (
            "Encountered an unexpected error.",
            f"{FRAME}ValueError: bad {SECRET}\nKeyError: {SECRET}",
            "ValueError, see the",
        ),
        ("Encountered an unexpected error.", f"{FRAME}my.errors.NotKnownError: {SECRET}", "NotKnownError, see the"),
        (
            f"Failed to predict data '{SECRET}'. \nError: Failed to enforce schema of data '{SECRET}' with schema "
            "'['when': datetime (required)]'. Error: Incompatible input types for column when. Can not safely convert "
            "object to datetime64[ns].",
            "",
            "Incompatible input types for column when. Can not safely convert object to datetime64[ns]",
        ),
        (f"Model is missing inputs ['a', 'b']. {SECRET}", "", "Model is missing inputs ['a', 'b']"),
        (f"our backend said {SECRET}", "", "BAD_REQUEST"),
        (
            "The prediction cannot be sent: the model returned a set, which has no JSON form.",
            f"{FRAME}TypeError: Object of type set is not JSON serializable",
            "the model returned a set, which has no JSON form",
        ),
    ],
)
def test_a_note_says_what_was_refused_without_the_data_of_the_example(message, trace, said):
    found = refusal(message=message, trace=trace)
    assert not found.any_body
    assert said in found.said
    assert "s3ntinel" not in found.said


_SKLEARN = '  File "/srv/env/lib/python3.11/site-packages/sklearn/base.py", line 9, in predict\n    self.x\n    ^^\n'
_CYTHON = '  File "sklearn/tree/_tree.pyx", line 728, in sklearn.tree._tree.Tree.apply\n'


@pytest.mark.parametrize(("inner", "any_body"), [("", False), (_SKLEARN, True), (_CYTHON, True)])
def test_an_attribute_that_the_models_own_code_misses_says_nothing_about_other_bodies(inner, any_body):
    found = refusal(trace=f"{FRAME}{inner}AttributeError: 'Scaler' object has no attribute 'x'")
    assert found.any_body is any_body
    assert ("another version of its library" in found.said) is any_body


def test_a_timeout_of_the_server_is_told_from_one_that_the_model_raised():
    assert not read_refusal(504, b"Request processing time exceeded limit").raised
    own = refusal(504, f"Failed to predict data '{SECRET}'. \nError: no answer", code="DEADLINE_EXCEEDED")
    assert own == (False, "DEADLINE_EXCEEDED", True)


def test_an_answer_that_is_no_error_of_mlflow_has_its_status_in_the_note():
    assert read_refusal(500, b"Internal Server Error").said == "status 500"
    assert read_refusal(502, b"[1]").said == "status 502"


def test_a_note_names_the_form_that_was_refused_and_the_one_that_is_taken():
    refused = Example(b'{"params": {}, "dataframe_split": {"data": [["s3ntinel"]]}}', "application/json")
    taken = Example(b'{"inputs": ["s3ntinel"]}', "application/json")
    assert note_on(refused, "ValueError", taken) == (
        "The model refuses its own input example as dataframe_split: ValueError. "
        "The model takes the same example as inputs."
    )
    assert note_on(refused, "ValueError", None) == (
        "The model refuses its own input example: ValueError. Other requests may be scored."
    )
