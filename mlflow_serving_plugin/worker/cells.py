"""How large the table is that a body becomes: what only parsing tells, checked before the table is made.

A few bytes can ask for a large table: records that each have a column of their own, a long index of one row, a
compressed file. The gateway checks before what the bytes alone tell (``gateway/cells.py``). Standard library only,
Python 3.8 or later.
"""

from __future__ import annotations

import io
import json
from itertools import islice
from typing import Any, Collection, Iterable

from .formats import may_hold_table

try:  # several times as fast, where the environment has it
    import orjson

    _loads: Any = orjson.loads
except ImportError:
    _loads = json.loads

MOST_CELLS = 10_000_000
"""Of the table of one body, unless the configuration has another limit."""

SMALL_BYTES = 16 * 1024
"""JSON up to this size cannot become a table that matters."""

_OF_A_COLUMN = 400
"""A column costs as much as so many cells, also when it has none."""

_RAGGED = 4
"""A table with more than so many cells for each value of the body is mostly empty."""

_BYTES_OF_A_CELL = 16

_OTHER_NAMES = 20
"""Columns that the model does not know, in the refusal of a body that lacks a column."""

JSON, PARQUET = "application/json", "application/vnd.apache.parquet"


class TooManyCells(Exception):
    """The text says what a body would become, and what to do."""


def bounded(
    content_type: str, body: bytes, columns: Collection[str], most: int, required: Collection[str] = ()
) -> bytes:
    """The body, whose table has at most ``most`` cells; TooManyCells for any other body.

    ``columns``: of the model's signature, if it has any; ``required``: those that a body must have. Where a table would
    be mostly empty, values of other columns are left out, as MLflow leaves them out once it has made the table. Of a
    body without a required column its column names are left, which is all that MLflow needs to refuse the body.
    """
    if content_type == PARQUET:
        _check_parquet(body, most)
    if content_type != JSON or len(body) <= SMALL_BYTES or not may_hold_table(body):
        return body
    try:
        document = _loads(body)
    except (ValueError, RecursionError):
        return body
    fields = document.items() if isinstance(document, dict) else ()
    for field, value in fields:
        if field in ("dataframe_records", "instances") and isinstance(value, list):
            return _bounded_records(body, field, value, columns, most, required)
        if field == "dataframe_split" and isinstance(value, dict):
            names = value.get("columns")
            if isinstance(names, list) and _lacks(names, required):
                return json.dumps({field: {"columns": _some(names, columns), "data": []}}).encode()
            _check_split(value, most)
        elif field == "inputs" and isinstance(value, dict):
            if _lacks(value, required):
                return json.dumps({field: {name: [] for name in _some(value, columns)}}).encode()
            _check(max(map(_length, value.values()), default=0), len(value), most)
    return body


def _lacks(names: Collection[Any], required: Collection[str]) -> bool:
    return not {name for name in names if isinstance(name, str)}.issuperset(required)


def _some(names: Iterable[Any], columns: Collection[str]) -> list[str]:
    """The names of the signature, and a few others: all are in MLflow's message."""
    known, texts = set(columns), [name for name in names if isinstance(name, str)]
    others = (name for name in texts if name not in known)
    return [*(name for name in texts if name in known), *islice(others, _OTHER_NAMES)]


def _bounded_records(
    body: bytes, field: str, records: list[Any], columns: Collection[str], most: int, required: Collection[str]
) -> bytes:
    rows = [record for record in records if isinstance(record, dict)]
    named = set().union(*rows)
    if len(rows) == len(records) and _lacks(named, required):
        return json.dumps({field: [dict.fromkeys(_some(named, columns))]}).encode()
    sparse = len(rows) * len(named) > _RAGGED * sum(map(len, rows)) + SMALL_BYTES
    if sparse and columns and not named <= set(columns):
        _check(len(rows), len(named & set(columns)), most)
        return _of_columns(body, field, frozenset(columns))
    _check(len(rows), len(named), most)
    return body


def _of_columns(body: bytes, field: str, columns: Collection[str]) -> bytes:
    """The body without the values of other columns. Parsed anew: orjson reads large numbers in a way of its own."""
    document = json.loads(body)
    document[field] = [
        {name: value for name, value in record.items() if name in columns} if isinstance(record, dict) else record
        for record in document[field]
    ]
    return json.dumps(document).encode()


def _check_split(split: dict[str, Any], most: int) -> None:
    rows, index = _length(split.get("data")), split.get("index")
    if isinstance(index, list) and len(index) != rows:
        raise TooManyCells(f"The index of dataframe_split has {len(index)} entries, and its data has {rows} rows.")
    if isinstance(index, list) and any(isinstance(entry, (list, dict)) for entry in index):
        # pandas takes each for a level of the index: a minute for a megabyte.
        raise TooManyCells("The index of dataframe_split must hold numbers or texts, and no lists.")
    first: Iterable[Any] = split["data"][:1] if rows and isinstance(split["data"], list) else ()
    _check(rows, max([_length(split.get("columns")), *map(_length, first)]), most)


def _check_parquet(body: bytes, most: int) -> None:
    try:
        import pyarrow.parquet

        about = pyarrow.parquet.ParquetFile(io.BytesIO(body)).metadata
    except Exception:  # MLflow's own way says what is wrong with the file
        return
    _check(about.num_rows, about.num_columns, most)
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    values = sum(group.column(number).num_values for group in groups for number in range(group.num_columns))
    if values > most:
        raise TooManyCells(f"The Parquet file has {values} values. {_advice(most)}")
    unpacked = sum(group.total_byte_size for group in groups)
    if unpacked <= most * _BYTES_OF_A_CELL:
        unpacked = max(unpacked, _bytes_of_texts(body, about, most * _BYTES_OF_A_CELL))
    if unpacked > most * _BYTES_OF_A_CELL:
        raise TooManyCells(f"The Parquet file unpacks to {unpacked} bytes or more. {_advice(most)}")


def _bytes_of_texts(body: bytes, about: Any, enough: int) -> int:
    """What the texts of a file unpack to. A text that comes a million times is in the file once, and is read so here.

    Counts no further than ``enough``.
    """
    import pyarrow.parquet

    leaves = [about.schema.column(number) for number in range(about.num_columns)]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    total = 0
    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(body), read_dictionary=texts)
        for batch in file.iter_batches(columns=texts) if texts else ():
            total += sum(map(_bytes_of_text, batch.columns))
            if total > enough:
                break
    except Exception:  # MLflow's own way says what is wrong with the file
        return total
    return total


def _bytes_of_text(column: Any) -> int:
    import pyarrow
    from pyarrow import compute

    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        lengths = compute.binary_length(column.dictionary)
        return int(compute.sum(compute.take(lengths, column.indices)).as_py() or 0)
    if pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
        return _bytes_of_text(column.flatten())
    if pyarrow.types.is_struct(kind):
        return sum(map(_bytes_of_text, column.flatten()))
    return int(column.nbytes)


def _check(rows: int, columns: int, most: int) -> None:
    if columns * max(rows, _OF_A_COLUMN) > most:
        raise TooManyCells(f"The body makes a table of {rows} rows and {columns} columns. {_advice(most)}")


def _advice(most: int) -> str:
    return (
        f"The limit is {most} cells, where a column counts as {_OF_A_COLUMN} at least. Send fewer in one request, or "
        "set the endpoint's max_cells."
    )


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (list, dict)) else 0
