"""From a JSON body straight to the frame that a model gets, for signatures of plain columns.

``decode`` takes only bodies with exactly the signature's columns and values of exactly the signature's types. For any
other body ``decode`` returns None, and MLflow's own way decides.
"""

from __future__ import annotations

import json
from typing import Any, Iterable, Sequence

try:  # twice as fast, where the environment has it
    import orjson

    _loads: Any = orjson.loads
except ImportError:
    _loads = json.loads

_INT32 = 2**31
_INT64 = 2**63
_FLOAT32_EXACT = 2**24
_NUMBERS = frozenset((float, int))
_FEW_FLOATS = (0.0, 1.5, -2.25, 3)
_FEW_WHOLE = (0, 1, -2, 3)
_TYPES: dict[str, tuple[str | None, Sequence[Any]]] = {
    "double": ("float64", _FEW_FLOATS),
    "float": ("float32", _FEW_FLOATS),
    "long": ("int64", _FEW_WHOLE),
    "integer": ("int32", _FEW_WHOLE),
    "boolean": ("bool", (True, False, True, False)),
    "string": (None, ("a", "b", "", "ü")),
}
"""By a column's type in the signature: the NumPy type (None: pandas infers the type), and a few values."""


class NotCompilable(Exception):
    """The signature or the model cannot have the fast path; the text says why."""


class Column:
    """One column: name, type in the signature, NumPy type, and a few values to try the model on."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.dtype, self.probes = _TYPES[kind]

    def takes(self, values: Sequence[Any]) -> bool:
        """Whether MLflow's cast of these values changes no value in a way of its own."""
        types = set(map(type, values))
        if self.kind == "string":
            return types == {str}
        if self.kind == "boolean":
            return types == {bool}
        if self.kind in ("double", "float"):
            # Whole numbers beyond 64 bits are floats to orjson, but objects to MLflow.
            if not types <= _NUMBERS or not _within(values, _INT64):
                return False
            return self.kind == "double" or int not in types or _exact_in_float32(values)
        return types == {int} and _within(values, _INT64 if self.kind == "long" else _INT32)


class CompiledSignature:
    """A signature of plain columns: a ``decoding.BodyDecoder``."""

    def __init__(self, columns: list[Column]) -> None:
        self._columns = columns
        self._names = [column.name for column in columns]
        self._name_set = frozenset(self._names)
        kinds = {column.kind for column in columns}
        self._only = columns[0] if len(kinds) == 1 and columns[0].dtype is not None else None

    def decode(self, body: bytes) -> Rows | None:
        """The rows of a ``dataframe_records`` or ``dataframe_split`` body; None for any other body."""
        try:
            document = _loads(body)
        except (ValueError, RecursionError):
            return None
        if type(document) is not dict or len(document) != 1:
            return None
        ((key, value),) = document.items()
        if key == "dataframe_records":
            rows = self._records(value)
        elif key == "dataframe_split":
            rows = self._split(value)
        else:
            return None
        return Rows(self, rows) if rows and self._valid(rows) else None

    def frame(self, rows: list[list[Any]]) -> Any:
        """The frame for decoded rows, laid out in memory as MLflow's: a model's last digit can depend on that."""
        import numpy as np
        import pandas as pd

        if self._only is not None:
            block = np.ascontiguousarray(np.array(rows, dtype=self._only.dtype).T)
            return pd.DataFrame(block.T, columns=self._names, copy=False)
        columns = zip(*rows)
        return pd.DataFrame(
            {
                column.name: list(values) if column.dtype is None else np.array(values, dtype=column.dtype)
                for column, values in zip(self._columns, columns)
            }
        )

    def probes(self) -> list[Rows]:
        """Several rows, and one row alone."""
        rows = [list(values) for values in zip(*(column.probes for column in self._columns))]
        return [Rows(self, rows), Rows(self, rows[:1])]

    def body_of(self, rows: list[list[Any]]) -> bytes:
        """A body that holds these rows."""
        return json.dumps({"dataframe_split": {"columns": self._names, "data": rows}}).encode()

    def _records(self, records: Any) -> list[list[Any]] | None:
        if type(records) is not list:
            return None
        names, count = self._names, len(self._names)
        try:
            if any(len(record) != count for record in records):
                return None
            return [[record[name] for name in names] for record in records]
        except (TypeError, KeyError):
            return None

    def _split(self, split: Any) -> list[list[Any]] | None:
        if type(split) is not dict or not split.keys() <= {"columns", "data", "index"}:
            return None
        names, rows = split.get("columns"), split.get("data")
        if type(names) is not list or type(rows) is not list or not _plain_index(split, len(rows)):
            return None
        count = len(self._names)
        if any(type(row) is not list or len(row) != count for row in rows):
            return None
        return rows if names == self._names else self._reordered(names, rows)

    def _reordered(self, names: list[Any], rows: list[list[Any]]) -> list[list[Any]] | None:
        if set(map(type, names)) != {str} or len(names) != len(self._names) or self._name_set != set(names):
            return None
        positions = {name: position for position, name in enumerate(names)}
        order = [positions[name] for name in self._names]
        return [[row[position] for position in order] for row in rows]

    def _valid(self, rows: list[list[Any]]) -> bool:
        if self._only is not None:
            return self._only.takes([value for row in rows for value in row])
        return all(column.takes(values) for column, values in zip(self._columns, zip(*rows)))


