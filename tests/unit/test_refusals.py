"""What a worker's error about the model's own example means: a note without data, or nothing can be scored."""

from __future__ import annotations

import json

import pytest

from mlflow_serving_plugin.backends.refusals import read_refusal

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
    assert found.reason.startswith(error)
    assert found.reason.endswith(".")


@pytest.mark.parametrize(
    ("message", "trace", "said"),
    [
        ("Encountered an unexpected error.", f"{FRAME}ValueError: bad {SECRET}\nKeyError: {SECRET}", "ValueError, see"),
        ("Encountered an unexpected error.", f"{FRAME}my.errors.NotKnownError: {SECRET}", "NotKnownError, see"),
        (
            f"Failed to predict data '{SECRET}'. \nError: Failed to enforce schema of data '{SECRET}' with schema "
            "'['when': datetime (required)]'. Error: Incompatible input types for column when. Can not safely convert "
            "object to datetime64[ns].",
            "",
            "Incompatible input types for column when. Can not safely convert object to datetime64[ns]. Other",
        ),
        (f"Model is missing inputs ['a', 'b']. {SECRET}", "", "Model is missing inputs ['a', 'b']. Other"),
        (f"our backend said {SECRET}", "", "BAD_REQUEST. Other"),
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
    assert found.note.startswith("The model refuses its own input example: ")
    assert said in found.note
    assert "s3ntinel" not in found.note


def test_an_answer_that_is_no_error_of_mlflow_has_its_status_in_the_note():
    assert "status 500" in read_refusal(500, b"Internal Server Error").note
    assert "status 502" in read_refusal(502, b"[1]").note
