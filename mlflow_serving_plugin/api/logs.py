"""Pieces of log files, as the control APIs hand them out."""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass
from pathlib import Path

LONGEST_READ_BYTES = 1024 * 1024
TAIL_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A piece of a log. ``offset``: where the piece begins; ``next_offset``: where to read on; all in bytes."""

    logs: str
    offset: int = 0
    next_offset: int = 0
    total_bytes: int = 0
    """The size of the whole log."""


def read_log(path: Path, offset: int | None, *, tail_bytes: int = TAIL_BYTES) -> LogPiece:
    """The text from byte ``offset`` on, at most 1 MB.

    ``offset`` None: the last ``tail_bytes``, from the first line that begins there. An offset beyond the end means
    that the file was rotated: read from the start. Neither end splits a character. A missing file is empty.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = max(0, size - tail_bytes) if offset is None else offset
            start = 0 if start > size else start
            file.seek(start)
            data = file.read(LONGEST_READ_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return LogPiece("")
    if offset is None and start > 0:
        cut = data.find(b"\n", 0, -1) + 1 or _continuation_bytes(data)
        start, data = start + cut, data[cut:]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    unfinished = len(decoder.getstate()[0])
    return LogPiece(text, start, start + len(data) - unfinished, max(size, start + len(data)))


def _continuation_bytes(data: bytes) -> int:
    """The number of bytes at the start that belong to a character that began before."""
    return next((i for i, byte in enumerate(data[:3]) if byte & 0xC0 != 0x80), 0)
