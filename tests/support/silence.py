"""Connections that send the head of a request and then nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from support.server import TrackingServer

ENABLE = "/api/2.0/mlflow/endpoints/enable"


@contextlib.contextmanager
def silent(server: TrackingServer, count: int, **headers: str) -> Iterator[list[socket.socket]]:
    """Connections that send the head of a request, and no byte of its body."""
    lines = [f"POST {server.prefix}{ENABLE} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Content-Length: 100"]
    head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "\r\n"]).encode()
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30)) for _ in range(count)
        ]
        for connection in sockets:
            connection.sendall(head)
        yield sockets
