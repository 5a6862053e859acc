"""Load on a server: requests at a steady rate whatever becomes of the ones before, or from so many clients in turn."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .client import ConnectionPool, Request, Response

Make = Callable[[int], Request]
Check = Callable[[Request, Response], str | None]
"""What is wrong with an answer; None: nothing."""

_RETRIES = 20
_RETRY_S = 0.1


@dataclass(slots=True)
class Figures:
    """What became of a load. Latencies in ms, from when a request was due to the end of its answer."""

    latencies_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Requests whose connection broke before the answer; the client sent each anew."""
    in_flight_most: int = 0

    @property
    def requests(self) -> int:
        """How many have ended."""
        return len(self.latencies_ms) + len(self.failures)

    def percentile(self, share: float) -> float:
        """Of the latencies, in ms."""
        ordered = sorted(self.latencies_ms) or [0.0]
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {len(self.failures)} failed, {len(self.lost)} connections lost; "
            f"p50 {self.percentile(0.5):.1f} ms, p99 {self.percentile(0.99):.1f} ms, max {self.percentile(1):.0f} ms"
        )


def status_200(request: Request, response: Response) -> str | None:
    """The plainest check."""
    if response.status == 200:
        return None
    return f"{request.path}: {response.status} {response.body[:300].decode(errors='replace')}"


class Load:
    """Sends requests from a thread of its own for as long as it is entered.

    ``rate``: requests a second, open loop. Else ``clients`` send one after the other, ``total`` in all, if given.
    ``resend``: a request whose connection is lost is sent anew, as clients do; if not, it is a failure.
    """

    def __init__(
        self,
        port: int,
        make: Make,
        check: Check = status_200,
        *,
        rate: float | None = None,
        clients: int = 1,
        total: int | None = None,
        resend: bool = True,
    ) -> None:
        self.figures = Figures()
        self._port = port
        self._make = make
        self._check = check
        self._rate = rate
        self._clients = clients
        self._total = total
        self._resend = resend
        self._number = 0
        self.in_flight = 0
        """Requests that are not answered just now."""
        self._stop = threading.Event()
        self._started_at = 0.0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.join()

    def join(self) -> Figures:
        """Wait for the end of all requests: with ``total``, of so many."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self.figures

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._error = error

    async def _main(self) -> None:
        self._started_at = time.monotonic()
        pool = ConnectionPool(self._port)
        if self._rate is not None:
            await self._open_loop(pool, self._rate)
        else:
            await asyncio.gather(*(self._closed_loop(pool) for _ in range(self._clients)))
        pool.close()

    async def _open_loop(self, pool: ConnectionPool, rate: float) -> None:
        tasks: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        while not self._stop.is_set():
            task = asyncio.ensure_future(self._one(pool, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*tasks)

    async def _closed_loop(self, pool: ConnectionPool) -> None:
        while not self._stop.is_set() and (self._total is None or self._number < self._total):
            await self._one(pool, time.monotonic())

    async def _one(self, pool: ConnectionPool, due: float) -> None:
        request = self._make(self._number)
        self._number += 1
        self.in_flight += 1
        self.figures.in_flight_most = max(self.figures.in_flight_most, self.in_flight)
        try:
            wrong = await self._outcome(pool, request)
        finally:
            self.in_flight -= 1
        if wrong is None:
            self.figures.latencies_ms.append((time.monotonic() - due) * 1000)
        else:
            self.figures.failures.append(f"at {time.monotonic() - self._started_at:.2f} s: {wrong}")

    async def _outcome(self, pool: ConnectionPool, request: Request) -> str | None:
        for attempt in range(_RETRIES):
            try:
                return self._check(request, await pool.send(request))
            except TimeoutError:
                return f"{request.path}: no answer in time"
            except (OSError, EOFError) as error:
                why = f"at {time.monotonic() - self._started_at:.2f} s: {request.path}: {error!r}"
                if not self._resend:
                    return why
                if attempt == 0:
                    self.figures.lost.append(why)
                # A server that is being started anew refuses connections.
                await asyncio.sleep(_RETRY_S * attempt)
        return f"{request.path}: the connection was lost {_RETRIES} times"
