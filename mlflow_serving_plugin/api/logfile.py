"""Reads a piece of a log file that is being written and rotated."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

LONGEST_READ_BYTES = 1024 * 1024
TAIL_BYTES = 256 * 1024


def read_log(path: Path, offset: int | None, *, tail_bytes: int = TAIL_BYTES) -> tuple[str, int]:
    """The text from byte ``offset`` on, at most 1 MB, and the offset to go on from.

    ``offset`` None: the last ``tail_bytes``. One beyond the end means that the file was rotated: start again.
    Neither end splits a character. A file that is not there is empty.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = max(0, size - tail_bytes) if offset is None else offset
            start = 0 if start > size else start
            file.seek(start)
            data = file.read(LONGEST_READ_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return "", 0
    if offset is None and start > 0:
        start += _continuation_bytes(data)
        data = data[_continuation_bytes(data) :]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    unfinished = len(decoder.getstate()[0])
    return text, start + len(data) - unfinished


def _continuation_bytes(data: bytes) -> int:
    """How many bytes at the start belong to a character that began before."""
    return next((i for i, byte in enumerate(data[:3]) if byte & 0xC0 != 0x80), 0)
