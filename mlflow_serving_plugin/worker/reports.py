"""What a worker tells about itself: in files of its own, or, isolated from these files, to its keeper, who writes them.

The kinds are ``status`` (``status.StatusFile``) and ``counts`` (``counts.Counts``).
"""

from __future__ import annotations

import contextlib
import socket
from typing import Dict

STATUS, COUNTS = b"S", b"C"
LARGEST_BYTES = 64 * 1024
"""Of a report. The counts of a worker take less than 2 kB."""

_MOST_AT_ONCE = 64


class Reports:
    """The worker's end. A report that the keeper has no room for is lost: the next one replaces it."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)

    def send(self, kind: bytes, data: bytes) -> None:
        """Send one whole report. OSError when the keeper takes none now."""
        self._socket.send(kind + data)


def read_reports(keeper_end: socket.socket) -> Dict[bytes, bytes]:
    """The last report of each kind that has come since; from a worker that may send anything."""
    found: Dict[bytes, bytes] = {}
    with contextlib.suppress(OSError):
        for _ in range(_MOST_AT_ONCE):
            report = keeper_end.recv(LARGEST_BYTES + 1, socket.MSG_DONTWAIT)
            if not report:
                break
            if len(report) <= LARGEST_BYTES:
                found[report[:1]] = report[1:]
    return found
