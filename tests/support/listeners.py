"""Many clients at once, each with a stream of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from support.server import TrackingServer

Asked = Callable[[int], dict[str, Any]]
"""What the client of this number asks the model ``served_models/streaming.py``."""


class Listeners:
    """Clients that read events from entering on, and leave in the middle of their streams; in a thread of their own."""

    def __init__(self, server: TrackingServer, count: int, asked: Asked, name: str = "streaming") -> None:
        self._server = server
        self._count = count
        self._asked = asked
        self._name = name
        self._leave = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="listeners", daemon=True)
        self.begun = 0
        """Clients that have got an event."""
        self.events = 0
        self.late_ms: list[float] = []
        """Of each event that tells when the model made it: how long it took to come here."""
        self.failures: list[str] = []

    def __enter__(self) -> Listeners:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        self._thread.join()

    async def _main(self) -> None:
        tasks = [asyncio.ensure_future(self._one(number)) for number in range(self._count)]
        while not self._leave.is_set():
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, number: int) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        except OSError as error:
            self.failures.append(repr(error))
            return
        try:
            writer.write(self._request(number))
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                self.failures.append(f"{head!r} {await reader.read(500)!r}")
                return
            await self._read(reader)
        except (OSError, EOFError) as error:
            self.failures.append(repr(error))
        finally:
            with contextlib.suppress(OSError):
                writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        first = True
        while line := await reader.readline():
            if not line.startswith(b"data: {"):
                continue
            self.begun += first
            first = False
            self.events += 1
            event = json.loads(line.removeprefix(b"data: "))
            if "at" in event:
                self.late_ms.append((time.time() - event["at"]) * 1000)
            if "error" in event:
                self.failures.append(str(event))
        self.failures.append("The stream ended.")

    def _request(self, number: int) -> bytes:
        body = json.dumps({"prompt": "word", "stream": True, **self._asked(number)}).encode()
        lines = [
            f"POST /model/{self._name}/1/invocations HTTP/1.1",
            f"Host: 127.0.0.1:{self._server.port}",
            f"Content-Length: {len(body)}",
            "Content-Type: application/json",
            *(f"{name}: {value}" for name, value in self._server.credentials.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body
