"""Values as they stand in JSON, for models whose signature comes from type hints: the model itself validates them."""

from __future__ import annotations

import copy
import json
from typing import Any, Iterator, Sequence

from .decoding import Trial
from .formats import INPUTS
from .same import same_value


class Values:
    """A list of decoded values: a ``decoding.Batchable``."""

    __slots__ = ("_values", "count", "group", "params")

    def __init__(self, values: list[Any], params: Any = None) -> None:
        self._values = values
        self.count = len(values)
        self.group: Any = None
        self.params = params

    def join(self, others: Sequence[Values]) -> Values:
        """These values followed by others'."""
        return self._with([value for one in (self, *others) for value in one._values])

    def row(self, index: int) -> Values:
        """One value by itself."""
        return self._with([self._values[index]])

    def varied(self) -> Values:
        """The same values: nothing tells which others the model takes."""
        return self._with(self._values)

    def _with(self, values: list[Any]) -> Values:
        made = Values(copy.deepcopy(values), self.params)
        made.group = self.group
        return made

    def model_input(self) -> Any:
        """The list."""
        return self._values

    def same_input(self, seen: Any) -> bool:
        """Whether MLflow hands over the same values."""
        return same_value(seen, self._values)

    def body(self) -> bytes:
        """An ``inputs`` body."""
        document = {INPUTS: self._values}
        return json.dumps(document if self.params is None else {**document, "params": self.params}).encode()


class TypeHintValues:
    """Bodies for a signature from type hints."""

    def __init__(self) -> None:
        self._proved: set[str] = set()

    def read(self, key: str, value: Any) -> Values | None:
        """The list of ``inputs``."""
        return Values(value) if key in self._proved and type(value) is list else None

    def probes(self) -> list[Values]:
        """None: only the model knows which values the model takes."""
        return []

    def trials(self) -> Iterator[Trial]:
        """Values of every JSON type."""
        values: list[Any] = [1, 2.5, "a", True, None, [1], {"a": [0.5]}]
        yield Trial(Values(values).body(), [(self._proved, INPUTS)], needed=True)
