"""Whoever is not let in: 200 connections without credentials, silent or guessing, keep nobody else waiting."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter

from support.auth import BasicAuthServer, basic, bearer, client_of
from support.cells import put_up

from .client import Request, Response
from .load import Check, Figures, Load, status_200
from .report import Report, Size
from .world import BODY, models

_ENABLE = "/api/2.0/mlflow/endpoints/enable"
_HEALTH = Request("/serving/health", method="GET")
_ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}
"""uvicorn takes the client's address from a proxy on its own machine: guesses from here are not this machine's."""

_PART = 50
"""Connections of each kind; four kinds."""


class Crowd:
    """Connections that send something, then nothing, and come again when they are closed; from a thread of its own."""

    def __init__(self, port: int, *sent: bytes) -> None:
        self._port = port
        self._sent = sent
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="crowd", daemon=True)
        self.answers: Counter[bytes] = Counter()
        """First lines of what came back; nothing came back where the server closed the connection."""

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _main(self) -> None:
        tasks = [asyncio.ensure_future(self._one(sent)) for sent in self._sent for _ in range(_PART)]
        while not self._stop.is_set():
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, sent: bytes) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(sent)
                try:
                    answer = await reader.read()
                    self.answers[answer.partition(b"\r\n")[0]] += 1
                finally:
                    writer.close()
            await asyncio.sleep(0.1)


def silent_crowd(report: Report, size: Size) -> None:
    """200 anonymous connections send nothing, a head, half a body or wrong passwords; others wait no longer."""
    with BasicAuthServer(size.server, workers=2) as server:
        with client_of(server) as client:
            put_up(server, client, models())
        reader = server.add_user("reader")
        server.grant("reader", "iris", "READ")
        score = Request("/model/iris/1/invocations", BODY, headers=bearer(server.token(reader)))
        listed = Request("/api/2.0/mlflow/endpoints/list", method="GET", headers=dict(server.credentials))
        before = _measure(server, score, listed, size.seconds / 3)
        with (
            Crowd(server.port, b"", _head(server, 100), _head(server, 100) + b"{" * 50) as crowd,
            Load(server.port, _guess, _refused, clients=_PART) as guesses,
        ):
            during = _measure(server, score, listed, size.seconds)
        report.say(f"answers to the silent: {dict(crowd.answers)}; guesses: {guesses.figures}")
        report.none_failed("wrong passwords", guesses.figures)
        _compare(report, size, before, during)


def _head(server: BasicAuthServer, length: int) -> bytes:
    lines = [f"POST {_ENABLE} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Content-Length: {length}", "", ""]
    return "\r\n".join(lines).encode()


def _guess(number: int) -> Request:
    return Request(
        "/api/2.0/mlflow/endpoints/list", method="GET", headers=basic("admin", f"guess {number}") | _ELSEWHERE
    )


def _refused(request: Request, response: Response) -> str | None:
    return None if response.status in {401, 429} else f"{response.status} {response.body[:200]!r}"


def _measure(server: BasicAuthServer, score: Request, listed: Request, seconds: float) -> dict[str, Figures]:
    wanted: dict[str, tuple[Request, float, Check]] = {
        "health": (_HEALTH, 5, status_200),
        "scoring with a token": (score, 50, status_200),
        "control API": (listed, 2, status_200),
    }
    with contextlib.ExitStack() as stack:
        loads = {
            name: stack.enter_context(Load(server.port, lambda _, r=request: r, check, rate=rate))
            for name, (request, rate, check) in wanted.items()
        }
        time.sleep(seconds)
    return {name: load.figures for name, load in loads.items()}


def _compare(report: Report, size: Size, before: dict[str, Figures], during: dict[str, Figures]) -> None:
    for name, figures in during.items():
        report.none_failed(f"{name}, alone", before[name])
        report.none_failed(f"{name}, beside the crowd", figures)
    report.below("health: slowest", during["health"].percentile(1), 200, "ms", size)
    report.below("control API: slowest", during["control API"].percentile(1), 1000, "ms", size)
    scoring = "scoring with a token"
    ratio = during[scoring].percentile(0.99) / before[scoring].percentile(0.99)
    report.below(f"{scoring}: p99, times that alone", ratio, 2.0, "", size)
