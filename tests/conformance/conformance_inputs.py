"""Requests in MLflow's own scoring protocol, valid and odd, by model, and the runtimes that each is sent to."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pandas as pd
import pytest

JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
MLFLOW_1 = "MLflow 1"
SECRET = "s3ntinel"
"""A value of the caller's. No error may repeat it."""


@dataclass(frozen=True)
class Input:
    """One request to one model."""

    model: str
    name: str
    body: bytes
    content_type: str = JSON

    def __str__(self) -> str:
        return f"{self.model}: {self.name}"


def _split(columns: list, *rows: list, **more: Any) -> dict:
    return {"dataframe_split": {"columns": columns, "data": list(rows), **more}}


def _parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer)
    return buffer.getvalue()


_IRIS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
_ROW, _ROW_2 = [5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]
_RECORD = dict(zip(_IRIS, _ROW, strict=True))
_CSV_HEAD = ",".join(_IRIS)

_IRIS_JSON: dict[str, Any] = {
    "split": _split(_IRIS, _ROW, _ROW_2),
    "split with an index": _split(_IRIS, _ROW, _ROW_2, index=[7, 3]),
    "split with a text index": _split(_IRIS, _ROW, _ROW_2, index=["a", "b"]),
    "split with too short an index": _split(_IRIS, _ROW, _ROW_2, index=[7]),
    "split without columns": {"dataframe_split": {"data": [_ROW]}},
    "split without data": {"dataframe_split": {"columns": _IRIS}},
    "split with an unknown key": _split(_IRIS, _ROW, extra=1),
    "split that is a list": {"dataframe_split": [_RECORD]},
    "split that is null": {"dataframe_split": None},
    "split with no rows": _split(_IRIS),
    "split with a short row": _split(_IRIS, _ROW[:3]),
    "split with rows of two lengths": _split(_IRIS, _ROW, _ROW[:3]),
    "split with columns twice": _split([*_IRIS, "petal_width"], [*_ROW, 9.0]),
    "records": {"dataframe_records": [_RECORD, dict(zip(_IRIS, _ROW_2, strict=True))]},
    "records in another order": {"dataframe_records": [dict(reversed(_RECORD.items()))]},
    "records that differ": {"dataframe_records": [_RECORD, {"sepal_length": 1.0}]},
    "records that are an object": {"dataframe_records": _RECORD},
    "no records": {"dataframe_records": []},
    "records that are numbers": {"dataframe_records": [1, 2]},
    "records that are a text": {"dataframe_records": SECRET},
    "one empty record": {"dataframe_records": [{}]},
    "nested records": {"dataframe_records": [{**_RECORD, "petal_width": {"cm": [0.2]}}]},
    "whole numbers for doubles": _split(_IRIS, [5, 3, 1, 0]),
    "a column too many": {"dataframe_records": [{**_RECORD, "colour": SECRET}]},
    "a column missing": _split(_IRIS[:3], _ROW[:3]),
    "wrong column names": _split(["a", "b", "c", "d"], _ROW),
    "numbers as text": _split(_IRIS, [str(value) for value in _ROW]),
    "text for a number": _split(_IRIS, [SECRET, *_ROW[1:]]),
    "null for a number": _split(_IRIS, [None, *_ROW[1:]]),
    "true for a number": _split(_IRIS, [True, *_ROW[1:]]),
    "a huge whole number": _split(_IRIS, [10**30, *_ROW[1:]]),
    "a list for a number": _split(_IRIS, [[5.1], *_ROW[1:]]),
    "instances of records": {"instances": [_RECORD]},
    "instances of rows": {"instances": [_ROW, _ROW_2]},
    "instances of numbers": {"instances": _ROW},
    "instances that are a number": {"instances": 3},
    "no instances": {"instances": []},
    "inputs by column": {"inputs": dict(zip(_IRIS, ([value] for value in _ROW), strict=True))},
    "inputs by column of two lengths": {"inputs": {**{name: [1.0, 2.0] for name in _IRIS[1:]}, "sepal_length": [1.0]}},
    "inputs as records": {"inputs": [_RECORD]},
    "inputs as rows": {"inputs": [_ROW]},
    "inputs as scalars": {"inputs": _RECORD},
    "inputs that are null": {"inputs": None},
    "two forms at once": {"inputs": [_RECORD], "dataframe_records": [_RECORD]},
    "no form": {"rows": [_RECORD]},
    "an empty object": {},
    "an unknown key beside": {"dataframe_records": [_RECORD], "comment": SECRET},
    "params for a model without": {"dataframe_records": [_RECORD], "params": {"alpha": 1}},
    "params that are null": {"dataframe_records": [_RECORD], "params": None},
    "a column named in unicode": {"dataframe_records": [{**_RECORD, "größe ✓": 1.0}]},
    "messages": {"messages": [{"role": "user", "content": SECRET}]},
    "a prompt": {"prompt": SECRET},
    "an input": {"input": [SECRET]},
}

