"""Rows of a table, and the frame that a model gets of them."""

from __future__ import annotations

import json
from typing import Any, Sequence

from .columns import Column
from .formats import SPLIT
from .same import same_value


class Layout:
    """The columns of a frame, in order. ``dtype``: the NumPy type that all have; None for several types."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = columns
        dtypes = {column.dtype for column in columns}
        self.dtype = dtypes.pop() if len(dtypes) == 1 else None
        self._names: Any = None

    def names(self) -> Any:
        """The names, for one frame: a model may change them."""
        import pandas as pd

        if self._names is None:
            self._names = pd.Index([column.name for column in self.columns])
        return self._names.view()


class Rows:
    """Decoded rows, each in the layout's order: a ``decoding.Batchable``. Cells are JSON's values.

    ``index``: labels of the rows, if the body has labels.
    """

    __slots__ = ("_index", "_layout", "count", "group", "params", "rows")

    def __init__(self, layout: Layout, rows: list[list[Any]], group: Any = (), index: list[int] | None = None) -> None:
        self._layout = layout
        self._index = index
        self.rows = rows
        self.count = len(rows)
        self.group = (group, index is None)
        self.params: Any = None

    def join(self, others: Sequence[Rows]) -> Rows:
        """These rows followed by others'."""
        rows = list(self.rows)
        index = None if self._index is None else list(self._index)
        for other in others:
            rows += other.rows
            if index is not None:
                index += other._index or ()
        return self._with(rows, index)

    def row(self, index: int) -> Rows:
        """One row by itself."""
        return self._with([self.rows[index]], None if self._index is None else [self._index[index]])

    def varied(self) -> Rows:
        """The same rows with other floats."""
        rows = [[value * 1.5 + 0.25 if type(value) is float else value for value in row] for row in self.rows]
        return self._with(rows, self._index)

    def _with(self, rows: list[list[Any]], index: list[int] | None) -> Rows:
        made = Rows(self._layout, rows, None, index)
        made.group, made.params = self.group, self.params
        return made

    def model_input(self) -> Any:
        """The frame, laid out in memory as MLflow's: a model's last digit can depend on that."""
        import numpy as np
        import pandas as pd

        layout = self._layout
        if layout.dtype is not None:
            return frame_of(np.array(self.rows, dtype=layout.dtype), layout, self._index)
        arrays = (column.array(values) for column, values in zip(layout.columns, zip(*self.rows)))
        # Numbered first: pandas 3 would build an Arrow array of the names for each request.
        frame = pd.DataFrame(dict(enumerate(arrays)), self._index)
        frame.columns = layout.names()
        return frame

    def same_input(self, seen: Any) -> bool:
        """Whether MLflow made the same frame."""
        return same_value(seen, self.model_input())

    def body(self) -> bytes:
        """A ``dataframe_split`` body."""
        split = {"columns": [column.name for column in self._layout.columns], "data": self.rows}
        document: dict[str, Any] = {SPLIT: split if self._index is None else {**split, "index": self._index}}
        if self.params is not None:
            document["params"] = self.params
        return json.dumps(document).encode()


def frame_of(table: Any, layout: Layout, index: list[int] | None) -> Any:
    """The frame of an array of shape (rows, columns), laid out in memory as MLflow's."""
    import numpy as np
    import pandas as pd

    block = np.array(table.T, order="C")  # a copy: the model may change its input
    return pd.DataFrame(block.T, index, layout.names(), copy=False)
