"""Many numbers: from the bytes of a JSON body to one array, and to the frame or tensor that a model gets of the array.

simdjson, where the environment has it, reads numbers without making an object of each: a fourth of the time. Bodies
that are not only numbers go the usual way.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import Any, Iterable, Sequence

from .formats import SPLIT, may_hold_table
from .rows import Layout, frame_of
from .same import same_value

try:
    import simdjson as _simdjson

    simdjson: Any = _simdjson
except ImportError:
    simdjson = None

LARGE_BYTES = 16 * 1024
"""Of a body. For smaller ones the usual way is as fast."""

_MANY_CELLS = 2000
_BEYOND_64_BITS = 2.0**63
_TYPES = {"d": "float64", "i": "int64"}
_MOST_DIMENSIONS = 8


class Block:
    """Rows of numbers as one array of shape (rows, columns): a ``decoding.Batchable``.

    ``index``: labels of the rows, if the body has labels.
    """

    __slots__ = ("_index", "_layout", "_table", "count", "group", "params")

    def __init__(self, layout: Layout, table: Any, group: Any = None, index: list[int] | None = None) -> None:
        self._layout = layout
        self._table = table
        self._index = index
        self.count = len(table)
        self.group = ("block", group, index is None)
        self.params: Any = None

    def join(self, others: Sequence[Block]) -> Block:
        """These rows followed by others'."""
        import numpy as np

        parts = [self, *others]
        index = None if self._index is None else list(chain.from_iterable(part._index or () for part in parts))
        return self._with(np.concatenate([part._table for part in parts]), index)

    def row(self, index: int) -> Block:
        """One row by itself."""
        return self._with(self._table[index : index + 1], self._index and [self._index[index]])

    def varied(self) -> Block:
        """The same rows with other floats."""
        table = self._table * 1.5 + 0.25 if self._table.dtype.kind == "f" else self._table
        return self._with(table, self._index)

    def _with(self, table: Any, index: list[int] | None) -> Block:
        made = Block(self._layout, table, None, index)
        made.group, made.params = self.group, self.params
        return made

    def model_input(self) -> Any:
        """The frame."""
        return frame_of(self._table, self._layout, self._index)

    def same_input(self, seen: Any) -> bool:
        """Whether MLflow made the same frame."""
        return same_value(seen, self.model_input())

    def body(self) -> bytes:
        """A ``dataframe_split`` body."""
        split = {"columns": [column.name for column in self._layout.columns], "data": self._table.tolist()}
        document: dict[str, Any] = {SPLIT: split if self._index is None else {**split, "index": self._index}}
        return json.dumps(document if self.params is None else {**document, "params": self.params}).encode()


def number_table(rows: list[list[Any]], kind: str) -> Any:
    """Many parsed rows of columns of type double as one array; None for few rows, and for any other values."""
    import numpy as np

    if kind != "double" or len(rows) * len(rows[0]) <= _MANY_CELLS:
        return None
    if not set(map(type, chain.from_iterable(rows))) <= {float, int}:
        return None
    try:
        table = np.array(rows, dtype=np.float64)
    except OverflowError:
        return None
    return table if within_64_bits(table) else None


def read_large(body: bytes, shapes: Iterable[Any]) -> Any:
    """The input of a large body that has one field of numbers; None for any other body."""
    # A body may begin with a byte order mark, to simdjson but not to MLflow.
    if simdjson is None or body[:1] != b"{" or not may_hold_table(body):
        return None
    try:
        document = simdjson.Parser().parse(body)
        if len(document) != 1:
            return None
        (key,) = document.keys()
        value = document[key]  # not of items(), which makes objects of everything
        readers = (shape.read_numbers for shape in shapes if hasattr(shape, "read_numbers"))
        found = (read(key, value, body.count(b"[")) for read in readers)
        return next((one for one in found if one is not None), None)
    except (ValueError, TypeError, KeyError, RuntimeError):
        return None  # not only numbers, no JSON, or whole numbers beyond 64 bits


def fields_of(value: Any) -> int:
    """How many fields simdjson's object has, those of one name counted each; 0 for another value."""
    return len(value) if type(value) is simdjson.Object else 0


def list_of(value: Any) -> list[Any]:
    """simdjson's list as Python's; TypeError for another value."""
    if type(value) is not simdjson.Array:
        raise TypeError("no list")
    return list(value.as_list())


def table_of(rows: Any, width: int, brackets: int, kind: str) -> Any:
    """simdjson's rows as an array of shape (rows, width); None for rows of other lengths, and for no rows.

    ``brackets``: how many ``[`` there are; more than one for the rows and one for each row mean deeper lists.
    ``kind``: ``d`` (doubles) or ``i`` (whole numbers of 64 bits). ValueError or TypeError for other values.
    """
    if (
        type(rows) is not simdjson.Array
        or not width
        or not len(rows)
        or brackets != len(rows) + 1
        or not _has_shape(rows, (len(rows), width))
    ):
        return None
    table = _array(rows, kind).reshape(len(rows), width)
    return table if kind == "i" or within_64_bits(table) else None


def tensor_of(value: Any, brackets: int, kind: str) -> Any:
    """simdjson's nested lists as an array; None for lists of several lengths or of none. Otherwise as ``table_of``."""
    shape: list[int] = []
    inner = value
    while type(inner) is simdjson.Array and len(inner) and len(shape) < _MOST_DIMENSIONS:
        shape.append(len(inner))
        inner = inner[0]
    lists = [1]
    for size in shape[:-1]:
        lists.append(lists[-1] * size)
    if not shape or sum(lists) != brackets or not _has_shape(value, shape):
        return None
    return _array(value, kind).reshape(shape)


def _has_shape(value: Any, shape: Sequence[int]) -> bool:
    if type(value) is not simdjson.Array or len(value) != shape[0]:
        return False
    return len(shape) == 1 or all(_has_shape(inner, shape[1:]) for inner in value)


def _array(value: Any, kind: str) -> Any:
    import numpy as np

    return np.frombuffer(value.as_buffer(of_type=kind), dtype=_TYPES[kind])


def within_64_bits(table: Any) -> bool:
    """Whether no number may be a whole number beyond 64 bits, which MLflow keeps as an object."""
    import numpy as np

    return bool(np.abs(table).max() < _BEYOND_64_BITS)