_IRIS_RAW: dict[str, tuple[bytes, str]] = {
    "an empty body": (b"", JSON),
    "white space": (b"  \n", JSON),
    "not JSON": (f'{{"inputs": {SECRET}'.encode(), JSON),
    "JSON and more": (json.dumps({"inputs": [_RECORD]}).encode() + b" x", JSON),
    "a JSON text": (json.dumps(SECRET).encode(), JSON),
    "a JSON number": (b"3", JSON),
    "null": (b"null", JSON),
    "bad UTF-8": (b'{"inputs": ["\xff\xfe"]}', JSON),
    "a charset": (json.dumps(_split(_IRIS, _ROW)).encode(), "application/json; charset=utf-8"),
    "a charset in capitals": (json.dumps(_split(_IRIS, _ROW)).encode(), "application/json; charset=UTF-8"),
    "another charset": (json.dumps(_split(_IRIS, _ROW)).encode(), "application/json; charset=latin-1"),
    "an unknown parameter": (json.dumps(_split(_IRIS, _ROW)).encode(), "application/json; version=2"),
    "another type": (b"<rows/>", "application/xml"),
    "NaN": (json.dumps(_split(_IRIS, [float("nan"), *_ROW[1:]])).encode(), JSON),
    "infinity": (json.dumps(_split(_IRIS, [float("inf"), *_ROW[1:]])).encode(), JSON),
    "a key twice": (b'{"dataframe_records": [], ' + json.dumps({"dataframe_records": [_RECORD]})[1:].encode(), JSON),
    "a column twice in a record": (
        json.dumps({"inputs": [_RECORD]}).replace('{"s', '{"petal_width": 9, "s').encode(),
        JSON,
    ),
    "white space all over": (json.dumps(_split(_IRIS, _ROW), indent=4).encode() + b"\n", JSON),
    "csv": (f"{_CSV_HEAD}\n5.1,3.5,1.4,0.2\n6.7,3.1,5.6,2.4\n".encode(), CSV),
    "csv with line ends of Windows": (f"{_CSV_HEAD}\r\n5.1,3.5,1.4,0.2\r\n".encode(), CSV),
    "csv of whole numbers": (f"{_CSV_HEAD}\n5,3,1,0\n".encode(), CSV),
    "csv with a column too many": (f"{_CSV_HEAD},colour\n5.1,3.5,1.4,0.2,{SECRET}\n".encode(), CSV),
    "csv with a column missing": (b"sepal_length\n5.1\n", CSV),
    "csv with text for a number": (f"{_CSV_HEAD}\n{SECRET},3.5,1.4,0.2\n".encode(), CSV),
    "csv with an empty field": (f"{_CSV_HEAD}\n5.1,,1.4,0.2\n".encode(), CSV),
    "csv with quotes": (f'{_CSV_HEAD}\n"5.1","3.5",1.4,0.2\n'.encode(), CSV),
    "csv with an open quote": (f'{_CSV_HEAD}\n"5.1,3.5\n'.encode(), CSV),
    "csv with a head only": (f"{_CSV_HEAD}\n".encode(), CSV),
    "csv with nothing": (b"", CSV),
    "csv that is not UTF-8": (b"a,b\n\xff,1\n", CSV),
    "csv with a charset": (f"{_CSV_HEAD}\n5.1,3.5,1.4,0.2\n".encode(), "text/csv; charset=utf-8"),
    "parquet": (_parquet(**{name: [value] for name, value in _RECORD.items()}), PARQUET),
    "parquet of whole numbers": (_parquet(**{name: [1] for name in _IRIS}), PARQUET),
    "parquet with a column missing": (_parquet(sepal_length=[5.1]), PARQUET),
    "parquet that is none": (SECRET.encode(), PARQUET),
    "parquet of nothing": (b"", PARQUET),
}

