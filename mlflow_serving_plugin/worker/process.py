"""What the kernel is asked for on behalf of a process."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    """prctl(2) on Linux, nothing elsewhere."""
    if sys.platform.startswith("linux"):
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value)


def limit_memory(limit_mb: int | None) -> None:
    """Limit this process's data (heap and private mappings); None: no limit."""
    if limit_mb:
        import resource

        limit = limit_mb * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def kill_session() -> None:
    """Kill every process of this one's session, whatever its process group, and this process last."""
    with contextlib.suppress(OSError):  # no /proc: only the process group
        session = os.getsid(0)
        for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
            with contextlib.suppress(OSError):
                if pid != os.getpid() and os.getsid(pid) == session:
                    os.kill(pid, signal.SIGKILL)
    os.killpg(0, signal.SIGKILL)


def how_it_ended(exit_code: int) -> str:
    """For the log. Negative: minus the number of the signal that killed it, as ``subprocess`` has it."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    known = {number.value: number.name for number in signal.Signals}
    return f"killed by {known.get(-exit_code, -exit_code)}"
