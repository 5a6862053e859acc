"""The context in which the model's code runs, the same while it loads, is tried and serves.

Library models run on the event loop's own thread (see ``engine``). Even so, ``asyncio.run`` in a model works: no loop
is seen to run while the model's code does. The model may also fork: a child is no server, and never answers.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from types import TracebackType
from typing import Any, Callable, Iterable

from .process import end_with

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class ModelCode:
    """Around each call of the model's code: ``with model_code:``. For one worker process; from any of its threads."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._wakeup_fd = -1
        self._outside: dict[int, Any] = {}
        """The loop that runs in a thread, by thread, while the model's code runs there."""
        self._masks: dict[int, Any] = {}
        """The signals that were blocked before a fork, by thread."""

    def __enter__(self) -> None:
        self._outside[threading.get_ident()] = asyncio._get_running_loop()
        asyncio._set_running_loop(None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if os.getpid() != self._pid:
            # A child that came back would answer as this worker.
            end_with(lambda: _come_back(error))
        loop = self._outside.pop(threading.get_ident())
        asyncio._set_running_loop(loop)
        if loop is not None:
            # An event loop that the model has run may have put its own there: SIGTERM would not be noticed.
            signal.set_wakeup_fd(self._wakeup_fd, warn_on_full_buffer=False)

    def serve(self, before: dict[int, Any], descriptors: Callable[[], Iterable[int]]) -> None:
        """The event loop has installed its handlers of SIGTERM and SIGINT: forked children get those of ``before``.

        Otherwise ``multiprocessing`` could not end them, and their signals would reach this process through the
        descriptor that wakes the loop. ``descriptors``: of sockets, which the children get closed.
        """
        self._wakeup_fd = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(self._wakeup_fd, warn_on_full_buffer=False)
        ours = {number: signal.getsignal(number) for number in before}

        def hold_signals() -> None:
            # A child may be sent SIGTERM before it has its handlers.
            self._masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, before)

        def release_signals() -> None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.pop(threading.get_ident()))

        def part() -> None:
            signal.set_wakeup_fd(-1)
            early = signal.sigpending()
            for number, handler in before.items():
                if signal.getsignal(number) is ours[number]:
                    # Python ignores what a handler raises here.
                    signal.signal(number, signal.SIG_DFL if number in early else handler)
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in filter(lambda number: number >= 0, descriptors()):
                # Not closed: an object that still knows the number would close another file of the child.
                os.dup2(null, descriptor, inheritable=False)
            os.close(null)
            release_signals()

        os.register_at_fork(before=hold_signals, after_in_parent=release_signals, after_in_child=part)


def handlers() -> dict[int, Any]:
    """What SIGTERM and SIGINT do now."""
    return {number: signal.getsignal(number) for number in _STOPPING}


def _come_back(error: BaseException | None) -> int:
    """The exit code of a forked child that has come back from the model's code, as a script's would be."""
    if isinstance(error, SystemExit):
        return error.code & 0xFF if isinstance(error.code, int) else int(error.code is not None)
    if error is not None:
        raise error
    return 0
