"""The processes of a worker, also those that left its session: finds, counts and kills them.

A process can leave its session, and outlive its parent, but not its descent: a worker adopts the orphans below it
(``PR_SET_CHILD_SUBREAPER``). Limits of the kernel cannot do this: RLIMIT_NPROC counts the threads of all of a user's
processes, also those of other workers, and does not bind root. Reads /proc; without /proc no process is found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Callable, Mapping, NamedTuple

_ALL_S = 10.0
_SUSPICIOUS = 32
"""More tasks on the machine than at the last count; then count again."""

_ROUNDS = 100


class Process(NamedTuple):
    """What says where a process comes from."""

    parent: int
    session: int


def processes() -> dict[int, Process]:
    """Every process of the machine by pid, zombies too: a zombie may have threads that still run."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            # The process may end meanwhile.
            with contextlib.suppress(OSError, ValueError, IndexError):
                if name.isdigit():
                    with open(f"/proc/{name}/stat", "rb") as stat:
                        # The command name is in parentheses and may hold anything; the state follows it.
                        fields = stat.read().rpartition(b")")[2].split(None, 4)
                    found[int(name)] = Process(int(fields[1]), int(fields[3]))
    return found


def members(found: Mapping[int, Process], *heads: int) -> set[int]:
    """The pids of these processes, of their sessions, and of all that descends from them."""
    children: dict[int, list[int]] = {}
    for pid, process in found.items():
        children.setdefault(process.parent, []).append(pid)
    known: set[int] = set()
    ahead = [pid for pid, process in found.items() if pid in heads or process.session in heads]
    while ahead:
        pid = ahead.pop()
        if pid not in known:
            known.add(pid)
            ahead += children.get(pid, [])
    return known


def kill_all(find: Callable[[Mapping[int, Process]], set[int]]) -> None:
    """Kill the processes that ``find`` finds, and look again until it finds no new ones.

    A killed process forks no more, so each round misses fewer processes that were forked meanwhile.
    """
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        fresh = find(processes()) - killed
        if not fresh:
            return
        for pid in fresh:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        killed |= fresh


def too_many(count: int, most: int) -> str:
    """For the log, where the controller reads the reason of the worker's end."""
    return f"ending: it had {count} processes, more than the {most} that its endpoint's max_processes allows"


class CountThrottle:
    """Says when to count processes: every 10 s, and at once when the machine has many more tasks than before."""

    def __init__(self) -> None:
        self._tasks = 0
        self._counted_at = -_ALL_S

    def due(self, within_s: float = _ALL_S) -> bool:
        """Whether to count now; one small read. ``within_s``: how old the last count may be."""
        tasks, now = _tasks(), time.monotonic()
        if tasks - self._tasks < _SUSPICIOUS and now - self._counted_at < within_s:
            self._tasks = min(tasks, self._tasks)
            return False
        self._tasks, self._counted_at = tasks, now
        return True


def _tasks() -> int:
    """Processes and threads of the whole machine; 0 where /proc is missing."""
    try:
        with open("/proc/loadavg") as loads:
            return int(loads.read().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return 0
