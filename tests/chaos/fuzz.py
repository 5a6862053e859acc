"""Nonsense on the public port: broken HTTP, odd heads, random and mutated bodies, odd paths, in all dialects."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import unquote

from mlflow_serving_plugin.api.app import PATHS
from mlflow_serving_plugin.dispatch import Mounts
from mlflow_serving_plugin.gateway.addresses import PREFIXES

from .nonsense import Nonsense, good_bodies
from .report import Report, Size
from .world import BODY, models, server_processes, serving, worker_pids

_DOCUMENTED = {502, 503, 504}
_ANSWER_S = 20.0
_BROKEN_S = 0.05
_STREAMS = 4
_MOUNTS = Mounts(dict.fromkeys((*PREFIXES, *PATHS), str))
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class _Seen:
    """What came back. ``odd``: requests whose answer is no good."""

    statuses: Counter[int] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)


def fuzzed(report: Report, size: Size) -> None:
    """Fuzzed requests: no 5xx but the documented ones, no crash, and the server serves afterwards as before."""
    seed = random.randrange(1 << 32)
    report.say(f"seed {seed}")
    with serving(1) as server:
        server.client.create_registered_model("victim")
        pids, web = worker_pids(server), sorted(p.pid for p in server_processes(server))
        bodies = good_bodies(models().iris.head(2))
        each = size.fuzz_requests // _STREAMS
        started = time.monotonic()
        with ThreadPoolExecutor(_STREAMS) as pool:
            found = list(
                pool.map(lambda n: _stream(server.port, Nonsense(seed + n, bodies), each, seed + n), range(_STREAMS))
            )
        statuses = sum((seen.statuses for seen in found), Counter())
        report.say(
            f"{_STREAMS * each} requests in {time.monotonic() - started:.0f} s: {dict(sorted(statuses.items()))}"
        )
        odd = [line for seen in found for line in seen.odd]
        report.check(
            "no 5xx but the documented ones, and an answer to all valid HTTP",
            not odd,
            f"{len(odd)}:\n" + "\n".join(odd[:5]),
        )
        report.check("no worker crashed", worker_pids(server) == pids)
        report.check("no web worker crashed", sorted(p.pid for p in server_processes(server)) == web)
        answer = server.score("iris/1", BODY)
        report.check("it serves as before", (answer.status_code, answer.json()) == (200, {"predictions": [0]}))
        text = server.log.read_text(errors="replace")
        bugs = [line for line in text.splitlines() if " ERROR serving: " in line]
        report.check("no error of ours in the server's log", not bugs, "\n".join(bugs[:5]))


def _stream(port: int, nonsense: Nonsense, count: int, seed: int) -> _Seen:
    seen = _Seen()
    choose = random.Random(seed)
    connection: socket.socket | None = None
    for _ in range(count):
        if choose.random() < 0.2:
            _break(port, nonsense.broken(), seen)
            continue
        request = nonsense.well_formed()
        connection, answer = _exchange(port, connection, request)
        _judge(seen, request, answer, must_answer=True)
    if connection is not None:
        connection.close()
    return seen


def _judge(seen: _Seen, request: bytes, answer: bytes, *, must_answer: bool) -> None:
    match = _STATUS.match(answer)
    status = int(match.group(1)) if match else 0
    seen.statuses[status] += 1
    if not _ours(request):
        return
    if (status >= 500 and status not in _DOCUMENTED) or (must_answer and not status):
        seen.odd.append(f"{request[:300]!r}\n    -> {answer[:300]!r}")


def _ours(request: bytes) -> bool:
    """Whether the path is one of ours. To a workspace header and to a host that is no UTF-8, MLflow itself says 500."""
    words = request.split(b"\r\n", 1)[0].split(b" ")
    path = unquote(words[1].partition(b"?")[0].decode("latin-1")) if len(words) > 1 else ""
    return _MOUNTS.find(path) is not None


def _break(port: int, data: bytes, seen: _Seen) -> None:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), _ANSWER_S) as connection:
        connection.sendall(data)
        connection.settimeout(_BROKEN_S)
        answer = b""
        with contextlib.suppress(TimeoutError):
            answer = connection.recv(65536)
        _judge(seen, data, answer, must_answer=False)


def _exchange(port: int, connection: socket.socket | None, request: bytes) -> tuple[socket.socket | None, bytes]:
    """Send valid HTTP and read one answer; a kept connection that was closed meanwhile is replaced once."""
    for attempt in range(2):
        fresh = connection is None or attempt == 1
        if fresh:
            connection = socket.create_connection(("127.0.0.1", port), _ANSWER_S)
        try:
            connection.sendall(request)
            answer, keep = _read(connection, is_head=request.startswith(b"HEAD "))
        except OSError as error:
            answer, keep = repr(error).encode(), False
        if not keep:
            connection.close()
        if _STATUS.match(answer) or fresh:
            return (connection if keep else None), answer
    return None, b""


def _read(connection: socket.socket, *, is_head: bool) -> tuple[bytes, bool]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data, False
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    closes = b"connection: close" in head.lower()
    if is_head:
        return data, False
    if length is None:
        return data, False
    while len(body) < int(length.group(1)):
        piece = connection.recv(65536)
        if not piece:
            return data, False
        body += piece
    return head + b"\r\n\r\n" + body, not closes