class Rows:
    """Decoded rows, each in the signature's order: a ``decoding.Batchable``."""

    __slots__ = ("_signature", "count", "rows")

    def __init__(self, signature: CompiledSignature, rows: list[list[Any]]) -> None:
        self._signature = signature
        self.rows = rows
        self.count = len(rows)

    def join(self, others: Sequence[Rows]) -> Rows:
        """These rows followed by others'."""
        rows = list(self.rows)
        for other in others:
            rows += other.rows
        return Rows(self._signature, rows)

    def row(self, index: int) -> Rows:
        """One row by itself."""
        return Rows(self._signature, [self.rows[index]])

    def varied(self) -> Rows:
        """The same rows with other floats."""
        varied = [[value * 1.5 + 0.25 if isinstance(value, float) else value for value in row] for row in self.rows]
        return Rows(self._signature, varied)

    def model_input(self) -> Any:
        """The frame."""
        return self._signature.frame(self.rows)

    def same_input(self, seen: Any) -> bool:
        """Whether MLflow made the same frame."""
        return same_frame(seen, self.model_input())

    def body(self) -> bytes:
        """A ``dataframe_split`` body."""
        return self._signature.body_of(self.rows)


def compile_schema(model: Any, schema: Any) -> CompiledSignature:
    """The fast path of a model; NotCompilable when it has a signature that needs MLflow's own way."""
    if not hasattr(model, "_predict_fn"):
        raise NotCompilable("this MLflow has another way to the model")
    if schema is None:
        raise NotCompilable("the model has no signature")
    if schema.is_tensor_spec() or not schema.has_input_names():
        raise NotCompilable("the signature is not one of named columns")
    metadata = model.metadata
    if metadata.get_params_schema() is not None:
        raise NotCompilable("the model takes parameters")
    for special in ("_is_signature_from_type_hint", "_is_type_hint_from_example"):
        if getattr(metadata, special, bool)():
            raise NotCompilable("the signature comes from type hints")
    columns = []
    for name, spec in schema.input_dict().items():
        kind = getattr(spec.type, "name", "")
        if kind not in _TYPES or not isinstance(name, str):
            raise NotCompilable(f"column {name!r} has a type that needs a conversion")
        columns.append(Column(name, kind))
    if not columns:
        raise NotCompilable("the signature has no columns")
    return CompiledSignature(columns)


def same_frame(one: Any, other: Any) -> bool:
    """Whether two frames are the same to the bit: values, types, columns and index."""
    import pandas as pd

    if not isinstance(one, pd.DataFrame) or list(one.columns) != list(other.columns):
        return False
    return bool((one.dtypes == other.dtypes).all() and one.equals(other) and one.index.equals(other.index))


def _plain_index(split: dict[str, Any], count: int) -> bool:
    """Whether the body has no index, or the index that pandas would make: a model may look at the index."""
    if "index" not in split:
        return True
    index = split["index"]
    return type(index) is list and index == list(range(count)) and set(map(type, index)) == {int}


def _within(values: Sequence[Any], limit: int) -> bool:
    """Whether all values are within the limit; NaN among the values may make this False."""
    return bool(-limit <= min(values) and max(values) < limit)


def _exact_in_float32(values: Iterable[Any]) -> bool:
    return all(-_FLOAT32_EXACT <= value <= _FLOAT32_EXACT for value in values if type(value) is int)
