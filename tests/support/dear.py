"""Bodies that are made to cost far more than their size: by shape, for each format of requests, from a seed."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from support.models import IRIS_COLUMNS

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
_NAMES = json.dumps(IRIS_COLUMNS).encode()
_UNIT = 1024 * 1024


class Dear(NamedTuple):
    """One body. ``shape``: what makes the body dear; ``form``: the format of the request."""

    shape: str
    form: str
    content_type: str
    body: bytes


Table = tuple[bytes, bytes, bytes]
"""The same table three times as JSON: column names, rows as lists, rows as records."""


def _rows(row: bytes, record: bytes, size: int, names: bytes = _NAMES) -> Table:
    return names, b"[" + _repeated(row, size) + b"]", b"[" + _repeated(record, size) + b"]"


def _repeated(item: bytes, size: int) -> bytes:
    return (item + b",") * max(0, size // (len(item) + 1) - 1) + item


def _joined(items: Iterator[bytes], size: int) -> bytes:
    taken, length = [], 0
    for item in items:
        taken.append(item)
        length += len(item) + 1
        if length >= size - 64:
            break
    return b",".join(taken)


def _plain(rng: random.Random, size: int) -> Table:
    value = rng.choice([b"1", b"5.1", b"null", b'"a"', b"true", b"NaN", b"1e308", b"12345678901234567890", b"-0.0"])
    pairs = b",".join(json.dumps(name).encode() + b":" + value for name in IRIS_COLUMNS)
    return _rows(b"[" + b",".join([value] * 4) + b"]", b"{" + pairs + b"}", size)


def _small(rng: random.Random, size: int) -> Table:
    row, record = rng.choice([(b"[]", b"{}"), (b"[ ]", b"{ }"), (b"[1]", b'{"a":1}'), (b"[[]]", b'{"a":[]}')])
    return _rows(row, record, size, b'["a"]')


def _wide(rng: random.Random, size: int) -> Table:
    columns = rng.choice([200, 2000, 20_000, size // 12])
    values = [rng.choice([b"0", b"1.5", b"null", b'""'])] * columns
    names = [b'"c%d"' % number for number in range(columns)]
    row = b"[" + b",".join(values) + b"]"
    record = b"{" + b",".join(name + b":" + value for name, value in zip(names, values, strict=True)) + b"}"
    return _rows(row, record, size - 9 * columns, b"[" + b",".join(names) + b"]")


def _deep(rng: random.Random, size: int) -> Table:
    depth = rng.choice([3, 20, 200, 900, size // 3])
    nest, unit = b"[" * depth + b"]" * depth, b'{"a":' * depth + b"0" + b"}" * depth
    return _rows(nest, unit, size, b'["a"]')


def _ragged(rng: random.Random, size: int) -> Table:
    longest = rng.choice([3, 30, 3000])
    numbers = range(10**9)
    rows = _joined((b"[" + b",".join([b"0"] * (number % longest)) + b"]" for number in numbers), size)
    records = _joined((b'{"c%d":0}' % (number % (longest * 10)) for number in numbers), size)
    return _NAMES, b"[" + rows + b"]", b"[" + records + b"]"


def _texts(rng: random.Random, size: int) -> Table:
    text = rng.choice([b'""', b'"\\u0000"', b'"x"', b'"2020-01-01T00:00:00"', b'"' + b"1" * 4000 + b'"'])
    return _rows(b"[" + text + b"]", b'{"a":' + text + b"}", size, b'["a"]')


_SHAPES: dict[str, Callable[[random.Random, int], Table]] = {
    "plain": _plain,
    "small": _small,
    "wide": _wide,
    "deep": _deep,
    "ragged": _ragged,
    "texts": _texts,
}


def _split(names: bytes, rows: bytes, *, index: bytes = b"") -> bytes:
    return b'{"columns":' + names + b',"data":' + rows + (b',"index":' + index if index else b"") + b"}"


def _by_column(names: bytes, rows: bytes) -> bytes:
    first = json.loads(names)[:4] or ["a"]
    size = len(rows) // len(first)
    column = b"[" + rows[1 : rows.rfind(b",", 1, size) if rows.rfind(b",", 1, size) > 0 else -1] + b"]"
    return b"{" + b",".join(json.dumps(name).encode() + b":" + column for name in first) + b"}"


_FORMS: dict[str, tuple[str, Callable[[bytes, bytes, bytes], bytes]]] = {
    "dataframe_split": (JSON, lambda names, rows, _: b'{"dataframe_split":' + _split(names, rows) + b"}"),
    "dataframe_records": (JSON, lambda _names, _rows, records: b'{"dataframe_records":' + records + b"}"),
    "instances": (JSON, lambda _names, rows, _: b'{"instances":' + rows + b"}"),
    "instances of records": (JSON, lambda _names, _rows, records: b'{"instances":' + records + b"}"),
    "inputs": (JSON, lambda _names, rows, _: b'{"inputs":' + rows + b"}"),
    "inputs by column": (JSON, lambda names, rows, _: b'{"inputs":' + _by_column(names, rows) + b"}"),
    "messages": (JSON, lambda _names, _rows, records: b'{"messages":' + records + b"}"),
    "params": (JSON, lambda _names, rows, _: b'{"inputs":[[1,2,3,4]],"params":{"a":' + rows + b"}}"),
    "bare list": (JSON, lambda _names, rows, _: rows),
    "pandas-records": (f"{JSON}; format=pandas-records", lambda _names, _rows, records: records),
    "pandas-split": (f"{JSON}; format=pandas-split", lambda names, rows, _: _split(names, rows)),
    "numpy-split": ("application/json-numpy-split", lambda names, rows, _: _split(names, rows, index=b"[0]")),
}


def _repeated_index(rng: random.Random, size: int) -> bytes:
    entry = rng.choice([b"0", b'"x"', b"[0,0]", b"null"])
    count = size // (len(entry) + 20)
    rows = rng.choice([1, count])
    return (
        b'{"dataframe_split":'
        + _split(
            _NAMES, b"[" + b",".join([b"[5.1,3.5,1.4,0]"] * rows) + b"]", index=b"[" + b",".join([entry] * count) + b"]"
        )
        + b"}"
    )


def _csv(rng: random.Random, size: int) -> bytes:
    header = ",".join(IRIS_COLUMNS).encode() + b"\n"
    row = rng.choice([b"5.1,3.5,1.4,0.2\n", b"\n", b",,,\n", b'"",,,\n', b"a,b,c,d\n", b'"' + b"," * 500 + b'"\n'])
    wide = b",".join(b"c%d" % number for number in range(size // 10))
    return rng.choice([header + row * (size // len(row)), b"," * size, wide + b"\n" + b"," * (size // 10) + b"\n"])


def _parquet(rng: random.Random, size: int) -> bytes:
    zeros = pa.array(np.zeros(size, "float64"))
    table = rng.choice(
        [
            lambda: pa.table(dict.fromkeys(IRIS_COLUMNS, zeros)),
            lambda: pa.table({"a": pa.array([b"x" * 1_000_000] * (size // 200_000))}),
            lambda: pa.table({f"c{number}": zeros[:2] for number in range(max(10, size // 2000))}),
            lambda: pa.table({"a": pa.array([[0] * 10_000] * (size // 10_000))}),
            lambda: pa.table({"a": pa.DictionaryArray.from_arrays(np.zeros(size, "int32"), ["x" * 100_000])}),
        ]
    )()
    out = io.BytesIO()
    parquet.write_table(table, out, compression=rng.choice(["zstd", "snappy"]))
    return out.getvalue()


_OTHERS: dict[str, tuple[str, Callable[[random.Random, int], bytes]]] = {
    "repeated index": (JSON, _repeated_index),
    "csv": (CSV, _csv),
    "parquet": (PARQUET, _parquet),
}


def dear_bodies(seed: int, count: int, most_bytes: int = 16 * _UNIT) -> Iterator[Dear]:
    """``count`` bodies, one after the other of each shape and each format, of a random size up to ``most_bytes``."""
    kinds = [(shape, form) for shape in _SHAPES for form in _FORMS]
    kinds += [(other, "-") for other in _OTHERS for _ in range(4)]
    order: list[tuple[str, str]] = []
    rng = random.Random(seed)
    for number in range(count):
        if not order:
            order = rng.sample(kinds, len(kinds))
        shape, form = order.pop()
        own = random.Random(f"{seed} {number}")
        size = min(most_bytes, int(most_bytes * own.choice([1, 1, 0.3, 0.05]))) - 200
        if form == "-":
            content_type, make = _OTHERS[shape]
            body = make(own, size)
        else:
            content_type, wrap = _FORMS[form]
            body = wrap(*_SHAPES[shape](own, size))
        yield Dear(shape, form, content_type, body[:most_bytes])
