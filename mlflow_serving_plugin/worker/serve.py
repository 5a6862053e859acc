"""One worker: loads a model, then answers frames on a socket until it is told to stop.

Fed by a gateway's link over ``wire`` frames; ``scoring`` and ``batching`` do the work. A model of a library flavour
is scored on the loop's own thread: what arrives meanwhile waits in the socket and makes the next batch, so batching
adds no wait. Custom models get threads, as many as MLflow's own server gives them, because they may wait for others.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any, Callable, cast

from . import wire
from .batching import decide
from .counts import BATCH_ROWS_BOUNDS, Counts, Histogram
from .engine import Engine
from .lease import Lease
from .logs import RotatedLog, life_line
from .process import limit
from .running import Running
from .scoring import Scorer

_DRAIN_POLL_S = 0.01
_PART_S = 0.5
"""How long gateways get to read goodbye and close their connections."""

_HOUSE_S = 0.25
_RECORDED_S = 10.0
"""How soon after a worker's start its record is there."""


class Connection(asyncio.Protocol):
    """One gateway's connection: frames in, requests to the engine, responses out."""

    def __init__(self, engine: Engine, secret: bytes, max_frame_bytes: int) -> None:
        self._engine = engine
        self._secret = secret
        self._decoder = wire.Decoder(max_frame_bytes, max_first_bytes=wire.MAX_HELLO_BYTES)
        self._greeted = False
        self._holds: set[str] = set()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A gateway is there; it says hello first, because hello holds the secret."""
        self._transport = cast("asyncio.Transport", transport)
        self._engine.connections.add(self)
        self.hold("full", self._engine.paused)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for this gateway's requests any more."""
        self._engine.connections.discard(self)
        self._engine.drop(self)

    def pause_writing(self) -> None:
        """The gateway does not take its answers: take no more of its requests."""
        self.hold("answers", True)

    def resume_writing(self) -> None:
        """It has taken them."""
        self.hold("answers", False)

    def hold(self, reason: str, on: bool) -> None:
        """Read nothing for as long as a reason holds."""
        held = bool(self._holds)
        (self._holds.add if on else self._holds.discard)(reason)
        if self._transport is not None and not self._transport.is_closing() and bool(self._holds) != held:
            (self._transport.pause_reading if self._holds else self._transport.resume_reading)()

    def data_received(self, data: bytes) -> None:
        """Take frames in; a peer that does not speak the protocol is cut off."""
        try:
            for frame in self._decoder.feed(data):
                self._take(frame)
        except wire.WireError as error:
            print(f"A gateway was cut off: {error}", file=sys.stderr, flush=True)
            if self._transport is not None:
                self._transport.abort()

    def _take(self, frame: wire.Frame) -> None:
        if not self._greeted:
            wire.check_hello(frame, self._secret)
            self._greeted = True
            self.send(wire.encode_hello(self._secret))
        elif frame.kind == wire.REQUEST:
            self._engine.take(self, frame.id, wire.decode_request(frame.payload))
        elif frame.kind == wire.CANCEL:
            self._engine.cancel(self, frame.id)
        elif frame.kind == wire.PING:
            self.send(wire.encode(wire.PONG, frame.id))

    def send(self, data: bytes) -> None:
        """Write frames, unless the gateway is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close once what was written is out."""
        if self._transport is not None:
            self._transport.close()


def main(argv: list[str]) -> int:
    """``'<json>'`` or ``@<file with it>``: serve until SIGTERM, as a process of its own and not as a fork."""
    # A guard ignores it for bubblewrap's sake; while the model loads, it ends this process.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    text = argv[0]
    if text.startswith("@"):
        with open(text[1:]) as file:
            text = file.read()
    return run(json.loads(text))


