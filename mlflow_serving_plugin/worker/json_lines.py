"""One JSON line a connection, and one line for an answer: what the zygote speaks on its socket."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

_LARGEST = 64 * 1024 * 1024
_TIMEOUT_S = 5.0
"""For sending a request and for taking its answer: meanwhile the zygote serves no other request."""


def read_line(connection: socket.socket) -> bytes:
    """A whole line. OSError when it is cut short, too long, or takes too long."""
    data = bytearray()
    deadline = time.monotonic() + _TIMEOUT_S
    while not data.endswith(b"\n"):
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        piece = connection.recv(1 << 16)
        if not piece or len(data) > _LARGEST:
            raise OSError("a request to the zygote was cut short")
        data += piece
    return bytes(data)


def reply(connection: socket.socket, answer: dict[str, Any]) -> None:
    """Send an answer. OSError."""
    connection.settimeout(_TIMEOUT_S)
    connection.sendall(json.dumps(answer).encode() + b"\n")