_OTHER_SHAPES = (
    "tuple, number, numpy number, whole numbers, true, none, booleans, matrix, cube, array of one number, "
    "single precision, array of texts, array of objects, array of times, array of spans, array of bytes, category, "
    "frame with an index, frame without rows, frame without columns, frame with numbered columns, "
    "frame with two levels, frame with lists, frame with missing values, index, timestamp, date, time and zone, "
    "nested, list of objects, list of lists, object with numbers as names, bytes, decimal, set, complex, generator, "
    "unique id, path, data class, huge number, NA"
)

_PARAMS: dict[str, Any] = {
    **{f"output: {shape}": {"shape": shape} for shape in _OTHER_SHAPES.split(", ")},
    **{f"output: {shape}": {"shape": shape} for shape in ("frame", "series", "array", "list", "dict", "text", "nan")},
    **{f"output: {shape}": {"shape": shape} for shape in ("params", "dates", "raise", "unserialisable")},
    "an unknown shape": {"shape": SECRET},
    "a whole number for a double": {"factor": 3},
    "a text for a double": {"factor": SECRET},
    "a list for a double": {"factor": [1.0]},
    "null for a double": {"factor": None},
    "a list": {"many": [4, 5], "shape": "params"},
    "an empty list": {"many": [], "shape": "params"},
    "a number for a list": {"many": 4, "shape": "params"},
    "doubles for a list of whole numbers": {"many": [1.5], "shape": "params"},
    "a flag": {"flag": True, "shape": "params"},
    "a number for a flag": {"flag": 1, "shape": "params"},
    "an unknown name": {"beta": SECRET, "shape": "params"},
    "no params": {},
    "params that are a list": [1],
    "params that are a text": SECRET,
    "params that are null": None,
}

_COLUMNS_ROW = {
    "day": "2024-02-29T12:30:00",
    "blob": base64.b64encode(b"\x00\xffbytes").decode(),
    "flag": True,
    "small": 7,
    "ratio": 0.5,
    "amount": 12.25,
    "note": "größe ✓ 😀",
    "count": 9007199254740993,
    "comment": "a comment",
}


def _with(**changes: Any) -> dict[str, Any]:
    return {**_COLUMNS_ROW, **changes}


def _without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in _COLUMNS_ROW.items() if name not in names}


