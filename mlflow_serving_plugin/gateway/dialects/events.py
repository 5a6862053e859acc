"""Answers that come event by event (``stream: true``), written as MLflow's agent server and OpenAI write them.

Server-sent events: a ``data:`` line of JSON for each event, an error as ``{"error": …}``, and ``[DONE]`` last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

EVENT_STREAM = "text/event-stream; charset=utf-8"
HEADERS = [
    ("Content-Type", EVENT_STREAM),
    ("Cache-Control", "no-cache"),
    # nginx would keep events back until it has some kilobytes of them.
    ("X-Accel-Buffering", "no"),
]
DONE = b"data: [DONE]\n\n"


def asks_for_stream(body: bytes) -> bool:
    """Whether a body is a JSON object with ``"stream": true``. A body without the word is not parsed."""
    if b'"stream"' not in body:
        return False
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("stream") is True


def write_events(events: Sequence[bytes]) -> bytes:
    """Events, each a JSON text in one line."""
    return b"".join([b"data: " + event + b"\n\n" for event in events])


def write_error(error: object) -> bytes:
    """The event about an error: the last before ``[DONE]``."""
    return write_events([json.dumps({"error": error}).encode()])
