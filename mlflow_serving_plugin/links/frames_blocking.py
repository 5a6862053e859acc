"""The ``frames`` protocol from threads: a small pool of connections per worker, one request at a time on each."""

from __future__ import annotations

import threading
import time
import weakref
from functools import partial

from mlflow_serving_plugin.host.messages import Overdue
from mlflow_serving_plugin.links.base import LinkContext, LiveAddresses, WorkerCall, WorkerReply
from mlflow_serving_plugin.links.event_queue import EVENT_STREAM, first_credit
from mlflow_serving_plugin.links.frames_connection import DroppedError, FrameConnection
from mlflow_serving_plugin.links.pulse import SILENT, Node, Pulses
from mlflow_serving_plugin.links.stream_blocking import BlockingStream
from mlflow_serving_plugin.relay.proof import Address, parse_address
from mlflow_serving_plugin.worker import wire
from mlflow_serving_plugin.worker.wire import WireError

_CONNECT_S = 5.0
_CONNECT_FAR_S = 2.0
"""To another host, which answers at once or is lost."""


class BlockingFrameLink:
    """Connections to workers, shared by the threads of a web worker."""

    def __init__(self, context: LinkContext) -> None:
        self._context = context
        self._live = LiveAddresses(context.snapshot)
        self._idle: dict[str, list[FrameConnection]] = {}
        self._lock = threading.Lock()
        self._heard_at: dict[str, float] = {}
        """When each worker last answered, by its address and the monotonic clock."""
        self._far: dict[Node, weakref.WeakSet[FrameConnection]] = {}
        """Connections to other hosts, by their nodes."""
        self._pulses = Pulses(self._lose)

    def call(self, call: WorkerCall) -> WorkerReply:
        """The worker's answer."""
        connection = self._take(call)
        try:
            if call.careful:
                connection.ping(call.timeout_s)
            if call.stream:
                return self._begin_stream(connection, call)
            response = connection.call(call.content_type, call.body, call.timeout_s, call.context)
        except DroppedError as dropped:
            self._give_back(call.worker.address, connection)
            raise (call.timed_out() if dropped.late else call.lost(dropped, sent=False)) from None
        except TimeoutError:
            self._watch_overdue(connection, call)
            raise call.timed_out() from None
        except (OSError, WireError) as error:
            connection.close()
            # A worker says hello before it scores anything.
            sent = connection.sent and connection.greeted
            raise call.lost(error, sent=sent) from error
        self._heard_at[call.worker.address] = time.monotonic()
        traces = connection.traces
        self._give_back(call.worker.address, connection)
        return WorkerReply(response.status, response.content_type, response.body, response.times_us, traces)

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
            self._idle.clear()
        self._pulses.close()

    def _begin_stream(self, connection: FrameConnection, call: WorkerCall) -> WorkerReply:
        """The answer with its first event, or the error that the worker has answered instead."""
        deadline = time.monotonic() + call.timeout_s
        frame_id = connection.send(call.content_type, call.body, call.timeout_s, wire.STREAM, call.context)
        connection.write(first_credit(frame_id))
        frame = connection.receive(frame_id, deadline)
        self._heard_at[call.worker.address] = time.monotonic()
        if frame.kind == wire.RESPONSE:
            traces, response = connection.traces, wire.decode_response(frame)
            self._give_back(call.worker.address, connection)
            return WorkerReply(response.status, response.content_type, response.body, response.times_us, traces)
        stream = BlockingStream(
            call,
            frame_id,
            connection,
            give_back=partial(self._give_back, call.worker.address, connection),
            overdue=partial(self._watch_overdue, connection, call),
        )
        traces = connection.traces
        stream.push(frame)
        return WorkerReply(200, EVENT_STREAM, stream, traces=traces)

    def _take(self, call: WorkerCall) -> FrameConnection:
        with self._lock:
            self._drop_gone()
            idle = self._idle.get(call.worker.address, [])
            while idle:
                connection = idle.pop()
                if connection.alive():
                    return connection
                connection.close()
        try:
            far = parse_address(call.worker.address)
            return FrameConnection(call.worker.address, _CONNECT_S) if far is None else self._open_far(far, call)
        except (OSError, WireError) as error:
            raise call.lost(error, sent=False) from error

    def _open_far(self, far: Address, call: WorkerCall) -> FrameConnection:
        """A connection to another host, which ends when the host falls silent."""
        if self._pulses.silent(far, call.worker.secret):
            raise ConnectionError(SILENT)
        connection = FrameConnection(call.worker.address, _CONNECT_FAR_S, call.worker.secret)
        with self._lock:
            self._far.setdefault(far.node, weakref.WeakSet()).add(connection)
        return connection

    def _lose(self, node: Node) -> None:
        """A node is silent: its requests are for other workers."""
        with self._lock:
            connections = list(self._far.pop(node, ()))
        for connection in connections:
            connection.break_off(SILENT)

    def _give_back(self, address: str, connection: FrameConnection) -> None:
        with self._lock:
            self._drop_gone()
            if address in self._live:
                self._idle.setdefault(address, []).append(connection)
                return
        connection.close()

    def _drop_gone(self) -> None:
        if not self._live.changed():
            return
        self._pulses.keep(self._live.addresses)
        self._heard_at = {address: at for address, at in self._heard_at.items() if address in self._live}
        for address in [address for address in self._idle if address not in self._live]:
            for connection in self._idle.pop(address):
                connection.close()

    def _watch_overdue(self, connection: FrameConnection, call: WorkerCall) -> None:
        """Report the worker when there is no sign of life for as long as a prediction may take.

        A request that could not even be sent in time only shows that the worker was busy with other requests.
        """
        if not connection.sent:
            connection.close()
            return
        sent_at = time.monotonic() - call.timeout_s
        connection.cancel()

        def watch() -> None:
            wait_s = self._context.overdue_grace_s
            try:
                while not connection.readable(wait_s):
                    heard_at = max(sent_at, self._heard_at.get(call.worker.address, sent_at))
                    wait_s = call.timeout_s - (time.monotonic() - heard_at)
                    if wait_s <= 0:
                        self._context.nudge(Overdue(call.worker.worker_id))
                        return
            finally:
                connection.close()

        threading.Thread(target=watch, name="overdue-prediction", daemon=True).start()
