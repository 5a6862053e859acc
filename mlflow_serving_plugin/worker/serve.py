"""One worker: loads a model, then answers frames on a socket until SIGTERM.

Fed by a gateway's link over ``wire`` frames; ``engine``, ``scoring`` and ``batching`` do the work.
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
import time
from functools import partial
from typing import Any, cast

from . import tracking, wire
from .batching import decide
from .cells import MOST_CELLS
from .counts import BATCH_ROWS_BOUNDS, Counts, Histogram
from .engine import Engine
from .model_code import ModelCode, handlers
from .process import end_with, limit, say
from .reports import COUNTS, STATUS, Reports
from .request_context import RequestContext
from .scoring import Scorer
from .status import StatusFile
from .streams import Stream
from .watchdog import RunningPredictions, Watchdog, end_overdue
from .wire_streams import decode_credit, whole

_DRAIN_POLL_S = 0.01
_PART_S = 0.5
"""How long gateways have to read goodbye and to close their connections."""


class Connection(asyncio.Protocol):
    """One gateway's connection: frames in, requests to the engine, responses out."""

    def __init__(self, engine: Engine, max_frame_bytes: int) -> None:
        self._engine = engine
        self._decoder = wire.Decoder(max_frame_bytes, max_first_bytes=wire.MAX_HELLO_BYTES)
        self._greeted = False
        self._holds: set[str] = set()
        self._contexts: dict[int, RequestContext] = {}
        """Of the requests that come next."""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A gateway connected. The gateway says hello first."""
        self._transport = cast("asyncio.Transport", transport)
        self._engine.under_way.connections.add(self)
        self.hold("full", self._engine.under_way.paused)

    def connection_lost(self, exc: Exception | None) -> None:
        """The gateway went away, and needs no answers any more."""
        self._engine.under_way.drop(self)

    def pause_writing(self) -> None:
        """The gateway does not read its answers: read none of its requests."""
        self.hold("answers", True)

    def resume_writing(self) -> None:
        """The gateway has read its answers."""
        self.hold("answers", False)

    def hold(self, reason: str, on: bool) -> None:
        """Read nothing for as long as a reason holds."""
        held = bool(self._holds)
        (self._holds.add if on else self._holds.discard)(reason)
        if not self._transport.is_closing() and bool(self._holds) != held:
            (self._transport.pause_reading if self._holds else self._transport.resume_reading)()

    def data_received(self, data: bytes) -> None:
        """Take frames in; a peer that does not speak the protocol is cut off."""
        try:
            for frame in self._decoder.feed(data):
                self._take(frame)
        except wire.WireError as error:
            say(f"A gateway was cut off: {error}")
            self._transport.abort()

    def _take(self, frame: wire.Frame) -> None:
        if not self._greeted:
            wire.check_hello(frame)
            self._greeted = True
            self.send(wire.encode_hello())
        elif frame.kind == wire.REQUEST:
            context = self._contexts.pop(frame.id, None) if self._contexts else None
            self._engine.take(self, frame.id, wire.decode_request(frame), context=context)
        elif frame.kind == wire.STREAM:
            context = self._contexts.pop(frame.id, None) if self._contexts else None
            self._engine.take(self, frame.id, wire.decode_request(frame), Stream, context)
        elif frame.kind == wire.CONTEXT:
            self._contexts[frame.id] = RequestContext(whole(frame))
        elif frame.kind == wire.CREDIT:
            self._engine.credit(self, frame.id, decode_credit(frame))
        elif frame.kind == wire.CANCEL:
            self._engine.under_way.cancel(self, frame.id)
        elif frame.kind == wire.PING:
            self.send(wire.encode(wire.PONG, frame.id))

    def send(self, data: bytes) -> None:
        """Write frames, unless the gateway is gone."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close once everything written has been sent."""
        self._transport.close()

    def descriptor(self) -> int:
        """The socket's number; -1 when the connection is closed."""
        return -1 if self._transport.is_closing() else int(self._transport.get_extra_info("socket").fileno())


def main(argv: list[str]) -> int:
    """``'<json>'`` or ``@<file with the JSON>``: serve until SIGTERM, as a process of its own and not as a fork."""
    # A guard has SIGTERM ignored for the sake of bubblewrap; while the model loads, SIGTERM ends this process.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    text = argv[0]
    if text.startswith("@"):
        with open(text[1:]) as file:
            text = file.read()
    end_with(lambda: run(json.loads(text)))


