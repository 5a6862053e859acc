from __future__ import annotations

import io
import json

import pytest

from mlflow_serving_plugin.domain.json_text import null_for_nan
from mlflow_serving_plugin.gateway.dialects.mlflow1 import unwrap


@pytest.mark.parametrize("value", [[0, 1], [{"0": 1.5}], {"predictions": {"x": "}"}}, "text", None, 3, []])
def test_unwrap_gives_the_predictions_of_what_a_worker_writes(value):
    written = io.StringIO()
    json.dump({"predictions": value}, written)
    assert unwrap(written.getvalue().encode()) == json.dumps(value).encode()


def test_unwrap_takes_other_spacing():
    assert json.loads(unwrap(b' {"predictions":[1, 2]} \n')) == [1, 2]


@pytest.mark.parametrize("body", [b"[1, 2]", b'{"choices": []}', b"not json", b""])
def test_unwrap_leaves_what_has_no_predictions(body):
    assert unwrap(body) == body


def test_unwrap_finds_predictions_behind_other_fields():
    assert unwrap(b'{"trace": 1, "predictions": [1]}') == b"[1]"


def test_nan_and_infinities_become_null_and_all_else_keeps_its_bytes():
    body = b'{"predictions": [NaN, -Infinity, Infinity, 1.0, "NaN", "a \\" NaN", "\\\\", {"NaN": 1e5}, 1.10]}'
    expected = b'{"predictions": [null, null, null, 1.0, "NaN", "a \\" NaN", "\\\\", {"NaN": 1e5}, 1.10]}'
    assert null_for_nan(body) == expected


def test_a_reply_without_them_is_the_same_object():
    body = b'{"predictions": [1]}'
    assert null_for_nan(body) is body
