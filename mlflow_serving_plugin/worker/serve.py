"""One worker: loads a model, then answers frames on a socket until it is told to stop.

Fed by a gateway's link over ``wire`` frames; ``scoring`` and ``batching`` do the work. A model of a library flavour
is scored on the loop's own thread: what arrives meanwhile waits in the socket and makes the next batch, so batching
adds no wait. Custom models get threads, as many as MLflow's own server gives them, because they may wait for others.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any, cast

from . import wire
from .batching import decide
from .engine import Engine
from .lease import Lease
from .logs import RotatedLog
from .process import limit_memory
from .scoring import Scorer


class Connection(asyncio.Protocol):
    """One gateway's connection: frames in, requests to the engine, responses out."""

    def __init__(self, engine: Engine, secret: bytes) -> None:
        self._engine = engine
        self._secret = secret
        self._decoder = wire.Decoder()
        self._greeted = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self.transport = cast("asyncio.Transport", transport)
        self._engine.connections.add(self)
        self.transport.write(wire.encode_hello(self._secret))

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for this gateway's requests any more."""
        self._engine.connections.discard(self)
        self._engine.drop(self)

    def data_received(self, data: bytes) -> None:
        """Take frames in; a peer that does not speak the protocol is cut off."""
        try:
            for frame in self._decoder.feed(data):
                self._take(frame)
        except wire.WireError as error:
            print(f"A gateway was cut off: {error}", file=sys.stderr, flush=True)
            self.close()

    def _take(self, frame: wire.Frame) -> None:
        if not self._greeted:
            wire.check_hello(frame, self._secret)
            self._greeted = True
        elif frame.kind == wire.REQUEST:
            self._engine.take(self, frame.id, wire.decode_request(frame.payload))
        elif frame.kind == wire.CANCEL:
            self._engine.cancel(self, frame.id)
        elif frame.kind == wire.PING:
            self.send(wire.encode(wire.PONG, frame.id))

    def send(self, data: bytes) -> None:
        """Write frames, unless the gateway is gone."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        """Close once what was written is out."""
        if self.transport is not None:
            self.transport.close()


def main(argv: list[str]) -> int:
    """``'<json>'``: serve until SIGTERM. Started directly, or in a fork of the zygote."""
    return run(json.loads(argv[0]))


def run(config: dict[str, Any]) -> int:
    """Load, verify, listen, serve. Keys of ``config``: see ``backends.native``."""
    limit_memory(config["memory_limit_mb"])
    _keep_house(config)
    scorer = Scorer.load(config["model_dir"])
    why_not = scorer.prepare_fast_path()
    example = (config["example"]["content_type"], config["example"]["body"].encode()) if config["example"] else None
    verdict = decide(scorer, config["batching"], example)
    engine = Engine(scorer, verdict, config["max_batch_rows"], config["status_file"])
    engine.report()
    # The model and its libraries stay; the collector need not look at them again and again.
    gc.collect()
    gc.freeze()
    print(f"Loaded. Fast path: {why_not or 'on'}. Batching {'on' if verdict.on else 'off'}: {verdict.why}.", flush=True)
    _new_loop().run_until_complete(_serve(engine, config))
    return 0


async def _serve(engine: Engine, config: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    secret = config.get("secret", "").encode()
    listener = _listen(config["address"])
    create = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
    server = await create(lambda: Connection(engine, secret), sock=listener)
    await stop.wait()
    server.close()
    await engine.drain()
    with contextlib.suppress(OSError):
        if listener.family == socket.AF_UNIX:
            os.unlink(config["address"])


def _listen(address: str) -> socket.socket:
    """``tcp://host:port`` or the path of a unix socket."""
    if address.startswith("tcp://"):
        host, _, port = address[len("tcp://") :].rpartition(":")
        return socket.create_server((host.strip("[]"), int(port)))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    os.chmod(address, 0o600)
    listener.listen(128)
    return listener


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    except ImportError:
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def _keep_house(config: dict[str, Any]) -> None:
    """Send output to the log, rotate it, and end the process when no controller is left."""
    log = RotatedLog(config["log"], config["log_max_bytes"], config["log_backups"])

    def redirect() -> int:
        fd = log.reopen()
        for standard in (1, 2):
            os.dup2(fd, standard)
        return fd

    fd = redirect()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    print(f"--- {stamp} worker {config['worker_id']} started", flush=True)
    lease = Lease(config["lease"], config["orphan_grace_s"])

    def watch() -> None:
        current = fd
        while True:
            time.sleep(1.0)
            if lease.expired():
                print(f"No controller for {config['orphan_grace_s']} s: ending.", flush=True)
                os._exit(0)
            with contextlib.suppress(OSError):
                if os.fstat(current).st_size >= config["log_max_bytes"]:
                    current = redirect()

    threading.Thread(target=watch, name="house", daemon=True).start()
