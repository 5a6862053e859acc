"""A body is not made into a table that is far larger than the body."""

from __future__ import annotations

import io
import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from mlflow_serving_plugin.worker.cells import JSON, PARQUET, TooManyCells, bounded

MOST = 10_000_000


def body_of(field, value):
    return json.dumps({field: value}).encode()


def own_columns(count, field="dataframe_records"):
    """Records, each with a column of its own."""
    return body_of(field, [{f"c{number}": number, "a": 1.5} for number in range(count)])


def parquet(frame, **options):
    out = io.BytesIO()
    frame.to_parquet(out, **options)
    return out.getvalue()


@pytest.mark.parametrize("field", ["dataframe_records", "instances"])
def test_columns_that_the_model_does_not_know_are_left_out_before_they_make_a_table(field):
    kept = json.loads(bounded(JSON, own_columns(20_000, field), ["a", "b"], MOST))
    assert kept == {field: [{"a": 1.5}] * 20_000}


@pytest.mark.parametrize(
    ("content_type", "made"),
    [
        pytest.param(JSON, lambda: own_columns(20_000), id="own columns, no signature"),
        pytest.param(JSON, lambda: own_columns(20_000, "instances"), id="own columns of instances"),
        pytest.param(JSON, lambda: own_columns(20_000).replace(b"frame", b"fr\\u0061me"), id="a field with escapes"),
        pytest.param(
            JSON, lambda: body_of("dataframe_split", {"columns": ["a"], "data": [[1]], "index": [0] * 99_999}), id="i"
        ),
        pytest.param(
            JSON, lambda: body_of("dataframe_split", {"columns": [str(n) for n in range(200_000)], "data": []}), id="c"
        ),
        pytest.param(JSON, lambda: body_of("inputs", {f"c{n}": [0] * (n % 9) for n in range(200_000)}), id="inputs"),
        pytest.param(
            JSON,
            lambda: body_of("dataframe_split", {"columns": ["a"], "data": [[1]] * 3000, "index": [[0, 0]] * 3000}),
            id="l",
        ),
        pytest.param(PARQUET, lambda: parquet(pd.DataFrame({"a": ["x" * 10_000] * 20_000})), id="one text, often"),
        pytest.param(PARQUET, lambda: parquet(pd.DataFrame({"a": [["x" * 1000] * 10] * 20_000})), id="texts in lists"),
        pytest.param(
            PARQUET, lambda: parquet(pd.DataFrame({"a": [{"b": "x" * 10_000}] * 20_000})), id="texts in records"
        ),
        pytest.param(
            PARQUET, lambda: parquet(pd.DataFrame({"a": [[0] * 10_000] * 1100}), compression="zstd"), id="long lists"
        ),
        pytest.param(
            PARQUET, lambda: parquet(pd.DataFrame({"a": np.zeros(11_000_000, "int8")}), compression="zstd"), id="rows"
        ),
        pytest.param(
            PARQUET,
            lambda: parquet(
                pd.DataFrame({"a": [b"x" * 1_000_000 + b"%d" % n for n in range(170)]}), compression="zstd"
            ),
            id="bytes",
        ),
    ],
)
def test_a_small_body_that_asks_for_a_large_table_is_refused(content_type, made):
    body = made()
    tracemalloc.start()
    try:
        with pytest.raises(TooManyCells):
            bounded(content_type, body, (), MOST)
        # What parsing takes in Python, and no table.
        assert tracemalloc.get_traced_memory()[1] < 32 * len(body) + 4 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (body_of("dataframe_records", [{"b": 1}, {"c": 2}] * 3000), {"dataframe_records": [{"b": None, "c": None}]}),
        (body_of("instances", [{"b": "x"}] * 3000), {"instances": [{"b": None}]}),
        (
            body_of("dataframe_split", {"columns": ["b"], "data": [["x"]] * 9000, "index": [[]]}),
            {"dataframe_split": {"columns": ["b"], "data": []}},
        ),
        (body_of("inputs", {"b": [[0]] * 9000, "c": 1}), {"inputs": {"b": [], "c": []}}),
    ],
)
def test_of_a_body_that_lacks_a_required_column_only_the_names_are_left(body, kept):
    assert json.loads(bounded(JSON, body, ["a", "b"], MOST, ["a"])) == kept
    assert bounded(JSON, body_of("inputs", {"a": [0] * 9000}), ["a", "b"], MOST, ["a"]).count(b"0") == 9000


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (PARQUET, parquet(pd.DataFrame({"a": ["x", "yy"] * 10_000, "b": [["x"], []] * 10_000}))),
        (JSON, body_of("dataframe_records", [{"a": 1, "b": 2}] * 5000)),
        (JSON, body_of("dataframe_records", [{"a": 1} if number % 2 else {"b": 2} for number in range(5000)])),
        (JSON, body_of("dataframe_split", {"columns": ["a"], "data": [[1]] * 9000, "index": list(range(9000))})),
        (JSON, body_of("inputs", [[0.5] * 10_000])),
        (JSON, b'{"instances": [' + b" " * 20_000),
        (JSON, json.dumps([{"a": 1}] * 5000).encode()),
        ("text/csv", b"," * 20_000),
        (PARQUET, parquet(pd.DataFrame({"a": np.random.default_rng(0).random(10_000)}))),
        (PARQUET, b"no Parquet" * 5000),
        (JSON, own_columns(100)),
        (JSON, own_columns(20_000, "messages")),
    ],
)
def test_any_other_body_stays_as_it_is(content_type, body):
    assert bounded(content_type, body, ("a", "b"), MOST) is body
