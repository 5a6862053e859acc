"""How many cells a body has, as far as its bytes tell without being parsed. Pure.

A cell is a value of a table or a tensor. A body of a few bytes a cell becomes a hundred times as many bytes when it is
parsed, so the cells are bounded and not the bytes alone. What only parsing can tell, the worker checks
(``worker/cells.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from mlflow_serving_plugin.errors import BadRequestError
from mlflow_serving_plugin.gateway.dialects.content_type import CSV, PARQUET

SMALL_BYTES = 16 * 1024
"""Bodies up to this size cannot have enough cells to matter."""

_OF_A_LIST = 6
"""A list of JSON costs as much memory as so many values."""

_OF_AN_OBJECT = 15
"""An object of JSON does, beside its values."""

_OF_AN_EMPTY_ONE = 50
"""MLflow takes microseconds for each row, also for one without a value."""

_OF_A_COLUMN = 400
"""A column costs as much as so many values, also when it has none."""

_OF_A_LINE = re.compile(rb"[^\r\n]")

_COMMA, _SPACE = ord(","), ord(" ")
_BRACKETS = ((ord("["), ord("]"), _OF_A_LIST), (ord("{"), ord("}"), _OF_AN_OBJECT))
_PIECE = 256 * 1024
"""Bytes that are looked at together, so that looking takes little memory."""


def refuse_too_many_cells(content_type: str, body: bytes, most: int) -> None:
    """BadRequestError for a body of more than ``most`` cells. ``content_type``: a supported one, as it was sent."""
    mime = content_type.partition(";")[0].strip().lower()
    if mime == PARQUET:
        return
    cells = _of_csv(body) if mime == CSV else _of_json(body)
    if cells > most:
        raise BadRequestError(
            f"The body has more cells than max_cells allows: about {cells}, where the limit is {most}. Send fewer rows "
            "in one request, or set the endpoint's max_cells."
        )


def _of_json(body: bytes) -> int:
    """Each value but the last of a list or an object is followed by a comma. Commas in texts count too."""
    array, cells = np.frombuffer(body, dtype=np.uint8), 1
    # NumPy compares as many bytes at once as fit into a register; bytes.count takes ten times as long.
    for start in range(0, len(array), _PIECE):
        piece = array[start : start + _PIECE]
        cells += int(np.count_nonzero(piece == _COMMA))
        for opening, closing, cost in _BRACKETS:
            places = np.flatnonzero(piece == opening)
            places += start + 1
            then = array.take(places, mode="clip")
            empty = np.count_nonzero(then == closing)
            spaces = places[then == _SPACE]
            empty += np.count_nonzero(array.take(spaces + 1, mode="clip") == closing)
            cells += cost * len(places) + _OF_AN_EMPTY_ONE * int(empty)
    return cells


def _of_csv(body: bytes) -> int:
    """pandas takes the number of columns from the header or from the first row, whichever has more."""
    columns = 1 + max(body.count(b",", *line) for line in _first_lines(body))
    return columns * max(_OF_A_COLUMN, body.count(b"\n") + body.count(b"\r"))


def _first_lines(body: bytes) -> Iterator[tuple[int, int]]:
    """Where the first two lines that are not empty begin and end; the end of a body that has fewer."""
    start = 0
    for _ in range(2):
        found = _OF_A_LINE.search(body, start)
        start = found.start() if found else len(body)
        ends = [end for mark in (b"\r", b"\n") if (end := body.find(mark, start)) >= 0]
        end = min(ends, default=len(body))
        yield start, end
        start = end