_COLUMN_ROWS: dict[str, list[dict[str, Any]]] = {
    "all present": [_COLUMNS_ROW, _with(flag=False, note="")],
    "optional ones absent": [_without("count", "comment")],
    "missing whole number": [_COLUMNS_ROW, _with(count=None)],
    "all whole numbers missing": [_with(count=None)],
    "missing text, optional": [_COLUMNS_ROW, _with(comment=None)],
    "missing text, required": [_COLUMNS_ROW, _with(note=None)],
    "missing boolean": [_COLUMNS_ROW, _with(flag=None)],
    "missing date": [_COLUMNS_ROW, _with(day=None)],
    "missing double": [_COLUMNS_ROW, _with(amount=None)],
    "missing integer": [_COLUMNS_ROW, _with(small=None)],
    "missing binary": [_COLUMNS_ROW, _with(blob=None)],
    "required ones absent": [_without("day", "note")],
    "a day": [_with(day="2024-02-29")],
    "a time with a zone": [_with(day="2024-02-29T12:30:00+02:00")],
    "a time in UTC": [_with(day="2024-02-29T12:30:00Z")],
    "times with parts of a second": [_with(day="2024-02-29T12:30:00.123456")],
    "two forms of time": [_COLUMNS_ROW, _with(day="2024-02-29")],
    "no date": [_with(day=SECRET)],
    "a date that is not": [_with(day="2024-02-30")],
    "a number for a date": [_with(day=1709209800000)],
    "bytes that are not base64": [_with(blob=f"{SECRET}!")],
    "a number for bytes": [_with(blob=3)],
    "a number for a boolean": [_with(flag=1)],
    "a text for a boolean": [_with(flag="true")],
    "a double for an integer": [_with(small=7.5)],
    "a whole double for an integer": [_with(small=7.0)],
    "an integer too large": [_with(small=2**40)],
    "an integer as text": [_with(small="7")],
    "a whole number for a double": [_with(amount=12, ratio=1)],
    "a float that is not exact": [_with(ratio=0.1)],
    "a number for a text": [_with(note=5)],
    "a list for a text": [_with(note=[SECRET])],
    "a whole number beyond 64 bits": [_with(count=2**63)],
    "a double for a whole number": [_with(count=1.5)],
}

_ECHO: dict[str, Any] = {
    "dates stay texts": {"dataframe_records": [{"day": "2024-02-29T12:30:00", "date": "2024-02-29"}]},
    "a whole number and null": {"dataframe_records": [{"a": 1, "b": None}, {"a": None, "b": None}]},
    "true and null": {"dataframe_records": [{"a": True}, {"a": None}]},
    "a mixed column": {"dataframe_records": [{"a": 1}, {"a": "x"}, {"a": 2.5}, {"a": [1, {"b": None}]}]},
    "numbers as texts": {"dataframe_records": [{"a": "007", "b": "1e5"}]},
    "numbers as names": {"dataframe_split": {"columns": [0, 1], "data": [[1, 2]]}},
    "an index": {"dataframe_split": {"columns": ["a"], "index": ["x", "y"], "data": [[1], [2.5]]}},
    "large numbers": {"dataframe_records": [{"a": 2**53 + 1, "b": 2**63, "c": 2**64, "d": 1e308}]},
    "exact doubles": {"dataframe_records": [{"a": 0.1, "b": 1 / 3, "c": 5e-324, "d": -0.0}]},
    "escapes": {"dataframe_records": [{"a": '\u0000\n"\\/\u2028', "b\tc": "😀"}]},
    "a list": {"inputs": [1, 2, 3]},
    "a list of texts": {"inputs": ["a", "ü"]},
    "a list of lists": {"inputs": [[1, 2.5], [3, 4]]},
    "ragged lists": {"inputs": [[1], [2, 3]]},
    "a text": {"inputs": "one"},
    "a number": {"inputs": 5},
    "an object of lists": {"inputs": {"a": [1, 2], "b": ["x", "y"]}},
    "an object of scalars": {"inputs": {"a": 1, "b": "x"}},
    "an empty object": {"inputs": {}},
    "instances of objects": {"instances": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]},
    "instances of objects that differ": {"instances": [{"a": 1}, {"b": 2}]},
    "instances of lists": {"instances": [[1, 2], [3, 4]]},
    "instances of texts": {"instances": ["a", "b"]},
    "instances of scalars": {"instances": [1, 2.5]},
    "params without a schema": {"inputs": [1], "params": {"a": 1}},
    "messages": {"messages": [{"role": "user", "content": "größe?"}], "temperature": 0.5},
    "a prompt": {"prompt": "tell me", "max_tokens": 3},
    "an input": {"input": "tell me"},
    "an input of texts": {"input": ["a", "b"]},
    "messages and instances": {"messages": [], "instances": [1]},
}