def run(config: dict[str, Any]) -> int:
    """Load, verify, listen, serve. Keys of ``config``: see ``backends.native``."""
    running, counts = Running(config.get("overdue_grace_s", 1.0)), Counts(config.get("counts_file"))
    _keep_house(config, running, counts)
    faulthandler.enable()
    limit(config)
    os.chdir(config["model_dir"])
    scorer = Scorer.load(config["model_dir"])
    why_not = scorer.prepare_fast_path()
    example = (config["example"]["content_type"], config["example"]["body"].encode()) if config["example"] else None
    verdict = decide(scorer, config["batching"], example)
    batch_rows = Histogram(counts, config.get("counts_key", ""), BATCH_ROWS_BOUNDS)
    engine = Engine(scorer, verdict, config["max_batch_rows"], config["status_file"], running, batch_rows)
    engine.report()
    # The model and its libraries stay; the collector need not look at them again and again.
    gc.collect()
    gc.freeze()
    print(f"Loaded. Fast path: {why_not or 'on'}. Batching {'on' if verdict.on else 'off'}: {verdict.why}.", flush=True)
    _new_loop().run_until_complete(_serve(engine, config))
    with contextlib.suppress(OSError):
        counts.flush()
    return 0


async def _serve(engine: Engine, config: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    secret, largest = config.get("secret", "").encode(), config.get("max_frame_bytes", wire.MAX_FRAME_BYTES)
    listener = _listen(config["address"])
    create = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
    server = await create(lambda: Connection(engine, secret, largest), sock=listener)
    await stop.wait()
    server.close()
    await _drain(engine)
    for path in (config["address"], config["status_file"]):
        with contextlib.suppress(OSError):
            if os.path.isabs(path):
                os.unlink(path)


async def _drain(engine: Engine) -> None:
    """Send new requests elsewhere and answer those that are here, also those that were on their way."""
    for connection in list(engine.connections):
        connection.send(wire.encode(wire.GOODBYE))
    while engine.busy:
        await asyncio.sleep(_DRAIN_POLL_S)
    deadline = time.monotonic() + _PART_S
    # A gateway that reads goodbye closes the connection once it has all its answers.
    while engine.busy or (engine.connections and time.monotonic() < deadline):
        await asyncio.sleep(_DRAIN_POLL_S)
    for connection in list(engine.connections):
        connection.close()
    await asyncio.sleep(0)


def _listen(address: str) -> socket.socket:
    """``tcp://host:port``, the path of a unix socket, or ``fd://n``: one that listens already."""
    if address.startswith("fd://"):
        return socket.socket(fileno=os.dup(int(address[len("fd://") :])))
    if address.startswith("tcp://"):
        host, _, port = address[len("tcp://") :].rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), int(port)), family=family)
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


def _keep_house(config: dict[str, Any], running: Running, counts: Counts) -> None:
    """Send output to the log, rotate it, and end the process when no controller is left.

    ``log`` None: a guard does all that.
    """
    if config["log"] is None:
        threading.Thread(target=_watch, args=(config, running, counts), name="house", daemon=True).start()
        return
    log = RotatedLog(config["log"], config["log_max_bytes"], config["log_backups"])

    def redirect() -> int:
        fd = log.reopen()
        for standard in (1, 2):
            os.dup2(fd, standard)
        return fd

    fd = redirect()
    print(life_line(config["worker_id"], "started"), flush=True)
    threading.Thread(target=_watch, args=(config, running, counts, redirect, fd), name="house", daemon=True).start()


def _watch(
    config: dict[str, Any],
    running: Running,
    counts: Counts,
    redirect: Callable[[], int] | None = None,
    fd: int = -1,
) -> None:
    """Rotate the log, write the counts; end the process when a prediction does not end, or no controller knows it."""
    lease = Lease(config["lease"], config["orphan_grace_s"]) if redirect else None
    record = config.get("record")
    recorded_by = time.monotonic() + _RECORDED_S
    while True:
        time.sleep(_HOUSE_S)
        if running.overdue():
            # Nothing in a process can end a thread: the next worker serves on.
            print("Ending: a prediction ran on long after its request timeout.", flush=True)
            os._exit(1)
        if redirect is None or lease is None:
            continue
        with contextlib.suppress(OSError):
            counts.flush()
        with contextlib.suppress(OSError):
            if os.fstat(fd).st_size >= config["log_max_bytes"]:
                fd = redirect()
        if lease.expired():
            return _end(f"No controller for {config['orphan_grace_s']} s", config["stop_grace_s"])
        if record and time.monotonic() > recorded_by and not os.path.exists(record):
            return _end("No controller knows this worker", config["stop_grace_s"])


def _end(why: str, grace_s: float) -> None:
    print(f"{why}: ending.", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    # It does not listen to signals: a prediction does not end, or the model has not loaded yet.
    os._exit(0)
