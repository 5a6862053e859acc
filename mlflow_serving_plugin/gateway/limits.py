"""What one web worker takes on: bodies of bounded size, a bounded number of requests, each on the freest worker."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence

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


def too_large(max_bytes: int) -> BodyTooLargeError:
    """The error for a body of more than ``max_bytes``."""
    return BodyTooLargeError(f"The request body is larger than the limit of {max_bytes} bytes.")


class Room:
    """Memory for the bodies of all requests that one web worker has in hand. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken = 0
        self._lock = threading.Lock()

    def share(self) -> Share:
        """One request's part of it, given back at the end of its ``with``."""
        return Share(self)

    def take(self, size: int) -> None:
        """Take so many bytes, or give them back when negative; TooManyRequestsError when there are not so many."""
        with self._lock:
            if size > 0 and self._taken + size > self._max_bytes:
                raise TooManyRequestsError(
                    f"Bodies of {self._taken} bytes are already being scored; this one is too large to wait with them.",
                    retry_after_s=1,
                )
            self._taken += size


class Share:
    """What one request's body takes. A small body takes nothing: their number is limited, and that is enough."""

    __slots__ = ("_room", "_taken")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = 0

    def grow_to(self, size: int) -> None:
        """The body has come to so many bytes; TooManyRequestsError when there is no room for them."""
        if size > _SMALL_BYTES:
            self._room.take(size - self._taken)
            self._taken = size

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        if self._taken:
            self._room.take(-self._taken)
            self._taken = 0


class BodyBuffer:
    """Collects a body chunk by chunk, no more than ``max_bytes`` of it, and no more than there is room for."""

    def __init__(self, max_bytes: int, share: Share | None = None) -> None:
        self._max_bytes = max_bytes
        self._share = share
        self._chunks: list[bytes] = []
        self.size = 0
        """Bytes so far."""

    def add(self, chunk: bytes) -> None:
        """Take one more chunk; BodyTooLargeError when that is too much, TooManyRequestsError when others have more."""
        self.size += len(chunk)
        if self.size > self._max_bytes:
            raise too_large(self._max_bytes)
        if self._share is not None:
            self._share.grow_to(self.size)
        self._chunks.append(chunk)

    def join(self) -> bytes:
        """The whole body."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)


class Held:
    """Something counted, until the end of its ``with``."""

    __slots__ = ("_counts", "_key", "_lock")

    def __init__(self, counts: Counter[Hashable], lock: threading.Lock, key: Hashable) -> None:
        self._counts = counts
        self._lock = lock
        self._key = key

    def __enter__(self) -> None:
        """Counted already."""

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._counts[self._key] -= 1
            if self._counts[self._key] <= 0:
                del self._counts[self._key]


class InFlight:
    """Counts requests by what they are for; thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: Counter[Hashable] = Counter()
        self._lock = threading.Lock()

    def slot(self, key: Hashable) -> Held:
        """Hold one of ``limit`` places; TooManyRequestsError when all are taken."""
        with self._lock:
            if self._counts[key] >= self._limit:
                raise TooManyRequestsError(
                    f"{self._limit} requests are already waiting for this model version.", retry_after_s=1
                )
            self._counts[key] += 1
        return Held(self._counts, self._lock, key)

    def counts(self) -> dict[Hashable, int]:
        """How many places are held now, by what for."""
        with self._lock:
            return dict(self._counts)


class Loads:
    """How many calls of this web worker each model worker has in hand; thread-safe."""

    def __init__(self) -> None:
        self._counts: Counter[Hashable] = Counter()
        self._turn = 0
        self._lock = threading.Lock()

    def pick(self, workers: Sequence[WorkerRoute], avoid: Collection[str] = ()) -> WorkerRoute | None:
        """The worker with the fewest calls, equals in turn; None when there is none but those to avoid."""
        candidates = [worker for worker in workers if worker.worker_id not in avoid]
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        with self._lock:
            self._turn += 1
            start = self._turn % len(candidates)
            rotated = candidates[start:] + candidates[:start]
            return min(rotated, key=lambda worker: self._counts[worker.worker_id])

    def call(self, worker_id: str) -> Held:
        """Count one call for as long as it takes."""
        with self._lock:
            self._counts[worker_id] += 1
        return Held(self._counts, self._lock, worker_id)
