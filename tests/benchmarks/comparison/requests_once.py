"""Single requests: is the answer right, and how long and how much memory does a very large one take."""

from __future__ import annotations

import contextlib
import http.client
import math
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import psutil

from comparison.dialects import Dialect
from comparison.launch import resident_bytes
from comparison.samples import LARGE_BYTES, Sample

_LARGE_TIMEOUT_S = 120
_SAMPLE_S = 0.02
_CONCURRENT = 16


class WrongAnswerError(Exception):
    """A server answered something else than the model says."""


def post(url: str, body: bytes, timeout_s: float = 60) -> tuple[int, bytes]:
    """POST on a connection of its own: status and body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    with contextlib.closing(connection):
        connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()


def answers(url: str, body: bytes) -> bool:
    """Whether a server gives this body a success."""
    try:
        return post(url, body)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def check(url: str, dialect: Dialect, sample: Sample, counts: tuple[int, ...]) -> None:
    """Compare answers with the model's: bodies of several sizes, then different rows sent at the same time."""
    for count in counts:
        _check_one(url, dialect, sample, sample.head(count), sample.expected(count))
    singles = list(zip(sample.rows, sample.predictions, strict=True))
    with ThreadPoolExecutor(_CONCURRENT) as pool:
        jobs = [pool.submit(_check_one, url, dialect, sample, [row], [said]) for row, said in singles]
        for job in jobs:
            job.result()


def _check_one(url: str, dialect: Dialect, sample: Sample, rows: list[list[float]], expected: list[float]) -> None:
    status, body = post(url, dialect.encode(sample, rows))
    if status != 200:
        raise WrongAnswerError(f"status {status} for {len(rows)} rows: {body[:200].decode(errors='replace')}")
    _compare(dialect.decode(body), expected)


def _compare(found: list[Any], expected: list[float]) -> None:
    if len(found) != len(expected):
        raise WrongAnswerError(f"{len(found)} predictions for {len(expected)} rows")
    for one, other in zip(found, expected, strict=True):
        if not math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9):
            raise WrongAnswerError(f"{one} where the model says {other}")


def measure_large(
    url: str, dialect: Dialect, sample: Sample, processes: list[psutil.Process], repeats: int
) -> dict[str, Any]:
    """Requests of some 16 MB, one after another: seconds, and peak memory above what the server had, by payload."""
    count = sample.large_count(_bytes_per_row(dialect, sample))
    body = dialect.encode(sample, sample.head(count))
    while len(body) > LARGE_BYTES:
        count -= len(sample.rows)
        body = dialect.encode(sample, sample.head(count))
    before, peak, seconds = resident_bytes(processes), _Peak(processes), []
    with peak:
        for number in range(repeats + 1):
            began = time.monotonic()
            status, answer = post(url, body, _LARGE_TIMEOUT_S)
            seconds.append(time.monotonic() - began)
            if status != 200:
                raise WrongAnswerError(f"status {status} for 16 MB: {answer[:200].decode(errors='replace')}")
            if number == 0:
                _compare(dialect.decode(answer), sample.expected(count))
    return {
        "rows": count,
        "bytes": len(body),
        "first_s": seconds[0],
        "median_s": statistics.median(seconds[1:]),
        "peak_memory_ratio": (peak.bytes - before) / len(body),
    }


def _bytes_per_row(dialect: Dialect, sample: Sample) -> float:
    few, many = (len(dialect.encode(sample, sample.head(n))) for n in (len(sample.rows), 101 * len(sample.rows)))
    return (many - few) / (100 * len(sample.rows))


class _Peak:
    """The highest resident memory of processes, sampled in a thread; a context manager."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self.bytes = 0
        self._processes = processes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            self.bytes = max(self.bytes, resident_bytes(self._processes))
