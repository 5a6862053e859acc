"""How large the table is that a body becomes: what only parsing tells, checked before the table is made.

A few bytes can ask for a large table: records that each have a column of their own, a long index of one row, a
compressed file. The gateway checks before what the bytes alone tell (``gateway/cells.py``). Standard library only,
Python 3.8 or later.
"""

from __future__ import annotations

import io
import json
from typing import Any, Collection, Iterable

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

JSON, PARQUET = "application/json", "application/vnd.apache.parquet"


class TooManyCells(Exception):
    """The text says what a body would become, and what to do."""


def bounded(content_type: str, body: bytes, columns: Collection[str], most: int) -> bytes:
    """The body, whose table has at most ``most`` cells; TooManyCells for any other body.

    ``columns``: of the model's signature, if it has any. Where a table would be mostly empty, values of other columns
    are left out, as MLflow leaves them out once it has made the table.
    """
    if content_type == PARQUET:
        _check_parquet(body, most)
    if content_type != JSON or len(body) <= SMALL_BYTES:
        return body
    try:
        document = _loads(body)
    except (ValueError, RecursionError):
        return body
    fields = document.items() if isinstance(document, dict) else ()
    for field, value in fields:
        if field in ("dataframe_records", "instances") and isinstance(value, list):
            if _check_records(value, columns, most):
                return _of_columns(body, field, frozenset(columns))
        elif field == "dataframe_split" and isinstance(value, dict):
            _check_split(value, most)
        elif field == "inputs" and isinstance(value, dict):
            _check(max(map(_length, value.values()), default=0), len(value), most)
    return body


def _check_records(records: list[Any], columns: Collection[str], most: int) -> bool:
    """Whether the records make a table that is mostly empty, and have columns that the model does not know."""
    rows = [record for record in records if isinstance(record, dict)]
    named = set().union(*rows)
    sparse = len(rows) * len(named) > _RAGGED * sum(map(len, rows)) + SMALL_BYTES
    if sparse and columns and not named <= set(columns):
        named &= set(columns)
        _check(len(rows), len(named), most)
        return True
    _check(len(rows), len(named), most)
    return False


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
    first: Iterable[Any] = split["data"][:1] if rows and isinstance(split["data"], list) else ()
    _check(rows, max([_length(split.get("columns")), *map(_length, first)]), most)


def _check_parquet(body: bytes, most: int) -> None:
    try:
        import pyarrow.parquet

        about = pyarrow.parquet.ParquetFile(io.BytesIO(body)).metadata
    except Exception:  # MLflow's own way says what is wrong with the file
        return
    _check(about.num_rows, about.num_columns, most)
    unpacked = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
    if unpacked > most * _BYTES_OF_A_CELL:
        raise TooManyCells(f"The Parquet file unpacks to {unpacked} bytes. {_advice(most)}")


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
