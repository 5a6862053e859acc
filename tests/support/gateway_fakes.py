"""Real servers on unix sockets in a worker's place, of HTTP and of frames, and routes that lead to them."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from mlflow_serving_plugin.domain.routes import EntityRoute, Routes, WorkerRoute
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.host.snapshot import SnapshotReader, publish
from mlflow_serving_plugin.worker import wire
from support.routes import an_entity, routes_of

Answer = tuple[int, str, bytes] | None
PREDICTED = (200, "application/json", b'{"predictions": [0, 1]}')
IRIS = b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}'


class Worker(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers each POST with what ``answer(content_type, body)`` gives; None breaks the connection instead."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self,
        path: Path,
        answer: Callable[[str, bytes], Answer] = lambda *_: PREDICTED,
        handler: type[socketserver.BaseRequestHandler] | None = None,
    ) -> None:
        self.answer = answer
        self.seen: list[tuple[str, bytes]] = []
        self.connections: list[socket.socket] = []
        super().__init__(str(path), handler or _Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def process_request(self, request, client_address):
        self.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        pass

    def drop_connections(self) -> None:
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        Path(self.server_address).unlink(missing_ok=True)
        self.drop_connections()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Worker

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        content_type = self.headers["Content-Type"]
        self.server.seen.append((content_type, body))
        answer = self.server.answer(content_type, body)
        if answer is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(answer[0])
        self.send_header("Content-Type", answer[1])
        self.send_header("Content-Length", str(len(answer[2])))
        self.end_headers()
        self.wfile.write(answer[2])

    def log_message(self, format, *args):
        pass


class FrameWorker(Worker):
    """The same in frames: each request is answered in a thread of its own."""

    def __init__(self, path: Path, answer: Callable[[str, bytes], Answer] = lambda *_: PREDICTED) -> None:
        self.cancelled: list[int] = []
        super().__init__(path, answer, _FrameHandler)


class _FrameHandler(socketserver.BaseRequestHandler):
    server: FrameWorker

    def handle(self) -> None:
        decoder = wire.Decoder()
        while data := self.request.recv(1 << 16):
            for frame in decoder.feed(data):
                if frame.kind == wire.HELLO:
                    self.request.sendall(wire.encode_hello())
                elif frame.kind == wire.CANCEL:
                    self.server.cancelled.append(frame.id)
                elif frame.kind == wire.REQUEST:
                    threading.Thread(target=self._answer, args=(frame,), daemon=True).start()

    def _answer(self, frame: wire.Frame) -> None:
        _, content_type, body = wire.decode_request(frame)
        self.server.seen.append((content_type, body))
        answer = self.server.answer(content_type, body)
        with contextlib.suppress(OSError):
            if answer is None:
                self.request.shutdown(socket.SHUT_RDWR)
                return
            status, reply_type, reply = answer
            self.request.sendall(
                b"".join(wire.encode_response(frame.id, status, (2, 3, 4), reply_type.encode(), reply))
            )


@contextlib.contextmanager
def worker(
    path: Path, answer: Callable[[str, bytes], Answer] = lambda *_: PREDICTED, kind: type[Worker] = Worker
) -> Iterator[Worker]:
    server = kind(path, answer)
    try:
        yield server
    finally:
        server.stop()


def worker_route(path: Path, worker_id: str = "w1", *, ready: bool = True) -> WorkerRoute:
    return WorkerRoute(worker_id, "http", str(path), pid=1, started_ms=0, ready=ready)


def version(
    number: int = 1,
    *workers: WorkerRoute,
    state: EntityState = EntityState.READY,
    message: str = "",
    model_dir: str | None = None,
) -> EntityRoute:
    return an_entity(number, state, message, model_dir=model_dir, workers=workers)


def routes(
    *versions: EntityRoute, timeout_s: float = 5.0, dialect: str = "modern", aliases: dict[str, int] | None = None
) -> Routes:
    return routes_of(*versions, timeout_s=timeout_s, dialect=dialect, aliases=aliases)


def snapshot(path: Path, published: Routes) -> SnapshotReader:
    publish(path, published)
    return SnapshotReader(path, check_every_s=0)


def until(condition: Callable[[], object], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)
