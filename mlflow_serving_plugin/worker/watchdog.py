"""Ends a process without a controller, or that hangs: a lease, the running predictions, and a thread that checks both.

Fed by the controller, which touches the lease, and by the engine, which says what runs. Guard and zygote hold a lease
of their own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Any, Callable, Iterator, NoReturn

from .counts import Counts
from .logs import RotatedLog, life_line
from .process import say

_LOOK_S = 0.25
RECORDED_S = 10.0
"""The controller writes a worker's record within this time after the worker's start."""


_LAST_ANSWERS_S = 5.0
"""How long the event loop has for its last answers, once all predictions that still run are overdue."""


def end_overdue() -> NoReturn:
    """End the process at once, and say why. The threads of overdue predictions end with the process."""
    say("Ending: a prediction ran on long after its request timeout.")
    os._exit(1)


class Lease:
    """A file that the controller touches. Timed by the monotonic clock: a jump of the wall clock ends nothing."""

    def __init__(self, path: str, grace_s: float) -> None:
        self._path = path
        self._grace_s = grace_s
        self._mtime_ns: int | None = None
        self._changed_at = time.monotonic()

    def expired(self) -> bool:
        """Whether the file has not changed for longer than the grace."""
        now = time.monotonic()
        try:
            mtime_ns = os.stat(self._path).st_mtime_ns
        except OSError:
            mtime_ns = None
        if mtime_ns is not None and mtime_ns != self._mtime_ns:
            self._mtime_ns = mtime_ns
            self._changed_at = now
        return now - self._changed_at > self._grace_s


class RunningPredictions:
    """The predictions that run now. Each may take the timeout of its request. Thread-safe."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._ends: dict[int, float] = {}
        """By the thread that predicts."""
        self._drain: Callable[[], object] | None = None
        self._loop_thread: int | None = None

    def drain_by(self, drain: Callable[[], object]) -> None:
        """Call ``drain``, from another thread, once a prediction is overdue. Called by the event loop's thread."""
        self._drain = drain
        self._loop_thread = threading.get_ident()

    @contextlib.contextmanager
    def during(self, timeout_ms: int) -> Iterator[None]:
        """Around a prediction. ``timeout_ms``: how long its client waits."""
        thread = threading.get_ident()
        self._ends[thread] = time.monotonic() + timeout_ms / 1000 + self._grace_s
        try:
            yield
        finally:
            del self._ends[thread]

    def overdue(self) -> int:
        """How many predictions still run though their timeout and the grace are over."""
        if not self._ends:
            return 0
        now = time.monotonic()
        return sum(end < now for end in list(self._ends.values()))

    def in_time(self) -> bool:
        """Whether a prediction runs that is not overdue."""
        now = time.monotonic()
        return any(end >= now for end in list(self._ends.values()))

    def drain(self) -> bool:
        """Have the worker drain, once; False when the event loop cannot, because the overdue prediction runs there."""
        if self._loop_thread in self._ends:
            return False
        drain, self._drain = self._drain, None
        if drain is not None:
            drain()
        return True


class Watchdog:
    """A thread of the worker that rotates the log, writes the counts, and ends the process when it has to end.

    The process ends when a prediction hangs, when no controller renews the lease, and when no controller has a record
    of the worker. With ``log`` None in the configuration a guard or a keeper watches the log, the lease and the record.
    """

    def __init__(self, config: dict[str, Any], running: RunningPredictions, counts: Counts) -> None:
        self._config = config
        self._running = running
        self._counts = counts
        self._log = None if config["log"] is None else RotatedLog(config)
        self._fd = -1
        self._drains_until: float | None = None
        self._cpu = counts.allot(config["cpu_key"], 1) if config.get("cpu_key") else None

    def start(self) -> None:
        """Send all output to the log, and begin to watch."""
        if self._log is not None:
            self._redirect(self._log)
            print(life_line(self._config["worker_id"], "started"), flush=True)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _redirect(self, log: RotatedLog) -> None:
        self._fd = log.reopen()
        for standard in (1, 2):
            os.dup2(self._fd, standard)

    def _watch(self) -> None:
        lease = Lease(self._config["lease"], self._config["orphan_grace_s"])
        record = self._config.get("record")
        recorded_by = time.monotonic() + RECORDED_S
        while True:
            time.sleep(_LOOK_S)
            if self._running.overdue():
                self._end_overdue()
            self._count_cpu()
            # A full disk stops neither the worker nor this thread.
            with contextlib.suppress(OSError):
                self._counts.flush()
            if self._log is None:
                continue
            self._keep_log(self._log)
            if lease.expired():
                self._end(f"No controller for {self._config['orphan_grace_s']} s")
            if record and time.monotonic() > recorded_by and not os.path.exists(record):
                self._end("No controller has a record of this worker")

    def _count_cpu(self) -> None:
        # In hundredths of a second, so that an idle worker writes nothing for most of the time.
        if self._cpu is not None:
            self._counts.values[self._cpu] = int(time.process_time() * 100) / 100

    def _end_overdue(self) -> None:
        """Nothing in a process can end a thread, so the worker ends, after the predictions that are still in time."""
        now = time.monotonic()
        drains = self._running.drain()
        if self._drains_until is None or self._running.in_time():
            self._drains_until = now + _LAST_ANSWERS_S
        if not drains or now > self._drains_until:
            end_overdue()

    def _keep_log(self, log: RotatedLog) -> None:
        with contextlib.suppress(OSError):
            if os.fstat(self._fd).st_size >= self._config["log_max_bytes"]:
                self._redirect(log)

    def _end(self, why: str) -> None:
        say(f"{why}: ending.")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self._config["stop_grace_s"])
        # SIGTERM had no effect: a prediction does not end, or the model is still loading.
        os._exit(0)
