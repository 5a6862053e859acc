"""Of a large body in a format of MLflow 1 only the brackets are looked at before it is put under a field."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlflow_serving_plugin.errors import BadRequestError
from mlflow_serving_plugin.gateway.dialects import json_text
from mlflow_serving_plugin.gateway.dialects.invocations import INVOCATIONS
from mlflow_serving_plugin.gateway.dialects.json_text import require_brackets
from mlflow_serving_plugin.gateway.dialects.mlflow1 import LARGE_BYTES

ROW = b"[5.1,3.5,1.4,0.2],"
ROWS = b"[" + ROW * 400_000 + b"[1,2,3,4]]"
RECORDS = b" [ " + b'{"a": "]}", "b": [1]},' * 100_000 + b"{}]\n"
SPLIT = b'{"columns":["a","b","c","d"],"data":' + ROWS + b"}"
DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
PIECES = st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b",", b":", b"1", b'"a"', b" "]), max_size=12)


def read(body: bytes, form: str = ""):
    return INVOCATIONS.reader({"content-type": f"application/json{form}"}, "modern")(body)


@pytest.mark.parametrize(
    ("body", "form", "field"),
    [
        (ROWS, "", "dataframe_records"),
        (RECORDS, "", "dataframe_records"),
        (ROWS, "; format=pandas-records", "dataframe_records"),
        (SPLIT, "", "dataframe_split"),
        (SPLIT, "; format=pandas-split", "dataframe_split"),
        (SPLIT, "-numpy-split", "dataframe_split"),
    ],
    ids=["bare rows", "bare records", "pandas-records", "bare split", "pandas-split", "numpy-split"],
)
def test_a_large_body_costs_the_gateway_a_few_times_its_size(body, form, field):
    tracemalloc.start()
    try:
        request = read(body, form)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(body)
    finally:
        tracemalloc.stop()
    assert json.loads(request.body) == {field: json.loads(body)}


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (ROWS + b',"params":[]', "; format=pandas-records"),
        (ROWS + b',"params":[]', ""),
        (SPLIT + b',"params":{"a":1}', "; format=pandas-split"),
        (ROWS[:-1], ""),
        (ROWS, "; format=pandas-split"),
        (SPLIT, "; format=pandas-records"),
        (b'[["' + b"x" * LARGE_BYTES + b"]]", ""),
    ],
    ids=["more records", "more rows", "more split", "cut off", "rows as split", "split as records", "open text"],
)
def test_a_large_body_that_is_more_or_less_than_one_document_is_refused(body, form):
    with pytest.raises(BadRequestError, match="not valid JSON"):
        read(body, form)


@given(st.lists(DOCUMENTS, max_size=4) | st.dictionaries(st.text(max_size=3), DOCUMENTS, max_size=3))
def test_every_list_and_every_object_passes(document):
    for text in (json.dumps(document), json.dumps(document, ensure_ascii=False, indent=1)):
        require_brackets(text.encode(errors="replace"), b"[" if isinstance(document, list) else b"{")


@given(PIECES)
@example([b"[", b"]", b",", b'"a"', b":", b"[", b"]"])
@example([b"[", b'"', b"]", b",", b'"a"', b":", b'"', b"]"])
def test_what_passes_adds_no_field_to_the_one_that_it_is_put_under(pieces):
    body = b"".join(pieces)
    try:
        require_brackets(body, b"{" if body.startswith(b"{") else b"[")
    except BadRequestError:
        return
    try:
        document = json.loads(b'{"field": ' + body + b"}")
    except ValueError:
        return
    assert list(document) == ["field"]


@given(PIECES, st.integers(1, 9))
@example([b"[", b'"', b"\\", b"\\", b"\\", b'"', b"]", b'"', b"]"], 4)
def test_a_body_is_judged_the_same_wherever_a_piece_of_it_ends(pieces, size):
    body = b"".join(pieces)

    def passes() -> bool:
        try:
            require_brackets(body, b"{" if body.startswith(b"{") else b"[")
        except BadRequestError:
            return False
        return True

    whole = passes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "_PIECE", size)
        assert passes() is whole
