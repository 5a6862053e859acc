"""Tensors: from lists of numbers to the arrays that a model gets, for tensor signatures and for models without one."""

from __future__ import annotations

import json
from typing import Any, Iterator, Mapping, Sequence

from .arrays import array_of, as_type, castable, fits, inferred
from .blocks import tensor_of
from .columns import NotCompilable
from .decoding import Trial
from .formats import INPUTS, INSTANCES
from .same import same_value

_KINDS = "fiub"
"""NumPy's kinds of floats, whole numbers and booleans."""

_LARGEST_TRIED = 1_000_000
"""Numbers of a made-up tensor."""

_FEW_ROWS_OVER = 10_000


class Arrays:
    """Decoded tensors by name, all with the same number of rows: a ``decoding.Batchable``.

    A tensor without a name stands under None.
    """

    __slots__ = ("_arrays", "count", "group", "params")

    def __init__(self, arrays: Mapping[Any, Any], params: Any = None) -> None:
        self._arrays = arrays
        self.count = len(next(iter(arrays.values())))
        self.group = tuple((name, array.shape[1:], array.dtype.str) for name, array in arrays.items())
        self.params = params

    def join(self, others: Sequence[Arrays]) -> Arrays:
        """These rows followed by others'."""
        import numpy as np

        parts = [self, *others]
        return self._with({name: np.concatenate([one._arrays[name] for one in parts]) for name in self._arrays})

    def row(self, index: int) -> Arrays:
        """One row by itself."""
        return self._with({name: array[index : index + 1].copy() for name, array in self._arrays.items()})

    def varied(self) -> Arrays:
        """The same rows with other floats."""
        return self._with(
            {
                name: (array * 1.5 + 0.25).astype(array.dtype) if array.dtype.kind == "f" else array
                for name, array in self._arrays.items()
            }
        )

    def _with(self, arrays: Mapping[Any, Any]) -> Arrays:
        return Arrays(arrays, self.params)

    def model_input(self) -> Any:
        """The array, or the dict of arrays. For one call of the model: the model may change its input."""
        if None in self._arrays:
            return self._arrays[None].copy()
        return {name: array.copy() for name, array in self._arrays.items()}

    def same_input(self, seen: Any) -> bool:
        """Whether MLflow made the same arrays."""
        return same_value(seen, self.model_input())

    def body(self) -> bytes:
        """An ``inputs`` body."""
        lists = {name: array.tolist() for name, array in self._arrays.items()}
        document = {INPUTS: lists.get(None, lists)}
        return json.dumps(document if self.params is None else {**document, "params": self.params}).encode()


