"""Columns of a table: of which form the JSON values of one column are, and what MLflow makes of each form.

A form is a kind of values that MLflow treats alike, such as "numbers" or "numbers and nulls". A column takes only
forms in ``proved``, which the worker fills at start after MLflow has built the same column (``proof``).
"""

from __future__ import annotations

import base64
import re
from typing import Any, Callable, Iterable, Sequence

from . import nested

_INT32 = 2**31
_INT64 = 2**63
_FLOAT32_EXACT = 2**24
_FLOAT64_EXACT = 2**53
_NUMBERS = frozenset((float, int))
_NONE = type(None)
_DATE = re.compile(r"(\d{4})-\d\d-\d\d(?:([T ])\d\d:\d\d:\d\d(\.\d{1,6})?)?", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1700, 2200
"""Nanoseconds since 1970 hold these years."""

PLAIN, SOME_NULL, ALL_NULL, FLOATS = "plain", "some null", "all null", "floats"

_FEW_FLOATS = (0.0, 1.5, -2.25, 3)
_FEW_WHOLE = (0, 1, -2, 3)
_FEW_DATES = {
    "date": ("2024-02-29", "1999-12-31", "2024-01-02", "2030-06-01"),
    "T": ("2024-02-29T23:59:59", "1999-12-31T00:00:00", "2024-01-02T03:04:05", "2030-06-01T12:00:00"),
    " ": ("2024-02-29 23:59:59", "1999-12-31 00:00:00", "2024-01-02 03:04:05", "2030-06-01 12:00:00"),
    "T.": ("2024-02-29T23:59:59.999", "1999-12-31T00:00:00.000", "2024-01-02T03:04:05.678", "2030-06-01T12:00:00.010"),
    " .": ("2024-02-29 23:59:59.999", "1999-12-31 00:00:00.000", "2024-01-02 03:04:05.678", "2030-06-01 12:00:00.010"),
}
_WITH_NULLS = (0.25, None, 3, None)

_TYPES: dict[str, tuple[str | None, dict[str, Sequence[Any]]]] = {
    "double": ("float64", {PLAIN: _FEW_FLOATS, SOME_NULL: _WITH_NULLS, ALL_NULL: (None,) * 4}),
    "float": ("float32", {PLAIN: _FEW_FLOATS, SOME_NULL: _WITH_NULLS, ALL_NULL: (None,) * 4}),
    "long": ("int64", {PLAIN: _FEW_WHOLE, FLOATS: (1.0, -2.0, 3, 4.0)}),
    "integer": ("int32", {PLAIN: _FEW_WHOLE, FLOATS: (1.0, -2.0, 3, 4.0)}),
    "boolean": (
        "bool",
        {PLAIN: (True, False, True, False), SOME_NULL: (True, None, False, None), ALL_NULL: (None,) * 4},
    ),
    "string": (None, {PLAIN: ("a", "b", "", "ü"), SOME_NULL: ("a", None, "", None), ALL_NULL: (None,) * 4}),
    "datetime": (
        "datetime64[ns]",
        {
            **_FEW_DATES,
            **{f"{form}, {SOME_NULL}": (values[0], None, values[1], None) for form, values in _FEW_DATES.items()},
            ALL_NULL: (None,) * 4,
        },
    ),
    "binary": (None, {PLAIN: ("YWJj", "", "/+8=", "AA==")}),
}
"""By a column's type in the signature: the NumPy type (None: pandas infers the type), and a few values of each form."""


class NotCompilable(Exception):
    """The signature or the model cannot have the fast path; the text says why."""


class Column:
    """One column: ``name``, ``kind`` (type in the signature), ``dtype`` (NumPy type), ``samples`` of each form.

    ``usual``: the form without which the column is of no use. ``proved``: the forms that the column takes.
    """

    def __init__(self, name: str, kind: str, required: bool = True, convert: nested.Convert | None = None) -> None:
        self.name = name
        self.kind = kind
        self.required = required
        self.dtype, self.samples = _TYPES[kind] if convert is None else (None, {PLAIN: nested.samples_of(convert)})
        self.usual = next(iter(self.samples))
        self.proved: set[str] = set()
        self.found: str | None = None
        """Of a column that was inferred from values: the form of the values."""
        self._convert = convert

    def form(self, values: Sequence[Any]) -> str | None:
        """The form of a column's values; None for values that are of no known form."""
        types = set(map(type, values))
        if self._convert is not None:
            return PLAIN if nested.takes(self._convert, values) else None
        if _NONE not in types:
            return _form(self.kind, types, values)
        rest = [value for value in values if value is not None]
        if not rest:
            return ALL_NULL
        form = _form(self.kind, types - {_NONE}, rest)
        if form == PLAIN and int in types and not all(_small(value) for value in rest):
            return None  # pandas keeps large whole numbers beside nulls as objects
        return SOME_NULL if form == PLAIN else form and f"{form}, {SOME_NULL}"

    def array(self, values: Sequence[Any]) -> Any:
        """What pandas makes a column of."""
        import numpy as np

        if self._convert is not None:
            return list(map(self._convert, values))
        if self.kind == "binary":
            return [base64.decodebytes(value.encode()) for value in values]
        return list(values) if self.dtype is None else np.array(values, dtype=self.dtype)


def column_of(name: Any, spec: Any) -> Column:
    """The column of a signature's entry; NotCompilable for a type that MLflow converts in ways of its own."""
    kind, required = getattr(spec.type, "name", ""), getattr(spec, "required", True)
    if not isinstance(name, str):
        raise NotCompilable(f"the name of column {name!r} is no text")
    if kind in _TYPES:
        return Column(name, kind, required)
    try:
        return Column(name, repr(spec.type), required, nested.converter(spec.type))
    except nested.NoConversion as error:
        raise NotCompilable(f"column {name!r} has {error}, which needs a conversion") from None


def inferred_column(name: str, values: Sequence[Any]) -> Column | None:
    """The column that pandas infers from values, where there is no signature; None when pandas may infer another."""
    types = set(map(type, values)) - {_NONE}
    if types == {str} or not types:
        kind = "string"
    elif types == {bool}:
        kind = "boolean"
    elif types == {int} and None not in values:
        kind = "long"
    elif types == {float} or (types == _NUMBERS and all(map(_small, values))):
        kind = "double"
    else:
        return None
    column = Column(name, kind)
    column.proved = {PLAIN} if kind in ("boolean", "long") else {PLAIN, SOME_NULL, ALL_NULL}
    column.found = column.form(values)
    return column if column.found in column.proved else None


def _form(kind: str, types: set[type], values: Sequence[Any]) -> str | None:
    """The form of values without nulls."""
    if kind in _NO_NUMBERS:
        wanted, form = _NO_NUMBERS[kind]
        return form(values) if types == {wanted} else None
    # Whole numbers beyond 64 bits are floats to orjson, but objects to MLflow.
    if not types <= _NUMBERS or not _within(values, _INT64):
        return None
    if kind in ("long", "integer"):
        if types == {int}:
            return PLAIN if _within(values, _INT64 if kind == "long" else _INT32) else None
        return FLOATS if _within(values, _INT32) and all(map(_whole, values)) else None
    return PLAIN if kind == "double" or int not in types or _exact_in_float32(values) else None


def _date_form(values: Sequence[str]) -> str | None:
    """The one form that all values have: pandas reads a column in the format of its first value."""
    found = [_DATE.fullmatch(value) for value in values]
    if not all(match is not None and _FIRST_YEAR <= int(match[1]) <= _LAST_YEAR for match in found):
        return None
    forms = {("" if match[2] is None else match[2] + ("." if match[3] else "")) for match in found if match}
    if len(forms) != 1 or not _are_dates(values):
        return None
    return forms.pop() or "date"


def _are_dates(values: Sequence[str]) -> bool:
    """Whether the calendar has them."""
    import numpy as np

    try:
        np.array(values, dtype="datetime64[ns]")
    except ValueError:
        return False
    return True


def _is_base64(value: str) -> bool:
    try:
        base64.decodebytes(value.encode())
    except ValueError:  # also for half a character
        return False
    return True


def _within(values: Sequence[Any], limit: int) -> bool:
    """Whether all values are within the limit; NaN among the values may make this False."""
    return bool(-limit <= min(values) and max(values) < limit)


def _small(value: Any) -> bool:
    """Whether pandas makes the same double of a whole number, wherever the number stands."""
    return type(value) is not int or -_FLOAT64_EXACT <= value <= _FLOAT64_EXACT


def _whole(value: Any) -> bool:
    return type(value) is int or float(value).is_integer()


def _exact_in_float32(values: Iterable[Any]) -> bool:
    return all(-_FLOAT32_EXACT <= value <= _FLOAT32_EXACT for value in values if type(value) is int)


_NO_NUMBERS: dict[str, tuple[type, Callable[[Sequence[Any]], str | None]]] = {
    "datetime": (str, _date_form),
    "binary": (str, lambda values: PLAIN if all(map(_is_base64, values)) else None),
    "string": (str, lambda values: PLAIN if nested.is_text("".join(values)) else None),
    "boolean": (bool, lambda _values: PLAIN),
}
"""By a column's type: the type of JSON's values, and the form of such values."""
