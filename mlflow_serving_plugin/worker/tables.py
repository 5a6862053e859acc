"""Tables: from parsed JSON to the rows that a model gets, for signatures of named columns."""

from __future__ import annotations

import json
from typing import Any, Iterator, Sequence

from .blocks import Block, fields_of, list_of, number_table, table_of, within_64_bits
from .columns import Column, NotCompilable, column_of
from .decoding import Trial
from .formats import INPUTS, INSTANCES, RECORDS, SPLIT, is_index, of_columns, of_records, of_split, unique_names
from .nested import odd_text
from .rows import Layout, Rows

_NUMBERS = {"double": ("d", 0.0), "float": ("d", 2.0**24), "long": ("i", 0.0), "integer": ("i", 2.0**31 - 1)}
"""By a column's type: as what simdjson reads the numbers, and up to which number the cast is exact (0: any)."""

_MOST_TRIALS = 16
_WIDE = 100
"""Columns. With more, MLflow takes long for each trial, and the worker tries less."""


class SignatureTable:
    """Bodies for a signature of named columns."""

    def __init__(self, schema: Any) -> None:
        self.columns = [column_of(name, spec) for name, spec in schema.input_dict().items()]
        if not self.columns:
            raise NotCompilable("the signature has no columns")
        shared: dict[tuple[str, bool], set[str]] = {}
        for column in self.columns:
            column.proved = shared.setdefault((column.kind, column.required), column.proved)
        self._names = [column.name for column in self.columns]
        self._required = {column.name for column in self.columns if column.required}
        self._layout = Layout(self.columns)
        self._one_kind = self.columns[0].kind if len({column.kind for column in self.columns}) == 1 else None
        self._proved: set[str] = set()
        """Formats, and ``optional``: columns may be missing."""

    def read(self, key: str, value: Any) -> Rows | Block | None:
        """The rows of a body's one field; None for rows that are not proved."""
        # The values of these become NumPy's before MLflow makes a frame of them.
        usual_only = key in (INPUTS, INSTANCES)
        if key not in self._proved or (usual_only and type(value) is not (dict if key == INPUTS else list)):
            return None
        if key == SPLIT:
            found = of_split(value)
        else:
            found = of_columns(value) if key == INPUTS else of_records(value, self._names)
        if found is None:
            return None
        names, rows, index = found
        if index is not None and "index" not in self._proved:
            return None
        layout, order = self._arranged(names, usual_only)
        if order is not None:
            rows = [[row[position] for position in order] for row in rows]
        return self._checked(layout, rows, index, usual_only) if rows and layout.columns else None

    def read_numbers(self, key: str, split: Any, brackets: int) -> Block | None:
        """The rows of a ``dataframe_split`` of numbers, which is simdjson's; None for any other body.

        ``brackets``: how many ``[`` the body has.
        """
        kind, most = _NUMBERS.get(self._one_kind or "", ("", 0.0))
        if not kind or key != SPLIT or key not in self._proved or not fields_of(split):
            return None
        labelled = "index" in split
        if fields_of(split) != 2 + labelled:
            return None
        names, index = list_of(split["columns"]), list_of(split["index"]) if labelled else None
        table = table_of(split["data"], len(names), brackets - 1 - labelled, kind)
        if table is None or (most and abs(table).max() > most):
            return None
        if index is not None and not ("index" in self._proved and is_index(index, len(table))):
            return None
        layout, order = self._arranged(names)
        if not layout.columns:
            return None
        table = table if order is None else table[:, order]
        return Block(layout, table.astype(layout.dtype, copy=False), self._group(layout), index)

    def read_arrays(self, kind: str, given: Sequence[tuple[str, Any]]) -> Block | None:
        """The rows of columns that came as bytes; None where JSON might make others of the same values."""
        import numpy as np

        type_, most = _NUMBERS.get(self._one_kind or "", ("", 0.0))
        names, arrays = [name for name, _ in given], [array.reshape(-1) for _, array in given]
        if kind != "pd" or not type_ or SPLIT not in self._proved or not len(arrays[0]):
            return None
        if any(array.dtype.kind != ("f" if type_ == "d" else "i") for array in arrays):
            return None
        layout, order = self._arranged(names)
        if not layout.columns:
            return None
        table = np.stack([arrays[place] for place in order] if order is not None else arrays, axis=1)
        table = table.astype("float64" if type_ == "d" else "int64", copy=False)
        # NaN is not below the limit either.
        if not (type_ == "i" or within_64_bits(table)) or (most and np.abs(table).max() > most):
            return None
        return Block(layout, table.astype(layout.dtype, copy=False), self._group(layout), None)

    def _arranged(self, names: list[Any], usual_only: bool = False) -> tuple[Layout, list[int] | None]:
        """The layout of a body with these columns, empty where MLflow may refuse them; where each of its columns is."""
        if names == self._names:
            return self._layout, None
        layout = Layout(self._present(names, usual_only))
        positions = {name: position for position, name in enumerate(names)} if layout.columns else {}
        return layout, [positions[column.name] for column in layout.columns]

    def _present(self, names: list[Any], usual_only: bool) -> Sequence[Column]:
        """The columns that a body has; none where MLflow may refuse the body's columns."""
        present = unique_names(names)
        if present is None or not self._required <= present:
            return ()
        columns = [column for column in self.columns if column.name in present]
        if len(columns) < len(self.columns) and "optional" not in self._proved:
            return ()
        return () if usual_only and len(columns) < len(present) else columns

    def _checked(
        self, layout: Layout, rows: list[list[Any]], index: list[int] | None, usual_only: bool
    ) -> Rows | Block | None:
        columns = layout.columns
        first = columns[0]
        if self._one_kind is not None and first.dtype is not None:
            table = number_table(rows, self._one_kind)
            if table is not None:
                return Block(layout, table, self._group(layout), index)
            if first.form([value for row in rows for value in row]) == first.usual:
                return Rows(layout, rows, self._group(layout), index)
        forms = [column.form(values) for column, values in zip(columns, zip(*rows))]
        if usual_only and not all(form == column.usual for column, form in zip(columns, forms)):
            return None
        if usual_only and any(odd_text(value) for row in rows for value in row):
            return None
        if not all(form in column.proved for column, form in zip(columns, forms)):
            return None
        return Rows(layout, rows, self._group(layout, forms), index)

    def _group(self, layout: Layout, forms: Sequence[str | None] | None = None) -> Any:
        """Rows that make the same types: of a column of text, the type depends on whether there are nulls."""
        names = None if layout is self._layout else tuple(column.name for column in layout.columns)
        texts = tuple(form for column, form in zip(layout.columns, forms or ()) if column.dtype is None)
        return (names, texts) if texts else names

    def probes(self) -> list[Rows]:
        """Several rows, and one row alone."""
        rows = [list(values) for values in zip(*(column.samples[column.usual] for column in self.columns))]
        group = self._group(self._layout, [column.usual for column in self.columns])
        return [Rows(self._layout, rows, group), Rows(self._layout, rows[:1], group)]

    def trials(self) -> Iterator[Trial]:
        """The usual form of each column first; then the other forms, as many in one body as there are columns."""
        usual = [(column.proved, column.usual) for column in self.columns]
        several, single = self.probes()
        yield Trial(several.body(), [*usual, (self._proved, SPLIT)], needed=True)
        data = [dict(zip(self._names, row)) for row in several.rows]
        yield Trial(json.dumps({RECORDS: data}).encode(), [(self._proved, RECORDS)])
        labelled = several if len(self._names) <= _WIDE else single
        labelled = Rows(self._layout, labelled.rows, None, [7, 0, -3, 7][: labelled.count])
        yield Trial(labelled.body(), [(self._proved, "index")])
        if len(self._names) <= _WIDE:
            yield Trial(single.body(), [(self._proved, SPLIT)], needed=True)
            by_column = {name: [row[place] for row in several.rows] for place, name in enumerate(self._names)}
            yield Trial(json.dumps({INPUTS: by_column}).encode(), [(self._proved, INPUTS)])
            yield Trial(json.dumps({INSTANCES: data}).encode(), [(self._proved, INSTANCES)])
        if len(self._required) < len(self._names):
            kept = [{name: one for name, one in record.items() if name in self._required} for record in data]
            yield Trial(json.dumps({RECORDS: kept}).encode(), [(self._proved, "optional")])
        for number in range(_MOST_TRIALS):
            trial = self._other_forms(number)
            if trial is None:
                return
            yield trial

    def _other_forms(self, number: int) -> Trial | None:
        """The trial in which each column has a form that has not been tried yet; None when all forms were tried."""
        turns: dict[tuple[str, bool], Iterator[str]] = {}
        per_kind: dict[tuple[str, bool], int] = {}
        for column in self.columns:
            key = (column.kind, column.required)
            per_kind[key] = per_kind.get(key, 0) + 1
        cells, allows = [], []
        for column in self.columns:
            key = (column.kind, column.required)
            if key not in turns:
                others = [form for form in column.samples if form != column.usual]
                turns[key] = iter(others[number * per_kind[key] : (number + 1) * per_kind[key]])
            form = next(turns[key], None)
            if form is not None:
                allows.append((column.proved, form))
            cells.append(column.samples[form or column.usual])
        return Trial(Rows(self._layout, [list(row) for row in zip(*cells)]).body(), allows) if allows else None
