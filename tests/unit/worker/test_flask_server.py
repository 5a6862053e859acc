"""Requests in MLflow 2's format put into MLflow 1's."""

from __future__ import annotations

import json

import pytest

from mlflow_serving_plugin.worker.flask_server import to_mlflow1

JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "content_type", "expected", "expected_type"),
    [
        (
            {"dataframe_split": {"columns": ["a"], "data": [[1]]}},
            JSON,
            {"columns": ["a"], "data": [[1]]},
            "pandas-split",
        ),
        ({"dataframe_records": [{"a": 1}], "params": {"x": 1}}, JSON, [{"a": 1}], "pandas-records"),
        ({"instances": [[1]]}, JSON, {"instances": [[1]]}, None),
        ({"inputs": {"a": [1]}, "params": {}}, f"{JSON}; charset=utf-8", {"inputs": {"a": [1]}}, None),
        ({"messages": []}, JSON, {"messages": []}, None),
    ],
)
def test_json(body, content_type, expected, expected_type):
    found, found_type = to_mlflow1(json.dumps(body).encode(), content_type)
    assert json.loads(found) == expected
    assert found_type == (f"{JSON}; format={expected_type}" if expected_type else content_type)


@pytest.mark.parametrize(
    ("body", "content_type"), [(b"a,b\n1,2\n", "text/csv"), (b"not json", JSON), (b"[1]", JSON), (b"\xff", JSON)]
)
def test_whatever_has_no_counterpart_is_left_for_mlflow_1_to_judge(body, content_type):
    assert to_mlflow1(body, content_type) == (body, content_type)