def run(config: dict[str, Any]) -> int:
    """Load, verify, listen, serve. Keys of ``config``: see ``backends.native``."""
    running = RunningPredictions(config.get("overdue_grace_s", 1.0))
    counts, status = _what_it_tells(config)
    Watchdog(config, running, counts).start()
    faulthandler.enable()
    limit(config)
    os.chdir(config["model_dir"])
    listener = _inherited_listener(config["address"])
    code = ModelCode()
    if config.get("tracking") == "on":
        tracking.connect()
    else:
        tracking.stand_in()
    scorer = Scorer.load(config["model_dir"], code, config.get("max_cells", MOST_CELLS))
    why_not = scorer.prepare_fast_path()
    example = (config["example"]["content_type"], config["example"]["body"].encode()) if config["example"] else None
    verdict = decide(scorer, config["batching"], example, config["max_batch_rows"])
    batch_rows = Histogram(counts, config.get("counts_key", ""), BATCH_ROWS_BOUNDS)
    concurrency = config["max_concurrency"], config.get("max_streams")
    engine = Engine(scorer, verdict, config["max_batch_rows"], status, running, batch_rows, *concurrency)
    engine.report()
    # The model and its libraries stay: keep them out of every garbage collection.
    gc.collect()
    gc.freeze()
    batching = f"Batching {'on' if verdict.on else 'off'}: {verdict.why}."
    print(f"Loaded. Fast path: {why_not or 'on'}. {batching}", flush=True)
    _new_loop().run_until_complete(_serve(engine, config, listener or _listen(config["address"]), code))
    with contextlib.suppress(OSError):
        counts.flush()
    if engine.handing_back:
        # Python itself would wait for the thread.
        end_overdue()
    return 0


async def _serve(engine: Engine, config: dict[str, Any], listener: socket.socket, code: ModelCode) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    engine.stop_when_overdue(stop.set)
    before = handlers()
    for number in before:
        loop.add_signal_handler(number, stop.set)
    code.serve(
        before, lambda: [listener.fileno(), *(connection.descriptor() for connection in engine.under_way.connections)]
    )
    largest = config.get("max_frame_bytes", wire.MAX_FRAME_BYTES)
    server = await loop.create_unix_server(lambda: Connection(engine, largest), sock=listener)
    await stop.wait()
    server.close()
    await _drain(engine)
    if engine.handing_back:
        # The backend is to find the reason, and removes the files.
        return
    for path in (config["address"], config["status_file"]):
        with contextlib.suppress(OSError):
            if path is not None and os.path.isabs(path):
                os.unlink(path)


async def _drain(engine: Engine) -> None:
    """Say goodbye, and answer the requests that are here or on their way."""
    for connection in list(engine.under_way.connections):
        connection.send(wire.encode(wire.GOODBYE))
    while engine.busy:
        await asyncio.sleep(_DRAIN_POLL_S)
    deadline = time.monotonic() + _PART_S
    # A gateway that reads goodbye closes the connection once it has all its answers.
    while engine.busy or (engine.under_way.connections and time.monotonic() < deadline):
        await asyncio.sleep(_DRAIN_POLL_S)
    for connection in list(engine.under_way.connections):
        connection.close()
    await asyncio.sleep(0)


def _what_it_tells(config: dict[str, Any]) -> tuple[Counts, StatusFile]:
    """Counts and status: in files of this worker, or by way of its keeper."""
    if config.get("reports") is None:
        return Counts(config.get("counts_file")), StatusFile(config["status_file"])
    reports = Reports(config["reports"])
    return Counts(None, partial(reports.send, COUNTS)), StatusFile(None, partial(reports.send, STATUS))


def _inherited_listener(address: str) -> socket.socket | None:
    """The socket of ``fd://n``, which listens already. Nothing is left at ``n``: the model's processes inherit it."""
    if not address.startswith("fd://"):
        return None
    given = int(address[len("fd://") :])
    listener = socket.socket(fileno=os.dup(given))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, given)
    os.close(null)
    return listener


def _listen(address: str) -> socket.socket:
    """At the path of a unix socket."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    os.chmod(address, 0o600)
    listener.listen(128)
    return listener


def _new_loop() -> asyncio.AbstractEventLoop:
    """Not set as this thread's loop: a model that asks for an event loop gets one of its own."""
    try:
        import uvloop

        return cast("asyncio.AbstractEventLoop", uvloop.new_event_loop())
    except ImportError:
        return asyncio.new_event_loop()