_TENSOR: dict[str, Any] = {
    "instances": {"instances": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]},
    "inputs": {"inputs": [[[1.5, 2], [3, 4]]]},
    "one image": {"inputs": [[1, 2], [3, 4]]},
    "another size": {"inputs": [[[1, 2, 3], [4, 5, 6]]]},
    "ragged": {"inputs": [[[1, 2], [3]]]},
    "no images": {"inputs": []},
    "texts": {"inputs": [[[SECRET, "2"], ["3", "4"]]]},
    "null": {"inputs": [[[None, 2], [3, 4]]]},
    "booleans": {"inputs": [[[True, False], [True, True]]]},
    "by name": {"inputs": {"image": [[[1, 2], [3, 4]]]}},
    "doubles that are no floats": {"inputs": [[[0.1, 1e39], [3, 4]]]},
    "rows of a frame": {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}},
    "instances of objects": {"instances": [{"image": [[1, 2], [3, 4]]}]},
}

_TEXT: dict[str, Any] = {
    "texts": {"inputs": ["one", "größe ✓"]},
    "no texts": {"inputs": []},
    "one text": {"inputs": "one"},
    "numbers": {"inputs": [1, 2]},
    "null": {"inputs": [None]},
    "instances": {"instances": ["one"]},
    "a frame": {"dataframe_split": {"columns": ["text"], "data": [["one"]]}},
    "messages": {"messages": [{"role": "user", "content": "one"}]},
    "an unknown key": {"texts": [SECRET]},
}


_CHAT_MESSAGES = [{"role": "system", "content": "short"}, {"role": "user", "content": "größe?"}]
_CHAT: dict[str, Any] = {
    "messages": {"messages": _CHAT_MESSAGES},
    "one message": {"messages": _CHAT_MESSAGES[1:]},
    "no messages": {"messages": []},
    "messages that are a text": {"messages": SECRET},
    "a message without a role": {"messages": [{"content": SECRET}]},
    "a message with a number": {"messages": [{"role": "user", "content": 5}]},
    "a message with an unknown key": {"messages": [{"role": "user", "content": "a", "colour": SECRET}]},
    "a temperature": {"messages": _CHAT_MESSAGES, "temperature": 0.25},
    "a temperature as text": {"messages": _CHAT_MESSAGES, "temperature": SECRET},
    "custom inputs": {"messages": _CHAT_MESSAGES, "custom_inputs": {"a": [1, {"b": None}]}},
    "an unknown key": {"messages": _CHAT_MESSAGES, "colour": SECRET},
    "a context": {"messages": _CHAT_MESSAGES, "context": {"user_id": "u", "conversation_id": "c"}},
    "messages within inputs": {"inputs": {"messages": _CHAT_MESSAGES}},
    "messages within dataframe_records": {"dataframe_records": [{"messages": _CHAT_MESSAGES}]},
    "instances": {"instances": [{"messages": _CHAT_MESSAGES}]},
    "a prompt": {"prompt": SECRET},
    "an empty object": {},
}

_INPUT_ITEMS = [{"role": "user", "content": "größe?"}]
_RESPONSES: dict[str, Any] = {
    "an input": {"input": _INPUT_ITEMS},
    "an input with its type": {"input": [{"type": "message", **_INPUT_ITEMS[0]}]},
    "an input that is a text": {"input": SECRET},
    "an input of texts": {"input": [SECRET]},
    "no input": {"input": []},
    "an item without a role": {"input": [{"content": SECRET}]},
    "a temperature": {"input": _INPUT_ITEMS, "temperature": 0.25},
    "a temperature as text": {"input": _INPUT_ITEMS, "temperature": SECRET},
    "custom inputs": {"input": _INPUT_ITEMS, "custom_inputs": {"a": [1, None]}},
    "an unknown key": {"input": _INPUT_ITEMS, "colour": SECRET},
    "an input within inputs": {"inputs": {"input": _INPUT_ITEMS}},
    "messages": {"messages": _CHAT_MESSAGES},
    "an empty object": {},
}

