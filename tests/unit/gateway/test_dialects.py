from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_serving_plugin.errors import BadRequestError, ServingError, UnsupportedTypeError
from mlflow_serving_plugin.gateway.dialects.base import ScoringRequest
from mlflow_serving_plugin.gateway.dialects.content_type import CSV, JSON, JSON_NUMPY_SPLIT, PARQUET
from mlflow_serving_plugin.gateway.dialects.invocations import INVOCATIONS
from mlflow_serving_plugin.gateway.dialects.mlflow1 import MLFLOW1
from mlflow_serving_plugin.gateway.dialects.mlflow2 import MLFLOW2

RECORDS = b'[{"a": 1}, {"a": 2}]'
SPLIT = b'{"columns": ["a"], "data": [[1]]}'
NUMPY_SPLIT = b'{"index": [0], "columns": ["a"], "data": [[1]]}'


def reader(content_type, header=None, default="modern"):
    headers = {"content-type": content_type, "x-mlflow-scoring-dialect": header}
    return INVOCATIONS.reader({name: value for name, value in headers.items() if value is not None}, default)


def read(content_type, body, *, header=None, default="modern"):
    return reader(content_type, header, default)(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}',
        b' \r\n{ "dataframe_records" : [{"a": 1}]}',
        b'{"instances": [1], "params": {"t": 1}}',
        b'{"inputs": {"a": [1]}}',
        b'{"messages": []}',
        b'{"prompt": "x"}',
        b'{"input": ["x"]}',
        b'{"params": {"t": 1}, "inputs": [1]}',
        b'{"temperature": 1, "messages": []}',
        b'{"inputs": [1], "columns": [], "data": []}',
        b'{"unknown": 1}',
        b"42",
    ],
)
def test_canonical_json_passes_unchanged_and_its_reply_too(body):
    for content_type in (JSON, f"{JSON}; charset=utf-8"):
        found = read(content_type, body)
        assert (found.content_type, found.body, found.reply_format) == (JSON, body, MLFLOW2)


def test_canonical_bodies_are_left_to_the_worker_unparsed():
    assert read(JSON, b'{"inputs": oops').body == b'{"inputs": oops'


@pytest.mark.parametrize(
    "content_type, body, field",
    [
        (f"{JSON}; format=pandas-records", RECORDS, "dataframe_records"),
        (f"{JSON};format=pandas-records", RECORDS, "dataframe_records"),
        (f" {JSON} ;  FORMAT = Pandas-Records ; charset=UTF-8;", RECORDS, "dataframe_records"),
        (f'{JSON}; charset="utf-8"; format="pandas-split"', SPLIT, "dataframe_split"),
        (f"{JSON}; format=pandas-split", NUMPY_SPLIT, "dataframe_split"),
        (JSON, RECORDS, "dataframe_records"),
        (JSON, b"[]", "dataframe_records"),
        (JSON, SPLIT, "dataframe_split"),
        (JSON, NUMPY_SPLIT, "dataframe_split"),
        (JSON_NUMPY_SPLIT, NUMPY_SPLIT, "dataframe_split"),
        (f"{JSON_NUMPY_SPLIT}; charset=utf-8", NUMPY_SPLIT, "dataframe_split"),
        (JSON, b'[{"a": NaN}]', "dataframe_records"),
        (JSON, b'[{"a": "\\ud800"}]', "dataframe_records"),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_legacy_bodies_are_wrapped_and_their_replies_unwrapped(content_type, body, field, mark):
    for default in ("modern", "legacy"):
        found = read(content_type, mark + body, default=default)
        assert (found.content_type, found.reply_format) == (JSON, MLFLOW1)
        assert found.body == b'{"%s": %s}' % (field.encode(), body)
        assert list(json.loads(found.body)) == [field]


@pytest.mark.parametrize("body", [b'{"instances": [1]}', b'{"inputs": [1]}', b'{"\\u0069nputs": [1]}'])
def test_bodies_of_both_dialects_go_by_header_then_by_default(body):
    assert read(JSON, body).reply_format is not MLFLOW1
    assert read(JSON, body, default="legacy").reply_format is MLFLOW1
    assert read(JSON, body, header="Legacy").reply_format is MLFLOW1
    assert read(JSON, body, header="modern", default="legacy").reply_format is not MLFLOW1
    assert read(JSON, body, header="legacy").body == body


def test_csv_goes_by_header_then_by_default():
    assert read(CSV, b"a\n1").reply_format is not MLFLOW1
    assert read(f"{CSV}; charset=utf-8", b"\xef\xbb\xbfa\n1", default="legacy").reply_format is MLFLOW1
    assert read(CSV, b"\xef\xbb\xbfa\n1", header="legacy").body == b"a\n1"
    assert read(CSV, b"a\n1", header="legacy").content_type == CSV


@pytest.mark.parametrize(
    "body", [b'{"inputs": [1], "params": {}}', b'{"dataframe_split": {}}', b'{"messages": []}', b'{"prompt": ""}']
)
def test_what_mlflow_1_did_not_know_stays_modern_in_a_legacy_endpoint(body):
    assert read(JSON, body, default="legacy").reply_format is not MLFLOW1


@pytest.mark.parametrize("body", [b"[1]", b"[1, 2.5]", b'["a"]', b"[null]", b"[[1], 2]", b'[{"a": 1}, "b"]'])
def test_a_list_of_neither_records_nor_rows_is_left_to_mlflow_s_own_sentence(body):
    assert read(JSON, body) == ScoringRequest(JSON, body, MLFLOW2)
    assert read(f"{JSON}; format=pandas-records", body).body == b'{"dataframe_records": %s}' % body


@pytest.mark.parametrize(
    ("body", "streams"),
    [
        (b'{"messages": [], "stream": true}', True),
        (b'{"stream": true, "inputs": "a"}', True),
        (b'{"dataframe_split": {"columns": ["stream"], "data": [[true]]}}', False),
        (b'{"messages": [{"stream": true}], "stream": false}', False),
        (b'{"messages": [], "stream": "true"}', False),
        (b'{"messages": [], "stream": 1}', False),
        (b'{"messages": [], "stream": true', False),
    ],
)
def test_only_a_body_whose_own_field_stream_is_true_asks_for_events(body, streams):
    assert read(JSON, body).stream is streams


def test_parquet_passes_as_it_is():
    found = read(PARQUET, b"\xef\xbb\xbfPAR1\xff", default="legacy")
    assert (found.content_type, found.body, found.reply_format) == (PARQUET, b"\xef\xbb\xbfPAR1\xff", MLFLOW2)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        ";",
        "text/plain",
        "application/x-www-form-urlencoded",
        f"{JSON}; charset=latin-1",
        f"{JSON}; charset=",
        f"{CSV}; charset=utf-16",
        f"{JSON}; version=1",
        f"{JSON}; pandas-records",
        f"{JSON}; format=pandas-values",
        f"{CSV}; format=pandas-split",
        f"{JSON_NUMPY_SPLIT}; format=pandas-split",
        f"{PARQUET}; header=true",
        JSON + ";" * 300,
    ],
)
def test_other_types_parameters_and_charsets_are_unsupported(content_type):
    with pytest.raises(UnsupportedTypeError):
        reader(content_type)


