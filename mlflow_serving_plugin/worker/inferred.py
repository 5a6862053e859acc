"""Tables for models without a signature: the frame that pandas infers from the values."""

from __future__ import annotations

import json
from typing import Any, Iterator, Sequence

from .columns import inferred_column
from .decoding import Trial
from .formats import RECORDS, SPLIT, of_records, of_split, unique_names
from .rows import Layout, Rows


class InferredTable:
    """Bodies for a model without a signature: the frame that pandas infers."""

    def __init__(self, max_cells: int) -> None:
        self._max_cells = max_cells
        self._proved: set[str] = set()

    def read(self, key: str, value: Any) -> Rows | None:
        """The rows of a body's one field, where each column holds values of one type."""
        if key not in self._proved:
            return None
        found = of_split(value) if key == SPLIT else of_records(value, None)
        if found is None or not found.rows or not found.names or unique_names(found.names) is None:
            return None
        names, rows, index = found
        if len(names) * max(len(rows), 400) > self._max_cells:
            return None
        columns = [inferred_column(name, values) for name, values in zip(names, zip(*rows))]
        known = [column for column in columns if column is not None]
        if len(known) < len(columns):
            return None
        forms = tuple((column.name, column.kind, column.found) for column in known)
        return Rows(Layout(known), rows, forms, index)

    def probes(self) -> list[Rows]:
        """None: nothing tells which columns the model has."""
        return []

    def _made_up(self) -> list[Rows]:
        samples: dict[str, Sequence[Any]] = {
            "a": (0.5, None, -2.25, 3),
            "b": ("a", None, "", "ü"),
            "c": (0, 1, -2, 3),
            "d": (True, False, True, False),
            "e": (0.5, 1.5, 2.5, 1e10),
            "f": ("a", "b", "c", "d"),
            "g": (None,) * 4,
        }
        rows = [list(row) for row in zip(*samples.values())]
        made = []
        for names in (samples, "ae", "c", "d", "bf", "g"):
            places = [list(samples).index(name) for name in names]
            cells = [[row[place] for place in places] for row in rows]
            columns = [inferred_column(name, values) for name, values in zip(names, zip(*cells))]
            made.append(Rows(Layout([column for column in columns if column is not None]), cells))
        return [*made, made[0].row(0)]

    def trials(self) -> Iterator[Trial]:
        """Rows of made-up columns, in both formats."""
        for probe in self._made_up():
            yield Trial(probe.body(), [(self._proved, SPLIT)], needed=True)
            indexed = Rows(probe._layout, probe.rows, None, [7, 0, -3, 7][: probe.count])
            yield Trial(indexed.body(), [(self._proved, SPLIT)], needed=True)
            names = json.loads(probe.body())[SPLIT]["columns"]
            records = [dict(zip(names, row)) for row in probe.rows]
            yield Trial(json.dumps({RECORDS: records}).encode(), [(self._proved, RECORDS)], needed=True)
