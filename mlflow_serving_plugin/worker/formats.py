"""Formats of tables in JSON: the names of the columns, and the rows, each in the order of the names."""

from __future__ import annotations

from typing import Any, NamedTuple

SPLIT, RECORDS, INPUTS, INSTANCES = "dataframe_split", "dataframe_records", "inputs", "instances"

_INT64 = 2**63
_FIELDS = tuple(f'"{field}"'.encode() for field in (SPLIT, RECORDS, INPUTS, INSTANCES))


class Table(NamedTuple):
    """``labels``: the index of the rows, where the body has an index."""

    names: list[Any]
    rows: list[list[Any]]
    labels: list[int] | None = None


def may_hold_table(body: bytes) -> bool:
    """False only for JSON without any of the fields: to look for them takes a hundredth of the time that parsing takes.

    A name may be written with escapes.
    """
    return any(field in body for field in _FIELDS) or b"\\u" in body


def of_split(split: Any) -> Table | None:
    """The table of ``dataframe_split``. An index has to be one of whole numbers."""
    if type(split) is not dict or not split.keys() <= {"columns", "data", "index"}:
        return None
    names, rows = split.get("columns"), split.get("data")
    if type(names) is not list or type(rows) is not list:
        return None
    count = len(names)
    if any(type(row) is not list or len(row) != count for row in rows):
        return None
    if "index" not in split:
        return Table(names, rows)
    return Table(names, rows, split["index"]) if is_index(split["index"], len(rows)) else None


def of_records(records: Any, names: list[Any] | None) -> Table | None:
    """The table of ``dataframe_records``, which all have the same names; in the order of ``names`` if possible."""
    if type(records) is not list or not records or type(records[0]) is not dict:
        return None
    first = records[0]
    if names is None or len(names) != len(first) or not all(name in first for name in names):
        names = list(first)
    count = len(names)
    try:
        if any(type(record) is not dict or len(record) != count for record in records):
            return None
        return Table(names, [[record[name] for name in names] for record in records])
    except KeyError:
        return None


def of_columns(columns: Any) -> Table | None:
    """The table of ``inputs`` by column."""
    if type(columns) is not dict or not columns or any(type(values) is not list for values in columns.values()):
        return None
    counts = set(map(len, columns.values()))
    return Table(list(columns), [list(row) for row in zip(*columns.values())]) if len(counts) == 1 else None


def unique_names(names: list[Any]) -> set[Any] | None:
    """The names; None when a name is no text or stands twice."""
    if set(map(type, names)) != {str}:
        return None
    present = set(names)
    return present if len(present) == len(names) else None


def is_index(index: Any, count: int) -> bool:
    """Whether these are whole numbers of 64 bits, one for each row."""
    if type(index) is not list or len(index) != count or set(map(type, index)) != {int}:
        return False
    return all(-_INT64 <= label < _INT64 for label in index)
