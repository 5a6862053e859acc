"""The services of one web worker: what runs beside the requests, from the first request to the end of the process."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

_LOOK_S = 0.05


class Service(Protocol):
    """Something that runs in threads of its own. ``start`` and ``stop`` are called once each."""

    def start(self) -> None:
        """Start; does not block."""

    def stop(self) -> None:
        """Stop; may block for some seconds."""


@dataclass(frozen=True)
class AtStop:
    """A service that only has an end."""

    stop: Callable[[], Any]

    def start(self) -> None:
        """Nothing to start."""


class Background:
    """Starts and stops the services. ``make_services`` are called in the process that runs them, after any fork."""

    def __init__(self, make_services: Sequence[Callable[[], Service]]) -> None:
        self._make_services = make_services
        self._lock = threading.Lock()
        self._stopping = threading.Lock()
        self._pid: int | None = None
        self._running = ExitStack()

    def ensure_started(self) -> None:
        """Start the services in their order, unless this very process has started them."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid != os.getpid():
                self._running = self._start()
                self._pid = os.getpid()

    def stop(self) -> None:
        """Stop the services, the last one first. Idempotent; a second call waits for the first."""
        with self._stopping:
            with self._lock:
                running, self._running = self._running, ExitStack()
            if self._pid == os.getpid():
                running.close()

    def stop_at_exit(self) -> None:
        """Stop when this process ends, unless the web server stops its app before."""
        # Run in reverse: with MLflow's heap frozen, the garbage collector's last round takes no seconds.
        atexit.register(gc.freeze)
        atexit.register(self.stop)
        if _handler() is signal.SIG_DFL:
            # waitress does not handle SIGTERM, and Python would end without its exit handlers.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    def stop_early(self, busy: Callable[[], bool]) -> None:
        """On SIGTERM, stop as soon as no request is being scored, whatever else the web server waits for.

        A threaded gunicorn worker (23 to 26) waits for the idle connections of clients until gunicorn kills it, and
        its exit handlers are never run.
        """
        handler = _handler()
        if callable(handler):
            signal.signal(signal.SIGTERM, partial(self._hand_on, handler, busy))

    def _start(self) -> ExitStack:
        with ExitStack() as started:
            for make in self._make_services:
                service = make()
                service.start()
                started.callback(service.stop)
            return started.pop_all()

    def _hand_on(self, handler: Callable[[int, Any], Any], busy: Callable[[], bool], number: int, frame: Any) -> None:
        def stop() -> None:
            while busy():
                time.sleep(_LOOK_S)
            self.stop()

        threading.Thread(target=stop, name="serving-stop", daemon=True).start()
        handler(number, frame)


def _handler() -> Any:
    """The present handler of SIGTERM; None outside the main thread, where it cannot be changed."""
    main = threading.current_thread() is threading.main_thread()
    return signal.getsignal(signal.SIGTERM) if main else None
