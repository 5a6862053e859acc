"""The end of a request whose body has not been read: the client must be able to read why.

Closing a connection with unread bytes resets it, and the reset takes an answer that is still on its way. Many clients
send their whole body before they look for an answer. So the answer is sent first, and the rest of the body is read and
thrown away, for a limited time and up to a limited size: what nginx and RFC 9112, section 9.6, call lingering close.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

_logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_PAUSE_S = 5.0
_LONGEST_S = 30.0
_LONGEST_IN_A_THREAD_S = 10.0
"""gunicorn's synchronous web workers serve nobody else meanwhile."""

_AT_ONCE_S = 0.01
_WAITING_THREADS = 3
"""Of each gunicorn web worker, for clients that were answered and have not sent their whole body yet."""

_DEFERRED_S = 30
"""After that the kernel drops a connection on which nothing came."""

_OPEN_FILES = Path("/proc/self/fd")

_waiting = threading.BoundedSemaphore(_WAITING_THREADS)

_SHORT_BYTES = 256 * 1024
_MOST_BYTES = 256 * 1024 * 1024
_CHUNK = 1 << 16


async def send_last(receive: Receive, send: Send, message: Message) -> None:
    """ASGI: send the last message of an answer whose request body has not been read to its end."""
    # The server ends the request with the last message, so the last message comes when the body has ended.
    await send({**message, "more_body": True})
    if await _read_to_end(receive):
        await send({"type": "http.response.body", "body": b""})
    else:
        cut_off(send)


def cut_off(send: Send) -> None:
    """ASGI: close the client's connection at once, so that the client can tell that the answer's body is not whole."""
    # Closing would wait for the client. Without the attribute, uvicorn closes the connection when the app returns.
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()


async def _read_to_end(receive: Receive) -> bool:
    """Whether the client has sent the rest of its body within the limits, or has left."""
    loop = asyncio.get_running_loop()
    ends, most = loop.time() + _LONGEST_S, _MOST_BYTES
    while most > 0 and (left_s := ends - loop.time()) > 0:
        try:
            message = await asyncio.wait_for(receive(), min(_PAUSE_S, left_s))
        except asyncio.TimeoutError:
            return False
        if not message.get("more_body"):
            return True
        most -= len(message.get("body", b""))
    return False


def read_around(answer: Iterable[bytes], environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """WSGI: the answer; a short rest of the request body is read before the answer, a long rest after the answer.

    For gunicorn, which tells its socket. waitress reads each body before it calls the app.
    """
    connection = environ.get("gunicorn.socket")
    if connection is None:
        return answer
    response = getattr(start_response, "__self__", None)
    return _read_around(answer, environ["wsgi.input"], connection, getattr(response, "force_close", lambda: None))


def _read_around(
    answer: Iterable[bytes], body: Any, connection: socket.socket, close: Callable[[], None]
) -> Iterator[bytes]:
    """``close``: have gunicorn close the connection after the answer.

    gunicorn (20 to 26) loses a next request whose first bytes come together with the end of a body, and the next
    request comes as soon as there is an answer. So after an early answer the connection is not used again.
    """
    # Whoever has not sent a short rest yet is waited for by few threads at a time, so that others stay free.
    waits = _waiting.acquire(blocking=False)
    try:
        left = _read_on(body, connection, _SHORT_BYTES, _PAUSE_S if waits else _AT_ONCE_S)
        if left is not None:
            close()
        elif waits:
            _waiting.release()
            waits = False
        yield from answer
        if left is not None and not (waits and _read_on(body, connection, _MOST_BYTES, _LONGEST_IN_A_THREAD_S) is None):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
    finally:
        if waits:
            _waiting.release()
        if hasattr(answer, "close"):
            answer.close()


def _read_on(body: Any, connection: socket.socket, most: int, longest_s: float) -> int | None:
    """None when the client has sent the rest of its body; else how much of ``most`` has not been read.

    gunicorn loses the beginning of a piece in which the client pauses for too long: such a body has no end any more.
    """
    ends, timeout_s = time.monotonic() + longest_s, connection.gettimeout()
    try:
        while most > 0 and (left_s := ends - time.monotonic()) > 0:
            connection.settimeout(min(_PAUSE_S, left_s))
            chunk = body.read(_CHUNK)
            if not chunk:
                return None
            most -= len(chunk)
    except Exception:  # gunicorn has its own errors for a body that ends early or is no body
        _logger.debug("The rest of a request body could not be read.", exc_info=True)
    finally:
        with contextlib.suppress(OSError):
            connection.settimeout(timeout_s)
    return max(0, most)


def defer_accept() -> None:
    """gunicorn on Linux: have the kernel keep a new connection until the client has sent something.

    gunicorn takes one of its threads for each connection that it accepts, and waits 5 s in the thread for the first
    byte. Elsewhere, and for a server of one's own making, nothing changes.
    """
    option: int | None = getattr(socket, "TCP_DEFER_ACCEPT", None)
    if option is None or not _OPEN_FILES.is_dir():
        return
    for number in [int(entry.name) for entry in _OPEN_FILES.iterdir()]:
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as found:
                    if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        found.setsockopt(socket.IPPROTO_TCP, option, _DEFERRED_S)


def path_of(scope: Message) -> str:
    """The path without the server's ``--root-path``, which uvicorn puts before it. Of an ASGI scope."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root + "/") else path