_OF_FLAVORS = (
    "split, records, records in another order, split with no rows, no records, whole numbers for doubles, "
    "a column too many, a column missing, text for a number, null for a number, instances of rows, inputs by column, "
    "no form, messages"
)
_RAW_OF_FLAVORS = "csv, csv with text for a number, NaN, parquet"

_SPACY: dict[str, Any] = {
    "records": {"dataframe_records": [{"text": "good"}, {"text": "größe ✓"}]},
    "inputs": {"inputs": {"text": ["good"]}},
    "a number": {"dataframe_records": [{"text": 5}]},
    "no column": {"dataframe_records": [{"other": SECRET}]},
}
_PROPHET: dict[str, Any] = {
    "days": {"dataframe_records": [{"ds": "2024-02-01"}, {"ds": "2024-02-02T00:00:00"}]},
    "split": _split(["ds"], ["2024-02-01"]),
    "no day": {"dataframe_records": [{"ds": SECRET}]},
    "null": {"dataframe_records": [{"ds": None}]},
}
_PMDARIMA: dict[str, Any] = {
    "periods": {"dataframe_records": [{"n_periods": 3}]},
    "two rows": {"dataframe_records": [{"n_periods": 3}, {"n_periods": 2}]},
    "a negative number": {"dataframe_records": [{"n_periods": -1}]},
    "a text": {"dataframe_records": [{"n_periods": SECRET}]},
}
_TEXTS: dict[str, Any] = {
    **_SPACY,
    "split": _split(["text"], ["good bad"], [""]),
    "no rows": {"dataframe_records": []},
    "null": {"dataframe_records": [{"text": None}]},
    "a text": {"inputs": "good"},
    "texts": {"inputs": ["good", "bad"]},
    "a text that is too long": {"inputs": {"text": ["good " * 40]}},
    "params": {"inputs": {"text": ["good"]}, "params": {"top_k": 1}},
    "messages": {"messages": [{"role": "user", "content": "good"}]},
}


def _jsons(model: str, inputs: dict[str, Any]) -> list[Input]:
    return [Input(model, name, json.dumps(value, ensure_ascii=False).encode()) for name, value in inputs.items()]


def _raws(model: str, inputs: dict[str, tuple[bytes, str]]) -> list[Input]:
    return [Input(model, name, body, content_type) for name, (body, content_type) in inputs.items()]


def _shapes() -> list[Input]:
    rows = {"dataframe_records": [{"x": 1.5}, {"x": 4.0}]}
    return _jsons("shapes", {name: {**rows, "params": params} for name, params in _PARAMS.items()})


def _columns() -> list[Input]:
    names = list(_COLUMNS_ROW)
    records = {f"records: {name}": {"dataframe_records": rows} for name, rows in _COLUMN_ROWS.items()}
    splits = {
        f"split: {name}": {"dataframe_split": {"columns": names, "data": [list(row.values()) for row in rows]}}
        for name, rows in _COLUMN_ROWS.items()
        if all(list(row) == names for row in rows)
    }
    frame = pd.DataFrame([_with(blob=None), _with(comment=None, blob=None)]).drop(columns="blob")
    frame_with_types = frame.assign(day=pd.to_datetime(frame["day"]), blob=[b"\x00\xff", b""])
    buffer = io.BytesIO()
    frame_with_types.to_parquet(buffer)
    return [
        *_jsons("columns", records | splits | {"inputs": {"inputs": [_COLUMNS_ROW]}}),
        Input("columns", "csv", frame.to_csv(index=False).encode(), CSV),
        Input("columns", "parquet", buffer.getvalue(), PARQUET),
    ]


