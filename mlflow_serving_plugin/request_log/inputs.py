"""The input columns of a logged request, whatever its form: what drift is measured by. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import orjson

Columns = dict[str, list[Any]]
"""Values by column. A column that a row does not have is None there."""


def columns_of(body: str | bytes, names: Sequence[str] = ()) -> Columns | None:
    """The columns of a request in JSON; None for what is no table. ``names``: of columns that come without names."""
    try:
        document = orjson.loads(body)
    except ValueError:
        return None
    try:
        return _columns(document, names)
    except (TypeError, ValueError, KeyError, RecursionError):
        return None


def join(tables: Sequence[Columns]) -> Columns:
    """Tables below each other."""
    names = list(dict.fromkeys(chain.from_iterable(tables)))
    joined: Columns = {name: [] for name in names}
    for table in tables:
        height = len(next(iter(table.values())))
        for name in names:
            joined[name].extend(table.get(name) or [None] * height)
    return joined


def _columns(document: Any, names: Sequence[str]) -> Columns | None:
    if isinstance(document, list):
        return _of_rows(document, names)
    if not isinstance(document, dict):
        return None
    if isinstance(split := document.get("dataframe_split"), dict):
        return _of_split(split)
    if "columns" in document and "data" in document:
        return _of_split(document)
    for field in ("dataframe_records", "instances", "inputs"):
        if field in document:
            return _of_inputs(document[field], names)
    return None


def _of_inputs(inputs: Any, names: Sequence[str]) -> Columns | None:
    if isinstance(inputs, dict):
        return _checked({str(name): value if isinstance(value, list) else [value] for name, value in inputs.items()})
    if not isinstance(inputs, list):
        return None
    if inputs and all(isinstance(one, dict) and {"name", "shape", "data"} <= set(one) for one in inputs):
        return _checked(dict(chain.from_iterable(_of_tensor(one, names) for one in inputs)))
    return _of_rows(inputs, names)


def _of_tensor(tensor: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, list[Any]]]:
    """A tensor of the Open Inference Protocol: a column, or of two dimensions one for each place in a row."""
    shape, data = tensor["shape"], tensor["data"]
    flat = list(chain.from_iterable(data)) if data and isinstance(data[0], list) else data
    width = shape[1] if len(shape) == 2 else 1
    if len(shape) > 2 or width < 1 or len(flat) % width:
        raise ValueError("no table")
    if width == 1:
        yield str(tensor["name"]), flat
        return
    for index, name in enumerate(_named(width, names)):
        yield name, flat[index::width]


def _of_split(split: Mapping[str, Any]) -> Columns | None:
    columns, rows = split.get("columns"), split["data"]
    if not isinstance(columns, list):
        return _of_rows(rows, ())
    if not rows or any(len(row) != len(columns) for row in rows):
        return None
    return {str(name): list(values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)} or None


def _of_rows(rows: list[Any], names: Sequence[str]) -> Columns | None:
    if not rows:
        return None
    if all(isinstance(row, dict) for row in rows):
        found = dict.fromkeys(chain.from_iterable(rows))
        return {str(name): [row.get(name) for row in rows] for name in found} or None
    if all(isinstance(row, list) for row in rows):
        width = len(rows[0])
        if not width or any(len(row) != width for row in rows):
            return None
        return dict(zip(_named(width, names), map(list, zip(*rows, strict=True)), strict=True))
    return {_named(1, names)[0]: rows}


def _named(width: int, names: Sequence[str]) -> Sequence[str]:
    return names if len(names) == width else [str(index) for index in range(width)]


def _checked(columns: Columns) -> Columns | None:
    heights = {len(values) for values in columns.values()}
    return columns if len(heights) == 1 and heights != {0} else None