class SignatureTensors:
    """Bodies for a signature of tensors of numbers."""

    def __init__(self, schema: Any) -> None:
        self._specs = schema.input_dict() if schema.has_input_names() else {None: schema.inputs[0]}
        self._proved: set[str] = set()
        for name, spec in self._specs.items():
            if getattr(spec.type, "kind", "") not in _KINDS or not spec.shape:
                which = f"the tensor {name!r}" if name else "the tensor"
                raise NotCompilable(f"{which} is not one of numbers")

    def read(self, key: str, value: Any) -> Arrays | None:
        """The arrays of ``inputs`` or ``instances``."""
        lists = self._by_name(key, value) if key in self._proved else None
        if lists is None:
            return None
        arrays = {}
        for name, spec in self._specs.items():
            array = array_of(lists[name], spec.type)
            if array is None or not fits(array.shape, spec.shape):
                return None
            arrays[name] = array
        return Arrays(arrays) if len(set(map(len, arrays.values()))) == 1 else None

    def read_numbers(self, key: str, value: Any, brackets: int) -> Arrays | None:
        """The one array of ``inputs`` or ``instances``, which is simdjson's; None for any other body.

        ``brackets``: how many ``[`` the body has.
        """
        ((name, spec),) = self._specs.items() if len(self._specs) == 1 else ((None, None),)
        if spec is None or spec.type.kind not in "fi" or key not in self._proved:
            return None
        array = tensor_of(value, brackets, "d" if spec.type.kind == "f" else "i")
        if array is None or not fits(array.shape, spec.shape) or not castable(array, spec.type):
            return None
        return Arrays({name: array.astype(spec.type, copy=False)})

    def read_arrays(self, kind: str, given: Sequence[tuple[str, Any]]) -> Arrays | None:
        """The arrays of tensors that came as bytes; None where JSON might make others of the same values."""
        names = [name for name, _ in given]
        if INPUTS not in self._proved or len(given) != len(self._specs) or kind == "pd":
            return None
        if kind == "dict" and set(names) != set(self._specs):
            return None
        found = dict(given) if kind == "dict" else dict(zip(self._specs, (array for _, array in given)))
        arrays = {}
        for name, spec in self._specs.items():
            array = as_type(found[name], spec.type)
            if array is None or not fits(array.shape, spec.shape):
                return None
            arrays[name] = array
        return Arrays(arrays) if len(set(map(len, arrays.values()))) == 1 else None

    def _by_name(self, key: str, value: Any) -> Mapping[Any, Any] | None:
        names = self._specs.keys()
        if type(value) is dict:
            return value if key == INPUTS and value.keys() == names else None
        if type(value) is not list or not value:
            return None
        if type(value[0]) is not dict:
            return dict.fromkeys(names, value) if len(names) == 1 else None
        same_names = all(type(row) is dict and row.keys() == names for row in value)
        return {name: [row[name] for row in value] for name in names} if key == INSTANCES and same_names else None

    def probes(self) -> list[Arrays]:
        """Small numbers in the signature's shapes: two rows where the rows are small."""
        import numpy as np

        arrays: dict[Any, Any] = {}
        for name, spec in self._specs.items():
            inner = [3 if size == -1 else size for size in spec.shape[1:]]
            size = int(np.prod(inner))
            rows = (1 if size > _FEW_ROWS_OVER else 2) if spec.shape[0] == -1 else spec.shape[0]
            if size * rows > _LARGEST_TRIED or not size:
                raise NotCompilable("the tensor is too large to be tried when the model is loaded")
            numbers = np.arange(rows * size) % 7
            arrays[name] = (numbers / 4 if spec.type.kind == "f" else numbers % 2).astype(spec.type)
            arrays[name] = arrays[name].reshape([rows, *inner])
        return [Arrays(arrays)] if len(set(map(len, arrays.values()))) == 1 else []

    def trials(self) -> Iterator[Trial]:
        """All rows as ``inputs`` and as ``instances``, and one row alone."""
        for probe in self.probes():
            body = probe.body()
            yield Trial(body, [(self._proved, INPUTS)], needed=True)
            if all(spec.shape[0] == -1 for spec in self._specs.values()):
                yield Trial(probe.row(0).body(), [(self._proved, INPUTS)], needed=True)
            rows = json.loads(body)[INPUTS]
            if isinstance(rows, dict):
                rows = [dict(zip(rows, row)) for row in zip(*rows.values())]
            yield Trial(json.dumps({INSTANCES: rows}).encode(), [(self._proved, INSTANCES)])


class InferredTensors:
    """Lists of numbers for a model without a signature: the array that NumPy infers."""

    def __init__(self) -> None:
        self._proved: set[str] = set()

    def read(self, key: str, value: Any) -> Arrays | None:
        """The array of a list, or the arrays of a dict of lists."""
        if key not in self._proved:
            return None
        lists = value if key == INPUTS and type(value) is dict else {None: value}
        arrays = {name: inferred(one) for name, one in lists.items()}
        found = {name: array for name, array in arrays.items() if array is not None}
        if not found or len(found) < len(arrays) or len(set(map(len, found.values()))) != 1:
            return None
        return Arrays(found)

    def probes(self) -> list[Arrays]:
        """None: nothing tells which shape the model takes."""
        return []

    def trials(self) -> Iterator[Trial]:
        """Made-up numbers."""
        for value in ([0.5, -2.25, 3], [[1, 2], [3, 4]], [[[0.5, 1e10]]], {"a": [0.5, 2], "b": [[1], [2]]}):
            yield Trial(json.dumps({INPUTS: value}).encode(), [(self._proved, INPUTS)])
            if type(value) is list:
                yield Trial(json.dumps({INSTANCES: value}).encode(), [(self._proved, INSTANCES)])