def _echo_raw() -> list[Input]:
    csv = b'id,when,empty,quoted\n007,2024-02-29,,"a,b"\n1,,,x\n'
    frame = {"a": [1, 2], "b": ["x", None], "c": pd.to_datetime(["2024-02-29", None])}
    return [
        Input("echo", "csv", csv, CSV),
        Input("echo", "parquet", _parquet(**frame), PARQUET),
        Input("echo", "a number of many digits", b'{"inputs": [123456789012345678901234567890]}'),
        Input("echo", "a double beyond all", b'{"inputs": [1e999]}'),
        Input("echo", "a lone surrogate", b'{"inputs": ["\\ud800"]}'),
        Input("echo", "deep nesting", b'{"inputs": ' + b"[" * 50 + b"]" * 50 + b"}"),
    ]


def _mlflow1() -> list[Input]:
    """Formats of MLflow 1, which later stock servers do not know."""
    records, split = json.dumps([_RECORD]).encode(), json.dumps({"columns": _IRIS, "data": [_ROW]}).encode()
    return [
        Input("iris", f"{MLFLOW_1}: records", records),
        Input("iris", f"{MLFLOW_1}: split", split),
        Input("iris", f"{MLFLOW_1}: records by name", records, f"{JSON}; format=pandas-records"),
        Input("iris", f"{MLFLOW_1}: split by name", split, f"{JSON}; format=pandas-split"),
    ]


def _flavor(model: str) -> list[Input]:
    jsons = {name: _IRIS_JSON[name] for name in _OF_FLAVORS.split(", ")}
    return [*_jsons(model, jsons), *_raws(model, {name: _IRIS_RAW[name] for name in _RAW_OF_FLAVORS.split(", ")})]


FLAVORS = ("xgboost", "lightgbm", "statsmodels", "onnx")
MORE_FLAVORS = ("catboost", "spacy", "prophet", "pmdarima", "pytorch", "transformers")
"""With libraries that are large, or slow to load: ``pip install -e '.[flavors]'``, ``pytest -m flavors``."""

INPUTS = [
    *(item for model in ("iris", "unsigned") for item in [*_jsons(model, _IRIS_JSON), *_raws(model, _IRIS_RAW)]),
    *_shapes(),
    *_columns(),
    *_jsons("echo", _ECHO),
    *_echo_raw(),
    *_jsons("tensor", _TENSOR),
    *_jsons("text", _TEXT),
    *_jsons("typed", _TEXT),
    *_jsons("chatmodel", _CHAT),
    *_jsons("chatagent", _CHAT),
    *_jsons("responses", _RESPONSES),
    *(item for model in (*FLAVORS, "catboost", "pytorch") for item in _flavor(model)),
    *_jsons("spacy", _SPACY),
    *_jsons("prophet", _PROPHET),
    *_jsons("pmdarima", _PMDARIMA),
    *_jsons("transformers", _TEXTS),
    *_mlflow1(),
]


def _marks(model: str) -> list[pytest.MarkDecorator]:
    missing = model in MORE_FLAVORS and find_spec({"pytorch": "torch"}.get(model, model)) is None
    more = [pytest.mark.flavors, pytest.mark.skipif(missing, reason="pip install -e '.[flavors]'")]
    return more if model in MORE_FLAVORS else []


RUNTIMES: dict[str, dict[str, str]] = {
    "native": {"runtime": "native", "batching": "auto"},
    "native-unbatched": {"runtime": "native", "batching": "off"},
    "mlflow": {"runtime": "mlflow"},
}
_OF_THE_STOCK_SERVER = ("iris",)
"""The models that ``mlflow`` serves too: that runtime is the stock server, and shows only what lies before it."""

_BOTH_WAYS = ("iris", "unsigned", "shapes", "columns", "echo", "tensor", "text")
"""The models that are served unbatched too."""

_MODELS_OF = {"native-unbatched": _BOTH_WAYS, "mlflow": _OF_THE_STOCK_SERVER}

CASES = [
    pytest.param(runtime, item, marks=_marks(item.model), id=f"{runtime}-{item}")
    for runtime in RUNTIMES
    for item in INPUTS
    if item.model in _MODELS_OF.get(runtime, (item.model,))
]
