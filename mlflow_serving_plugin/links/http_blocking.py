"""The ``http`` protocol from threads: HTTP/1.1 on a worker's unix socket, with the standard library."""

from __future__ import annotations

import http.client
import select
import threading
import time
from collections import deque
from dataclasses import dataclass

from mlflow_serving_plugin.links.base import IDLE_S, LinkContext, LiveAddresses, took_too_long
from mlflow_serving_plugin.links.calls import LostError, WorkerCall, WorkerReply
from mlflow_serving_plugin.links.unix_http import UnixHTTPConnection

_LARGEST_READ = 1 << 20


@dataclass(slots=True)
class _Idle:
    connection: UnixHTTPConnection
    since: float


class _Pools:
    """Idle connections by address. Thread-safe."""

    def __init__(self, live: LiveAddresses) -> None:
        self._live = live
        self._idle: dict[str, deque[_Idle]] = {}
        self._lock = threading.Lock()

    def take(self, address: str) -> UnixHTTPConnection | None:
        """A connection that seems alive, out of the pool; None when there is none."""
        with self._lock:
            self._drop_gone()
            pool = self._idle.get(address, deque())
            while pool:
                idle = pool.pop()
                if time.monotonic() - idle.since < IDLE_S and not _readable(idle.connection, 0):
                    return idle.connection
                idle.connection.close()
        return None

    def give_back(self, address: str, connection: UnixHTTPConnection) -> None:
        """Keep a connection for the next call, unless its worker is gone."""
        with self._lock:
            self._drop_gone()
            if address in self._live:
                self._idle.setdefault(address, deque()).append(_Idle(connection, time.monotonic()))
                return
        connection.close()

    def close(self) -> None:
        """Close all that are idle."""
        with self._lock:
            for pool in self._idle.values():
                for idle in pool:
                    idle.connection.close()
            self._idle.clear()

    def _drop_gone(self) -> None:
        if not self._live.changed():
            return
        for address in [address for address in self._idle if address not in self._live]:
            for idle in self._idle.pop(address):
                idle.connection.close()


class BlockingHttpLink:
    """A small pool of connections per worker, shared by the threads of a web worker."""

    def __init__(self, context: LinkContext) -> None:
        self._surroundings = context
        self._pools = _Pools(LiveAddresses(context.snapshot))

    def call(self, call: WorkerCall) -> WorkerReply:
        """The worker's answer."""
        deadline = time.monotonic() + call.timeout_s
        kept = self._pools.take(call.worker.address)
        if kept is not None:
            reply = self._exchange(kept, call, deadline, reused=True)
            if reply is not None:
                return reply
        fresh = UnixHTTPConnection(call.worker.address, call.timeout_s)
        try:
            fresh.connect()
        except OSError as error:
            # After a broken kept connection the request may have been what ended the worker: it counts as sent.
            raise LostError(f"Worker {call.worker.worker_id}: {error}", sent=kept is not None) from error
        reply = self._exchange(fresh, call, deadline, reused=False)
        if reply is None:
            raise LostError(f"Worker {call.worker.worker_id} closed the connection.", sent=True)
        return reply

    def close(self) -> None:
        """Close all idle connections."""
        self._pools.close()

    def _exchange(
        self, connection: UnixHTTPConnection, call: WorkerCall, deadline: float, *, reused: bool
    ) -> WorkerReply | None:
        """The answer; None when a reused connection broke before anything was received."""
        received = False
        try:
            _limit(connection, deadline)
            connection.request("POST", "/invocations", call.body, {"Content-Type": call.content_type})
            _limit(connection, deadline)
            response = connection.getresponse()
            received = True
            body = _read(connection, response, deadline)
        except TimeoutError:
            self._watch_overdue(connection, call)
            raise took_too_long(call) from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if reused and not received:
                return None
            raise LostError(f"Worker {call.worker.worker_id}: {error or type(error).__name__}", sent=True) from error
        if connection.sock is None or response.will_close:
            connection.close()
        else:
            self._pools.give_back(call.worker.address, connection)
        return WorkerReply(response.status, response.getheader("Content-Type", ""), body)

    def _watch_overdue(self, connection: UnixHTTPConnection, call: WorkerCall) -> None:
        def watch() -> None:
            try:
                # Readable: it answers, or it has ended; the answer itself is wanted by nobody any more.
                if not _readable(connection, self._surroundings.overdue_grace_s):
                    self._surroundings.nudge(call.overdue)
            finally:
                connection.close()

        threading.Thread(target=watch, name="overdue-prediction", daemon=True).start()


def _limit(connection: UnixHTTPConnection, deadline: float) -> None:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    if connection.sock is not None:
        connection.sock.settimeout(remaining)


def _read(connection: UnixHTTPConnection, response: http.client.HTTPResponse, deadline: float) -> bytes:
    chunks: list[bytes] = []
    while chunk := response.read1(_LARGEST_READ):
        chunks.append(chunk)
        _limit(connection, deadline)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    # read1() leaves a response open that it has read to its end, and the connection could not be used again.
    response.close()
    return b"".join(chunks)


def _readable(connection: UnixHTTPConnection, timeout_s: float) -> bool:
    if connection.sock is None:
        return True
    poller = select.poll()
    poller.register(connection.sock, select.POLLIN)
    return bool(poller.poll(timeout_s * 1000))
