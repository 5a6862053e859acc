"""Lists and dicts in a cell, for columns of arrays, objects and maps.

MLflow checks such a cell value by value, with one pandas Series each. A converter makes the same cell at once, for
values of exactly the types that MLflow leaves as they are or turns into NumPy's scalars.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

Convert = Callable[[Any], Any]
"""From a JSON value to the cell; raises Other for a value that only MLflow's own way can judge."""

_INT64 = 2**63
_FLOAT64_EXACT = 2**53
_LISTS = ("double", "long", "boolean", "string")
"""Types of elements that MLflow takes from JSON. MLflow refuses JSON's numbers for ``float`` and ``integer`` here."""


class NoConversion(Exception):
    """A type that has no converter; the text names the type."""


class Other(Exception):
    """A value that the converter does not know."""


def takes(convert: Convert, values: Sequence[Any]) -> bool:
    """Whether a converter knows all values."""
    try:
        for value in values:
            convert(value)
    except Other:
        return False
    return True


def samples_of(convert: Convert) -> Sequence[Any]:
    """Four cells that the converter knows."""
    samples: Sequence[Any] = convert.samples  # type: ignore[attr-defined]
    return samples


def converter(kind: Any) -> Convert:
    """The converter of cells of a type of the signature; NoConversion when there is none."""
    name = type(kind).__name__
    if name == "Array":
        return _array(kind.dtype)
    if name == "Object":
        return _object(kind.properties)
    if name == "Map":
        return _map(kind.value_type)
    raise NoConversion(f"the type {kind!r}")


def _value(kind: Any) -> Convert:
    """The converter of a value within an object or a map."""
    return _scalar(kind.name) if type(kind).__name__ == "DataType" else converter(kind)


def _with(samples: Sequence[Any], convert: Convert) -> Convert:
    convert.samples = samples  # type: ignore[attr-defined]
    return convert


def _scalar(name: str) -> Convert:
    import numpy as np

    makers: dict[str, tuple[Any, Any, Sequence[Any]]] = {
        "double": (float, np.float64, (0.5, 1.5, -2.25, 3.0)),
        "long": (int, np.int64, (0, 1, -2, 3)),
        "boolean": (bool, np.bool_, (True, False, True, False)),
        "string": (str, str, ("a", "b", "c d", "ü")),
    }
    if name not in makers:
        raise NoConversion(f"values of type {name}")
    wanted, make, samples = makers[name]

    def convert(value: Any) -> Any:
        if type(value) is not wanted or (wanted is int and not -_INT64 <= value < _INT64) or odd_text(value):
            raise Other
        return make(value)

    return _with(samples, convert)


def _array(kind: Any) -> Convert:
    if type(kind).__name__ != "DataType":
        each = converter(kind)

        def convert_each(value: Any) -> Any:
            if type(value) is not list:
                raise Other
            return [each(one) for one in value]

        a, b, c, d = samples_of(each)
        return _with(([a], [b, c], [d], [a, b]), convert_each)
    if kind.name not in _LISTS:
        raise NoConversion(f"arrays of {kind.name}")
    element = _element_check(kind.name)

    def convert(value: Any) -> Any:
        if type(value) is not list or not element(value):
            raise Other
        return list(map(float, value)) if kind.name == "double" else list(value)

    a, b, c, d = samples_of(_scalar(kind.name))
    return _with(([a], [b, c], [d], [a, b]), convert)


def _element_check(name: str) -> Callable[[Any], bool]:
    """Whether the elements of one list have the types that MLflow leaves as they are. An empty list stays empty."""

    def check(values: Any) -> bool:
        types = set(map(type, values))
        if name == "double":
            # Whole numbers alone are not doubles to MLflow; beside a float they become floats.
            return types <= {float} or (types == {float, int} and max(map(abs, values)) <= _FLOAT64_EXACT)
        if name == "long":
            return types <= {int} and all(-_INT64 <= value < _INT64 for value in values)
        if name == "boolean":
            return types <= {bool}
        return types <= {str} and not any(map(odd_text, values))

    return check


def odd_text(value: Any) -> bool:
    """Whether NumPy or pandas would change a text: a zero at the end, or half a character."""
    return type(value) is str and ("\0" in value or not is_text(value))


def is_text(value: str) -> bool:
    """Whether a text has no half a character, which the standard library reads from JSON and pandas refuses."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _object(properties: Sequence[Any]) -> Convert:
    known = {one.name: _value(one.dtype) for one in properties}
    required = frozenset(one.name for one in properties if one.required)
    optional = known.keys() - required

    def convert(value: Any) -> Any:
        if type(value) is not dict or not required <= value.keys() or not value.keys() <= known.keys():
            raise Other
        return {name: None if one is None and name in optional else known[name](one) for name, one in value.items()}

    samples = [{name: samples_of(one)[number] for name, one in known.items()} for number in range(4)]
    return _with(samples, convert)


def _map(kind: Any) -> Convert:
    each = _value(kind)

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise Other
        return {key: each(one) for key, one in value.items()}

    a, b, c, d = samples_of(each)
    return _with(({"k": a}, {"k": b, "l": c}, {"m": d}, {"k": a}), convert)
