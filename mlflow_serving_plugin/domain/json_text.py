"""JSON as Python writes it, and as everybody else reads it. Pure."""

from __future__ import annotations

import re

_STRING_OR_TOKEN = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")|-?Infinity|NaN')


def null_for_nan(body: bytes) -> bytes:
    """JSON with ``null`` for each bare ``NaN``, ``Infinity`` and ``-Infinity``, which Python writes and JSON lacks.

    Strings that hold these words, and everything else, keep their bytes.
    """
    if b"NaN" not in body and b"Infinity" not in body:
        return body
    return _STRING_OR_TOKEN.sub(lambda found: found[1] or b"null", body)
