"""CSV for a signature of named columns. MLflow's own function reads the file; only the enforcement is left out."""

from __future__ import annotations

import io
from typing import Any, Callable, Sequence

from .columns import Column
from .rows import Rows
from .same import same_value

CSV = "text/csv"
_READ = frozenset(("double", "float", "long", "integer", "boolean", "string"))
"""Types of columns that MLflow reads from CSV into the very type that the signature asks for."""


class CsvRows:
    """The frame of one CSV file: a ``decoding.Batchable`` that is scored with no other request."""

    __slots__ = ("_frame", "count", "group", "params")

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.count = len(frame)
        self.group = object()
        self.params: Any = None

    def join(self, others: Sequence[CsvRows]) -> CsvRows:
        """These rows followed by others', for a trial: the group keeps requests apart."""
        import pandas as pd

        return CsvRows(pd.concat([self._frame, *(other._frame for other in others)], ignore_index=True))

    def row(self, index: int) -> CsvRows:
        """One row by itself."""
        return CsvRows(self._frame.iloc[index : index + 1].reset_index(drop=True))

    def varied(self) -> CsvRows:
        """The same rows."""
        return self

    def model_input(self) -> Any:
        """The frame, for one call of the model."""
        return self._frame.copy()

    def same_input(self, seen: Any) -> bool:
        """Whether MLflow made the same frame."""
        return same_value(seen, self._frame)

    def body(self) -> bytes:
        """A CSV file with a header."""
        return bytes(self._frame.to_csv(index=False).encode())


class CsvDecoder:
    """Decodes CSV files. ``parse``: MLflow's function, from a file and a schema to a frame."""

    def __init__(self, schema: Any, columns: Sequence[Column], parse: Callable[..., Any]) -> None:
        self._schema = schema
        self._parse = parse
        self._columns = columns
        self._names = [column.name for column in columns]

    def decode(self, body: bytes) -> CsvRows | None:
        """The rows of a file that has exactly the signature's columns, in order; None for any other file."""
        try:
            # pandas parses bytes; of a text it makes bytes first, which takes a fifth of the time.
            file: Any = io.BytesIO(body) if body.isascii() else io.StringIO(body.decode())
            frame = self._parse(file, self._schema)
        except Exception:  # MLflow's own way says what is wrong
            return None
        if not len(frame) or list(frame.columns) != self._names or type(frame.index).__name__ != "RangeIndex":
            return None
        for column, dtype in zip(self._columns, frame.dtypes):
            if dtype != column.dtype if column.dtype else str(dtype) not in ("object", "str", "string"):
                return None
        return CsvRows(frame)


def csv_decoder(
    schema: Any, columns: Sequence[Column], parse: Callable[..., Any], probe: Rows, seen: Callable[[bytes], Any]
) -> CsvDecoder | None:
    """The decoder, if decoder and MLflow make the same frame of a file made from the signature."""
    if not {column.kind for column in columns} <= _READ:
        return None
    decoder = CsvDecoder(schema, columns, parse)
    body = probe.model_input().to_csv(index=False).encode()
    made, found = decoder.decode(body), seen(body)
    proved = made is not None and found is not None and same_value(found[0], made.model_input())
    return decoder if proved else None