def test_an_unknown_dialect_header_is_the_callers_mistake():
    with pytest.raises(BadRequestError, match="legacy"):
        reader(JSON, "v2")


@pytest.mark.parametrize(
    "content_type, body, says",
    [
        (f"{JSON}; format=pandas-records", b'[1],"params":{}', "not valid JSON"),
        (f"{JSON}; format=pandas-records", b'[1]}, {"a": 1', "not valid JSON"),
        (f"{JSON}; format=pandas-records", SPLIT, "list of records"),
        (f"{JSON}; format=pandas-split", RECORDS, "'columns' and 'data'"),
        (f"{JSON}; format=pandas-split", b'{"data": []}', "'columns' and 'data'"),
        (JSON_NUMPY_SPLIT, SPLIT, "'index', 'columns' and 'data'"),
        (JSON, b"", "not valid JSON"),
        (JSON, b"not json", "line 1, column 1"),
        (JSON, b'[{"a": 1}] secret', "line 1, column 12"),
        (JSON, b'["\xff"]', "not valid UTF-8"),
        (JSON, b"[" * 200_000, "not valid JSON"),
        (JSON, b"[" + b"9" * 5000 + b".x]", "not valid JSON"),
        (CSV, b"a\n\xff", "not valid UTF-8"),
    ],
)
def test_malformed_bodies_are_bad_requests_in_one_sentence_without_the_data(content_type, body, says):
    with pytest.raises(BadRequestError, match=says) as caught:
        read(content_type, body)
    assert "secret" not in caught.value.message
    # What clients of MLflow 2 and 3 look for.
    if "not valid JSON" in caught.value.message:
        assert "nsure that input is a valid JSON formatted string" in caught.value.message
    assert caught.value.__suppress_context__ or caught.value.__cause__ is None


_types = st.one_of(
    st.none(),
    st.text(),
    st.builds(
        "{};{}".format,
        st.sampled_from([JSON, CSV, PARQUET, JSON_NUMPY_SPLIT]),
        st.sampled_from(["", "format=pandas-records", "format=pandas-split", "charset=utf-8", "x=y", "=", ";;"]),
    ),
)
_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["columns", "data", "index", "inputs", "x"]), inner)
    ),
)


@given(_types, st.binary() | _json.map(lambda value: json.dumps(value).encode()), st.sampled_from(["legacy", "modern"]))
def test_reading_raises_nothing_but_serving_errors_and_wraps_only_whole_documents(content_type, body, dialect):
    try:
        found = read(content_type, body, header=dialect)
    except ServingError:
        return
    if found.body != body and found.content_type == JSON and found.reply_format is MLFLOW1:
        assert len(json.loads(found.body)) == 1
