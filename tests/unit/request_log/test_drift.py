"""The inputs of requests beside the model's input example."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_serving_plugin.request_log.drift import drift_of
from mlflow_serving_plugin.request_log.inputs import columns_of, join

ROWS = {"age": [31, None], "name": ["ann", "bob"]}


@pytest.mark.parametrize(
    "document",
    [
        {"dataframe_split": {"columns": ["age", "name"], "data": [[31, "ann"], [None, "bob"]]}},
        {"columns": ["age", "name"], "index": [0, 1], "data": [[31, "ann"], [None, "bob"]]},
        {"dataframe_records": [{"age": 31, "name": "ann"}, {"name": "bob"}]},
        {"instances": [{"age": 31, "name": "ann"}, {"age": None, "name": "bob"}]},
        {"inputs": {"age": [31, None], "name": ["ann", "bob"]}, "params": {"x": 1}},
        {"inputs": [[31, "ann"], [None, "bob"]]},
        [{"age": 31, "name": "ann"}, {"age": None, "name": "bob"}],
        {
            "inputs": [
                {"name": "age", "shape": [2, 1], "datatype": "INT64", "data": [[31], [None]]},
                {"name": "name", "shape": [2], "datatype": "BYTES", "data": ["ann", "bob"]},
            ]
        },
    ],
)
def test_each_form_of_a_request_has_the_same_columns(document) -> None:
    assert columns_of(json.dumps(document), ["age", "name"]) == ROWS


@pytest.mark.parametrize(
    "body",
    [
        "a,b\n1,2",
        "",
        "7",
        "null",
        "{}",
        "[]",
        '{"inputs": []}',
        '{"inputs": {}}',
        '{"inputs": {"a": [1], "b": [1, 2]}}',
        '{"inputs": [[1], [1, 2]]}',
        '{"inputs": [[], []]}',
        '{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}',
        '{"dataframe_split": {"columns": ["a"], "data": [1]}}',
        '{"dataframe_split": {"columns": [], "data": [[]]}}',
        '{"dataframe_split": "[REDACTED]"}',
        '{"inputs": [{"name": "a", "shape": [2, 3, 4], "datatype": "FP32", "data": [1]}]}',
        '{"inputs": [{"name": "a", "shape": [1, 3], "datatype": "FP32", "data": [1, 2]}]}',
        '{"inputs": [{"name": "a", "shape": "x", "data": 1}]}',
        '{"messages": [{"role": "user", "content": "hi"}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_table_has_no_columns(body) -> None:
    assert columns_of(body) is None


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
cells = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=3), scalars, max_size=2)
tables = st.lists(st.dictionaries(st.sampled_from("abc"), cells, min_size=1), min_size=1, max_size=9).map(
    lambda rows: {name: [row.get(name) for row in rows] for name in sorted({name for row in rows for name in row})}
)


@given(st.lists(tables, min_size=1, max_size=3), st.none() | tables)
def test_any_values_make_lines_of_plain_json(requests, example) -> None:
    rows = join(requests)
    assert len({len(values) for values in rows.values()}) == 1
    for line in drift_of(rows, example):
        json.dumps(line, allow_nan=False)
        assert 0 <= line["null_share"] <= 1
        assert len(line["bins"]) == len(line["shares"])
        assert line["baseline_shares"] is None or len(line["baseline_shares"]) == len(line["bins"])
        assert line["psi"] is None or line["psi"] >= 0


def numbers(mean: float, count: int) -> list[float]:
    source = random.Random(7)
    return [source.gauss(mean, 1.0) for _ in range(count)]


def test_the_index_is_small_for_the_same_numbers_and_large_for_others() -> None:
    example = {"x": numbers(0, 500)}
    same, moved, few = (
        drift_of({"x": values}, example)[0] for values in (numbers(0.02, 2000), numbers(1, 2000), numbers(0, 19))
    )
    assert same["psi"] < 0.1
    assert moved["psi"] > 0.25
    assert few["psi"] is None
    assert moved["baseline_shares"] == pytest.approx([0.1] * 10, abs=0.01)
    assert sum(moved["shares"]) == pytest.approx(1, abs=0.01)
    assert (moved["minimum"], moved["baseline_maximum"]) == (min(numbers(1, 2000)), max(numbers(0, 500)))


def test_a_column_that_was_constant_drifts_when_it_has_another_value() -> None:
    same, moved = (drift_of({"x": [value] * 50}, {"x": [3] * 50})[0] for value in (3, 4.0))
    assert (same["bins"], same["shares"], same["psi"]) == (["3", "others"], [1.0, 0.0], 0.0)
    assert (moved["shares"], moved["baseline_shares"]) == ([0.0, 1.0], [1.0, 0.0])
    assert moved["psi"] > 0.25


def test_a_short_example_has_ranges_and_bins_but_no_index() -> None:
    (line,) = drift_of({"x": numbers(0, 500)}, {"x": [0.0, None]})
    assert (line["psi"], line["baseline_null_share"], line["baseline_maximum"]) == (None, 0.5, 0.0)
    assert len(line["bins"]) == 10


def test_texts_are_counted_by_value_and_free_text_is_not() -> None:
    example = {"city": ["Rome"] * 20 + ["Oslo"] * 20}
    (line,) = drift_of({"city": ["Rome"] * 30 + ["Lima"] * 70}, example)
    assert line["bins"] == ["Rome", "Oslo", "others"]
    assert (line["shares"], line["baseline_shares"]) == ([0.3, 0.0, 0.7], [0.5, 0.5, 0.0])
    assert line["psi"] > 1
    (free,) = drift_of({"city": [f"text {number}" for number in range(2000)]}, example)
    assert (free["bins"], free["psi"], free["type"]) == ([], None, "text")


def test_a_column_without_requests_is_all_null_and_a_redacted_one_is_left_out() -> None:
    lines = drift_of({"b": ["[REDACTED]", "[REDACTED]"], "c": [1, 2]}, {"a": [1, 2]})
    assert [(line["name"], line["null_share"]) for line in lines] == [("a", 1.0), ("c", 0.0)]
