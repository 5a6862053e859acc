"""Random signatures, and random bodies that fit them, or nearly: for the fast path against MLflow's own way."""

from __future__ import annotations

import base64
import json
import random
import string
from typing import Any

import numpy as np
from worker_models import (
    Array,
    ColSpec,
    DataType,
    Map,
    ModelSignature,
    Object,
    ParamSchema,
    ParamSpec,
    Property,
    Schema,
    TensorSpec,
)

PLAIN = ("double", "float", "long", "integer", "boolean", "string", "datetime", "binary")
_EDGES = (2**24, 2**24 + 1, 2**31, -(2**31) - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 2**70)
_FLOATS = (0.0, -0.0, 1e-320, 5e-324, 1e300, 1e17, 1.7976931348623157e308, 3.4e38, 1e39, 2.0**63, 0.1, 1 / 3)
_TEXTS = ("", "a", "ü", "a\0", "\0", "\ud800", "nan", "null", "2024-01-02", "1", "x" * 40, "日本", "True")
_TENSORS = ("float64", "float32", "float16", "int64", "int32", "int8", "uint8", "uint64", "bool")


def whole(rng: random.Random) -> int:
    return rng.choice(_EDGES) if rng.random() < 0.05 else rng.randrange(-10, 1000)


def number(rng: random.Random) -> Any:
    if rng.random() < 0.1:
        return rng.choice(_FLOATS)
    return whole(rng) if rng.random() < 0.2 else rng.gauss(0, 100)


def date(rng: random.Random) -> Any:
    form = rng.choice(["{d}", "{d}T{t}", "{d} {t}", "{d}T{t}.{f}", "{d}T{t}Z", "{d}T{t}+02:00", "{y}/{m}/{n}"])
    year, month, day = rng.choice([1677, 1700, 1969, 1970, 2024, 2200, 2262]), rng.randint(1, 13), rng.randint(1, 31)
    clock = f"{rng.randint(0, 24):02}:{rng.randint(0, 60):02}:{rng.randint(0, 60):02}"
    fraction = "".join(rng.choices(string.digits, k=rng.randint(1, 7)))
    shown = f"{year:04}-{month:02}-{day:02}"
    return form.format(d=shown, t=clock, f=fraction, y=year, m=month, n=day)


