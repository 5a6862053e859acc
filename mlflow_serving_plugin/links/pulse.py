"""Finds nodes that are frozen or cut off the network: a connection to each relay, with a byte to and fro.

A worker cannot be asked: a ping to a worker is answered between two calls of its model, which may take minutes. The
relay of its node has nothing else to do. A connection of its own, because that of the requests may be full of them.
Silence is counted in bytes without an answer and not by the clock, so that a busy gateway does not blame the node.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Collection
from contextlib import closing

from mlflow_serving_plugin.links.tcp import RefusedError, connect
from mlflow_serving_plugin.relay.proof import PULSE, Address, parse_address

BEAT_S = 0.35
MOST_MISSED = 4
"""Beats in a row without an answer, after which a node is silent: found within 1.8 s."""

SILENT = "its node gives no sign of life"
Node = tuple[str, int]


class Pulse:
    """One node, watched by a thread from the start on. ``lost`` is called, in that thread, when the node falls silent.

    ``silent``: whether the node does not answer now.
    """

    def __init__(self, address: Address, secret: str, lost: Callable[[], object], purpose: bytes = PULSE) -> None:
        self._worker = address, secret
        self._lost = lost
        self._purpose = purpose
        self._stop = threading.Event()
        self.silent = False
        threading.Thread(target=self._run, name="pulse of a node", daemon=True).start()

    def use(self, address: Address, secret: str) -> None:
        """The worker whose secret opens the next connection: the one before may be gone by then."""
        self._worker = address, secret

    def stop(self) -> None:
        """End the thread soon."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with closing(connect(*self._worker, BEAT_S * MOST_MISSED, self._purpose)) as connection:
                    self.silent = False
                    self._beat(connection)
            except RefusedError:
                # Only a node that lives refuses.
                self.silent = False
            except OSError:
                if not self.silent and not self._stop.is_set():
                    self.silent = True
                    self._lost()
            self._stop.wait(BEAT_S)

    def _beat(self, connection: socket.socket) -> None:
        """Until the node is silent or the relay ends: OSError."""
        connection.settimeout(BEAT_S)
        missed = 0
        while not self._stop.wait(0 if missed else BEAT_S):
            connection.send(b".")
            try:
                if not connection.recv(64):
                    raise ConnectionResetError("the relay ended")
                missed = 0
            except TimeoutError:
                missed += 1
                if missed >= MOST_MISSED:
                    raise


class Pulses:
    """The nodes that a link has workers on. Thread-safe."""

    def __init__(self, lost: Callable[[Node], object]) -> None:
        self._lost = lost
        self._lock = threading.Lock()
        self._by_node: dict[Node, Pulse] = {}

    def silent(self, address: Address, secret: str) -> bool:
        """Whether a worker's node is silent. From the first time on, the node is watched."""
        node = address.node
        with self._lock:
            pulse = self._by_node.get(node)
            if pulse is None:
                self._by_node[node] = Pulse(address, secret, lambda: self._lost(node))
                return False
        pulse.use(address, secret)
        return pulse.silent

    def keep(self, live: Collection[str]) -> None:
        """Watch no nodes but those of these addresses."""
        nodes = {found.node for address in live if (found := parse_address(address)) is not None}
        with self._lock:
            for node in self._by_node.keys() - nodes:
                self._by_node.pop(node).stop()

    def close(self) -> None:
        """Watch no node any more."""
        self.keep(())
