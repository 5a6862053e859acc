"""Processes, told apart from later processes with the same pid."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from pathlib import Path

import psutil


def start_stamp(pid: int) -> str | None:
    """What tells this process from any other with its pid; None when it is gone or a zombie.

    OSError when this process cannot look at it now, as without a free file descriptor.

    On Linux the start time in clock ticks since boot, which a change of the wall clock leaves alone, and the boot.
    """
    if sys.platform.startswith("linux"):
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command name is in parentheses and may hold anything; the state follows it.
        fields = stat[stat.rindex(b")") + 2 :].split()
        return None if fields[0] in {b"Z", b"X"} else f"{fields[19].decode()} {_boot_id()}"
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped, by a signal or a debugger. Known on Linux only; elsewhere False."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return chr(stat[stat.rindex(b")") + 2]) in "Tt"


def runs(pid: int, stamp: str) -> bool:
    """Whether the very process with this stamp runs. What cannot be looked at is not taken for dead."""
    try:
        return start_stamp(pid) == stamp
    except OSError:
        return True


@functools.cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _of_another_boot(stamp: str) -> bool:
    return sys.platform.startswith("linux") and not stamp.endswith(_boot_id())


def session_members(session: int) -> list[int]:
    """Pids of all processes of a session. The kernel reuses no pid that still names a session."""
    members = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == session and start_stamp(pid) is not None:
                members.append(pid)
    return members


def kill_session(session: int, stamp: str | None = None) -> None:
    """Kill every process of a session at once.

    ``stamp``: of the process that began the session. Nothing is done when another process has got that process's pid
    since, say because the machine was restarted. None: it is this process's child.
    """
    if stamp is not None and (start_stamp(session) not in {None, stamp} or _of_another_boot(stamp)):
        return
    for pid in session_members(session):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