def dates(rng: random.Random) -> Any:
    """Values of one column: mostly of one format, as pandas wants them."""
    rng_state, spread = rng.randrange(10**9), rng.random() < 0.1

    def one(_rng: random.Random) -> Any:
        if spread:
            return date(_rng)
        inner = random.Random(rng_state)
        pattern = inner.choice(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f"])
        when = np.datetime64("1970-01-01T00:00:00") + np.timedelta64(_rng.randrange(-(10**9), 4 * 10**9), "s")
        shown = when.item().strftime(pattern)
        return shown[: -inner.choice([0, 3])] or shown if pattern.endswith("f") else shown

    return one


def text(rng: random.Random) -> str:
    return rng.choice(_TEXTS) if rng.random() < 0.3 else "".join(rng.choices(string.ascii_letters, k=5))


def encoded(rng: random.Random) -> str:
    return text(rng) if rng.random() < 0.05 else base64.b64encode(rng.randbytes(rng.randrange(6))).decode()


_VALUES = {
    "double": number,
    "float": number,
    "long": whole,
    "integer": whole,
    "boolean": lambda rng: rng.random() < 0.5,
    "string": text,
    "binary": encoded,
}


def nested_type(rng: random.Random, depth: int = 0) -> Any:
    """The type of a column that holds lists and dicts."""
    scalar = rng.choice([DataType.double, DataType.long, DataType.string, DataType.boolean])
    kind = rng.randrange(3)
    inner = nested_type(rng, depth + 1) if depth < 2 and rng.random() < 0.3 else scalar
    if kind == 0:
        return Array(inner)
    if kind == 1:
        return Map(inner)
    return Object(
        [Property(name, scalar if name == "p" else inner, required=name == "p") for name in "pqr"[: 1 + depth]]
    )


def value_of(kind: Any, rng: random.Random) -> Any:
    """A JSON value of a type."""
    if rng.random() < 0.01:
        return rng.choice([None, 1, "x", [], {}])
    if isinstance(kind, Array):
        return [value_of(kind.dtype, rng) for _ in range(rng.randrange(4))]
    if isinstance(kind, Map):
        return {text(rng): value_of(kind.value_type, rng) for _ in range(rng.randrange(3))}
    if isinstance(kind, Object):
        given = [one for one in kind.properties if one.required or rng.random() < 0.6]
        return {one.name: value_of(one.dtype, rng) for one in given}
    if kind.name == "double":
        return rng.gauss(0, 1) if rng.random() < 0.95 else number(rng)
    return _VALUES.get(kind.name, number)(rng)


def signature(rng: random.Random) -> ModelSignature | None:
    """Columns of every type, tensors with names and without, parameters; or none at all."""
    shape = rng.random()
    params = None
    if rng.random() < 0.3:
        specs = [ParamSpec("t", "double", 1.5), ParamSpec("k", "long", 3), ParamSpec("s", "string", "x")]
        params = ParamSchema([*specs, ParamSpec("l", "double", [1.0, 2.0], (-1,))])
    if shape < 0.15:
        return None
    if shape < 0.35:
        dims = lambda: (-1 if rng.random() < 0.9 else 2, *rng.choices([-1, 2, 3], k=rng.randrange(3)))  # noqa: E731
        names = rng.choice([[None], [None], ["a"], ["a", "b"]])
        return ModelSignature(
            inputs=Schema([TensorSpec(np.dtype(rng.choice(_TENSORS)), dims(), name) for name in names]), params=params
        )
    one_kind = rng.choice(PLAIN) if rng.random() < 0.4 else None
    columns = []
    for place in range(rng.randint(1, 5)):
        kind = one_kind or (nested_type(rng) if rng.random() < 0.25 else rng.choice(PLAIN))
        columns.append(ColSpec(kind, f"c{place}", required=rng.random() < 0.8))
    return ModelSignature(inputs=Schema(columns), params=params)


def _columns_of(schema: Any, rng: random.Random) -> list[tuple[str, Any]]:
    if schema is None:
        names = [f"c{place}" for place in range(rng.randint(1, 4))]
        kinds = ("double", "long", "boolean", "string")
        one = rng.choice(kinds) if rng.random() < 0.4 else None
        return [(name, getattr(DataType, one or rng.choice(kinds))) for name in names]
    return [(spec.name or "x", spec.type) for spec in schema.inputs if spec.required or rng.random() < 0.5]


def _table(schema: Any, rng: random.Random) -> dict[str, Any]:
    """A body of rows."""
    columns = _columns_of(schema, rng)
    if rng.random() < 0.2:
        rng.shuffle(columns)
    rows = rng.randint(0, 4) if rng.random() < 0.1 else rng.randint(1, 4)
    cells = {}
    for name, kind in columns:
        make = dates(rng) if kind == DataType.datetime else lambda r, kind=kind: value_of(kind, r)
        nulls = rng.choice([0, 0, 0, 0.3, 1])
        cells[name] = [None if rng.random() < nulls else make(rng) for _ in range(rows)]
        if kind in (DataType.long, DataType.integer) and rng.random() < 0.1:
            cells[name] = [float(value) if type(value) is int else value for value in cells[name]]
    if rng.random() < 0.1:
        cells[rng.choice(["c0", "extra", "more"])] = [rng.choice([1, "x", None, [1]]) for _ in range(rows)]
    names, by_row = list(cells), [list(row) for row in zip(*cells.values(), strict=True)]
    shown = rng.random()
    if shown < 0.4:
        split = {"columns": names, "data": by_row}
        if rng.random() < 0.2:
            split["index"] = rng.choice([list(range(rows)), [5] * rows, [str(row) for row in range(rows)]])
        return {"dataframe_split": split}
    records = [dict(zip(names, row, strict=True)) for row in by_row]
    if rng.random() < 0.05 and records:
        records[0].popitem()
    if shown < 0.7:
        return {"dataframe_records": records}
    return {"inputs": cells} if shown < 0.9 else {rng.choice(["inputs", "instances"]): records}


def _array(shape: tuple[int, ...], make: Any, rng: random.Random) -> Any:
    if not shape:
        return make(rng) if rng.random() > 0.003 else rng.choice([None, "1.5", "x", True, 2**64, 1e400, []])
    return [_array(shape[1:], make, rng) for _ in range(shape[0])]


def _tensors(schema: Any, rng: random.Random) -> dict[str, Any]:
    """A body of lists of numbers."""
    rows = rng.randint(1, 3)
    arrays = {}
    specs = schema.inputs if schema is not None else [TensorSpec(np.dtype("float64"), (-1, *[2] * rng.randrange(3)))]
    for spec in specs:
        floats = [number, number, lambda r: r.gauss(0, 1), lambda r: r.randrange(100)]
        make = {"f": rng.choice(floats), "b": _VALUES["boolean"]}.get(spec.type.kind, lambda r: r.randrange(200))
        shape = tuple(rng.randint(1, 3) if size == -1 else size for size in spec.shape[1:])
        if rng.random() < 0.05:
            shape = (*shape, 2)
        arrays[spec.name] = _array((rows if spec.shape[0] == -1 else spec.shape[0], *shape), make, rng)
    key = rng.choice(["inputs", "instances"])
    if None in arrays:
        return {key: arrays[None]}
    if rng.random() < 0.5:
        return {key: arrays}
    return {key: [dict(zip(arrays, row, strict=False)) for row in zip(*arrays.values(), strict=False)]}


def body(found: ModelSignature | None, rng: random.Random) -> bytes:
    """A body for a signature."""
    schema = None if found is None else found.inputs
    tensors = schema.is_tensor_spec() if schema is not None else rng.random() < 0.3
    document = (_tensors if tensors and rng.random() < 0.97 else _table)(schema, rng)
    if rng.random() < 0.3 and (found is None or found.params is not None or rng.random() < 0.1):
        params = {"t": number(rng), "k": whole(rng), "s": text(rng), "l": [number(rng)], "other": 1}
        document["params"] = dict(rng.sample(sorted(params.items(), key=str), rng.randrange(4)))
    return json.dumps(document).encode()
