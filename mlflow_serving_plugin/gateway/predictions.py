"""Turns a worker's predictions into the client's dialect. Pure, on bytes, without parsing where that can be had."""

from __future__ import annotations

import json
import re

_OPENING = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"predictions"[ \t\r\n]*:[ \t\r\n]*')
_STRING_OR_TOKEN = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")|-?Infinity|NaN')


def unwrap(body: bytes) -> bytes:
    """``X`` from ``{"predictions": X}``: cut out, since workers write just that with ``json.dump``.

    A body of another shape is parsed; one without predictions is returned as it is.
    """
    opening = _OPENING.match(body)
    if opening:
        end = body.rstrip()
        if end.endswith(b"}"):
            return end[opening.end() : -1]
    try:
        document = json.loads(body)
    except ValueError:
        return body
    if isinstance(document, dict) and "predictions" in document:
        return json.dumps(document["predictions"]).encode()
    return body


def null_for_nan(body: bytes) -> bytes:
    """JSON with ``null`` for each bare ``NaN``, ``Infinity`` and ``-Infinity``, which Python writes and JSON lacks.

    Strings that hold these words, and all else, keep their bytes.
    """
    if b"NaN" not in body and b"Infinity" not in body:
        return body
    return _STRING_OR_TOKEN.sub(lambda found: found[1] or b"null", body)
