"""The limits of one web worker: bytes of bodies, requests in flight; and which model worker is the least loaded."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

from mlflow_serving_plugin.domain.routes import WorkerRoute
from mlflow_serving_plugin.errors import BadRequestError, BodyTooLargeError, TooManyRequestsError

_SMALL_BYTES = 64 * 1024


def declared_length(headers: Mapping[str, str], max_bytes: int) -> int | None:
    """The Content-Length; None when there is none. BadRequestError, BodyTooLargeError."""
    value = headers.get("content-length")
    if value is None:
        return None
    value = value.strip()
    if not (value.isascii() and value.isdigit()):
        raise BadRequestError("The header Content-Length must be a number of bytes.")
    # Compared by digits first: Python refuses to read a number of thousands of them.
    if len(value.lstrip("0")) > 18 or int(value) > max_bytes:
        raise too_large(max_bytes)
    return int(value)


def refuse_lost_body(headers: Mapping[str, str], body: bytes) -> None:
    """BadRequestError for a body that the web server has dropped.

    uvicorn's parser httptools drops the body of a request with the header Upgrade, which Java's HttpClient sends by
    default (uvicorn#2722).
    """
    if body or "upgrade" not in headers:
        return
    if "transfer-encoding" in headers or headers.get("content-length", "0").strip("0"):
        raise BadRequestError(
            "uvicorn drops the body of a request with the header Upgrade. Send the request without the header (in "
            "Java: HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1)), or start the server with "
            "--uvicorn-opts '--http h11'."
        )


def too_large(max_bytes: int) -> BodyTooLargeError:
    """The error for a body of more than ``max_bytes``."""
    return BodyTooLargeError(f"The request body is larger than the limit of {max_bytes} bytes.")


class BodyMemory:
    """The memory for the bodies of all requests that one web worker has in hand. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.taken = 0
        """Bytes in use."""
        self._lock = threading.Lock()

    def reserve(self, size: int = 0) -> Reservation:
        """Memory for one body, which may grow; TooManyRequestsError when ``size`` bytes are not free."""
        reservation = Reservation(self)
        reservation.grow_to(size)
        return reservation

    def take(self, size: int) -> None:
        """Take so many bytes, or give them back when negative; TooManyRequestsError when they are not free."""
        with self._lock:
            if size > 0 and self.taken + size > self._max_bytes:
                raise TooManyRequestsError(
                    f"Bodies of {self.taken} bytes are already being scored; this body is too large to wait with them.",
                    retry_after_s=1,
                )
            self.taken += size


class Reservation:
    """The memory of one body. Small bodies are not counted; ``max_in_flight`` bounds them."""

    __slots__ = ("_memory", "_taken")

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._taken = 0

    def grow_to(self, size: int) -> None:
        """The body has come to so many bytes; TooManyRequestsError when there is no memory for them."""
        if size > _SMALL_BYTES:
            self._memory.take(size - self._taken)
            self._taken = size

    def release(self) -> None:
        """Give all of the memory back. May be called again."""
        if self._taken:
            self._memory.take(-self._taken)
            self._taken = 0


class BodyBuffer:
    """Collects a body chunk by chunk: at most ``max_bytes``, and no more than the reservation can grow to."""

    def __init__(self, max_bytes: int, reservation: Reservation | None = None) -> None:
        self._max_bytes = max_bytes
        self._reservation = reservation
        self._chunks: list[bytes] = []
        self.size = 0
        """Bytes so far."""

    def add(self, chunk: bytes) -> None:
        """Take one more chunk; BodyTooLargeError over the limit, TooManyRequestsError without memory."""
        self.size += len(chunk)
        if self.size > self._max_bytes:
            raise too_large(self._max_bytes)
        if self._reservation is not None:
            self._reservation.grow_to(self.size)
        self._chunks.append(chunk)

    def join(self) -> bytes:
        """The whole body."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)


@dataclass(slots=True)
class Slot:
    """One counted request or call, until ``release`` or the end of its ``with``."""

    _counts: Counter[Hashable]
    _lock: threading.Lock
    _key: Hashable
    _held: bool = True

    def move(self, key: Hashable) -> None:
        """Count under another key from now on. Never refused: the request has been accepted before."""
        with self._lock:
            self._count_down()
            self._counts[key] += 1
            self._key = key

    def release(self) -> None:
        """Count no more. May be called again."""
        with self._lock:
            if self._held:
                self._held = False
                self._count_down()

    def _count_down(self) -> None:
        self._counts[self._key] -= 1
        if self._counts[self._key] <= 0:
            del self._counts[self._key]

    def __enter__(self) -> None:
        """Counted already."""

    def __exit__(self, *_: object) -> None:
        self.release()


class InFlight:
    """Counts requests or calls by what they are for; thread-safe."""

    def __init__(self, limit: int = sys.maxsize) -> None:
        self._limit = limit
        self._counts: Counter[Hashable] = Counter()
        self._lock = threading.Lock()

    def slot(self, key: Hashable) -> Slot:
        """Take one of ``limit`` slots; TooManyRequestsError when all are taken."""
        with self._lock:
            if self._counts[key] >= self._limit:
                raise TooManyRequestsError(
                    f"{self._limit} requests are already waiting for this model version.", retry_after_s=1
                )
            self._counts[key] += 1
        return Slot(self._counts, self._lock, key)

    def counts(self) -> dict[Hashable, int]:
        """How many slots are taken now, by key."""
        with self._lock:
            return dict(self._counts)

    def total(self) -> int:
        """How many slots are taken now."""
        with self._lock:
            return sum(self._counts.values())


class Loads(InFlight):
    """How many calls of this web worker each model worker has in hand, by worker id; thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0
        self._crowds: dict[Hashable, int] = {}

    def pick(self, workers: Sequence[WorkerRoute], avoid: Collection[str] = ()) -> WorkerRoute | None:
        """The worker with the fewest calls, equal workers in rotation; None when all are to be avoided."""
        candidates = [worker for worker in workers if worker.worker_id not in avoid]
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        with self._lock:
            self._next += 1
            start = self._next % len(candidates)
            rotated = candidates[start:] + candidates[:start]
            return min(rotated, key=lambda worker: self._counts[worker.worker_id])

    def crowd(self, worker_id: str) -> int:
        """How many calls a worker had in hand when it was lost. To be asked before its lost calls are released."""
        with self._lock:
            self._crowds = {lost: crowd for lost, crowd in self._crowds.items() if self._counts[lost]}
            return self._crowds.setdefault(worker_id, self._counts[worker_id])
