"""What a body costs is told from its bytes, before anything is made of them."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlflow_serving_plugin.errors import BadRequestError
from mlflow_serving_plugin.gateway import cells
from mlflow_serving_plugin.gateway.cells import refuse_too_many_cells
from mlflow_serving_plugin.gateway.dialects.content_type import CSV, JSON, PARQUET

MB = 1024 * 1024
MOST = 10_000_000
ROW = b"[5.1,3.5,1.4,0.2],"
RECORD = b'{"sepal_length":5.1,"sepal_width":3.5,"petal_length":1.4,"petal_width":0.2},'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(CSV, b"," * 16 * MB, id="commas"),
        pytest.param(CSV, b"a,b\n" + b"," * 16 * MB + b"\n", id="commas below a header"),
        pytest.param(CSV, b"\n\na,b\r\n" + b"," * 200_000, id="a small body of many columns"),
        pytest.param("text/csv; charset=utf-8", b"a" + b",a" * 5000 + b"\n1" * 5000, id="many columns, many rows"),
        pytest.param(JSON, b'{"instances": [' + b"[]," * (5 * MB) + b"[]]}", id="empty lists"),
        pytest.param(JSON, b'{"dataframe_records": [' + b"{}," * (5 * MB) + b"{}]}", id="empty records"),
        pytest.param(JSON, b'{"instances": [' + b"[1]," * (4 * MB) + b"[1]]}", id="lists of one number"),
        pytest.param(JSON, b'{"instances": [' + b"[1]," * 1_500_000 + b"[1]]}", id="6 MB of lists of one number"),
        pytest.param(JSON, b'{"dataframe_records": [' + b'{"a":1},' * 700_000 + b"{}]}", id="records of one number"),
        pytest.param(JSON, b'{"instances": [' + b"{ }," * 300_000 + b"{}]}", id="empty records with a space"),
        pytest.param(JSON, b"[" * 4 * MB + b"]" * 4 * MB, id="deep lists"),
        pytest.param(f"{JSON}; format=pandas-records", b"[" + b"0," * 11_000_000 + b"0]", id="numbers, MLflow 1"),
    ],
)
def test_a_body_of_more_cells_than_allowed_is_refused_and_costs_no_memory(content_type, body):
    tracemalloc.start()
    try:
        with pytest.raises(BadRequestError, match="max_cells"):
            refuse_too_many_cells(content_type, body, MOST)
        assert tracemalloc.get_traced_memory()[1] < len(body) + MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(JSON, b'{"instances": [' + ROW * (16 * MB // len(ROW)) + b"[1,2,3,4]]}", id="iris, 16 MB"),
        pytest.param(JSON, b'{"dataframe_records": [' + RECORD * (16 * MB // len(RECORD)) + b"{}]}", id="iris by name"),
        pytest.param(CSV, b"a,b,c,d\n" + b"5.1,3.5,1.4,0.2\n" * MB, id="iris, 16 MB of CSV"),
        pytest.param(JSON, b'{"prompt": "' + b"Why, then, is it so? " * (MB // 2) + b'"}', id="a text"),
        pytest.param(CSV, b"text\n" + b'"one, two\nthree"\n' * MB, id="texts in CSV"),
        pytest.param(CSV, b"\n" * 20_000, id="empty lines"),
        pytest.param(PARQUET, b",[" * 16 * MB, id="Parquet"),
    ],
)
def test_a_body_of_many_plain_rows_passes(content_type, body):
    refuse_too_many_cells(content_type, body, MOST)


@given(st.text(alphabet="[]{}, 1").map(str.encode), st.integers(1, 9))
@example(b"[" * 9 + b"[ ]", 1)
@example(b"1[", 2)
@example(b"{ ", 2)
def test_marks_are_counted_the_same_wherever_a_piece_of_the_body_ends(body, piece):
    empty = sum(body.count(one) for one in (b"[]", b"[ ]", b"{}", b"{ }"))
    expected = body.count(b",") + 1 + 6 * body.count(b"[") + 15 * body.count(b"{") + 50 * empty
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cells, "_PIECE", piece)
        assert cells._of_json(body) == expected
