"""What tests of all kinds share."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

_FIRST_POLL_S, _LONGEST_POLL_S = 0.02, 0.3
"""A condition that takes long is looked at less often: looking takes time from what is waited for."""


def eventually(condition: Callable[[], Any], within_s: float = 30.0, tail: Callable[[], str] | None = None) -> Any:
    """Wait until ``condition()`` is true and return it; fail after ``within_s`` seconds with what ``tail()`` says."""
    deadline = time.monotonic() + within_s
    pause_s = _FIRST_POLL_S
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {condition}\n{tail() if tail else ''}")
        time.sleep(pause_s)
        pause_s = min(1.2 * pause_s, _LONGEST_POLL_S)
    return found


def again_and_again(for_s: float, pause_s: float = 0.1) -> Iterator[float]:
    """The seconds gone by, again and again for so long; with pauses, for requests without one keep processors busy."""
    began = time.monotonic()
    while (gone_s := time.monotonic() - began) < for_s:
        yield gone_s
        time.sleep(pause_s)


def command_line(process: psutil.Process) -> list[str]:
    """The words of a process's command line; none when the process has ended meanwhile."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def processes_about(root: Path) -> list[psutil.Process]:
    """Every process but this one whose command line or environment names a directory, or that stands there, and what
    these have started.

    Only root reads the environment of a process that hides it, as those of the server do.
    """
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            with contextlib.suppress(psutil.AccessDenied):
                words += [*process.environ().values(), process.cwd()]
            if process.pid != os.getpid() and any(str(root) in word for word in words):
                found[process.pid] = process
    if os.getuid() != 0:
        for process in [*found.values()]:
            with contextlib.suppress(psutil.Error):
                found |= {child.pid: child for child in process.children(recursive=True)}
    return [*found.values()]
