"""The memory of this host: how much there is, what families of processes take, and whether the kernel runs short.

Linux tells how much of a page shared by several processes counts for each (proportional set size, PSS): the sum over
workers forked from one zygote is what the workers really take. Elsewhere the resident size stands for both figures.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from mlflow_serving_plugin.host.cgroups import own_group
from mlflow_serving_plugin.worker.process_tree import members, processes

_STALLED = re.compile(r"^full avg10=(\d+\.\d+)", re.MULTILINE)
_LARGEST_HEAD = 8 * 2**20
"""A guard takes so much. A keeper takes less, but its resident size has all the pages that it shares with its zygote;
both hide the rest from all users but root."""

_ROLLED_UP = re.compile(rb"^(Pss|Private_Clean|Private_Dirty):\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Taken:
    """Memory in bytes. ``total``: with the share of shared pages; ``own``: what the end of the processes frees."""

    total: int = 0
    own: int = 0

    def __add__(self, other: Taken) -> Taken:
        return Taken(self.total + other.total, self.own + other.own)


def taken_by(heads: Mapping[str, int]) -> dict[str, Taken]:
    """What each family of processes takes: a process, its session and its descendants. By the names in ``heads``.

    A family that has ended is left out. Takes a millisecond for each process.
    """
    found = processes()
    if not found:
        return {name: taken for name, pid in heads.items() if (taken := _resident(pid)) is not None}
    families = {name: members(found, pid) for name, pid in heads.items()}
    return {
        name: sum((_taken(pid, _LARGEST_HEAD if pid == heads[name] else None) for pid in family), Taken())
        for name, family in families.items()
        if heads[name] in family
    }


def taken_by_one(pid: int) -> Taken:
    """What one process takes, without its children; nothing when it has ended."""
    return _taken(pid)


def _taken(pid: int, most_if_hidden: int | None = None) -> Taken:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    except OSError:
        # Not this user's process, a process that hides from its user, or no Linux.
        with contextlib.suppress(psutil.Error):
            resident = int(psutil.Process(pid).memory_info().rss)
            taken = resident if most_if_hidden is None else min(resident, most_if_hidden)
            return Taken(taken, taken)
        return Taken()
    sizes = {name: int(kilobytes) * 1024 for name, kilobytes in _ROLLED_UP.findall(text)}
    return Taken(sizes.get(b"Pss", 0), sizes.get(b"Private_Clean", 0) + sizes.get(b"Private_Dirty", 0))


def _resident(pid: int) -> Taken | None:
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        resident = sum(int(member.memory_info().rss) for member in family)
    except psutil.Error:
        return None
    return Taken(resident, resident)


def machine_memory_bytes(proc: Path = Path("/proc/self")) -> int:
    """The memory of this machine, or of the container or systemd unit that this process runs in."""
    limits = [int(psutil.virtual_memory().total)]
    files = [Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory.max")]
    with contextlib.suppress(OSError):
        group = own_group(proc)
        files += [directory / "memory.max" for directory in (group, *group.parents)] if group is not None else []
    for file in files:
        # No such control group, or the word "max".
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(file.read_text()))
    return min(limits)


def stalled_percent(proc: Path = Path("/proc")) -> float:
    """For how much of the last ten seconds nothing ran for want of memory, in percent; 0 where the kernel says nothing.

    The highest of the machine and of this process's control group.
    """
    files = [proc / "pressure" / "memory"]
    with contextlib.suppress(OSError):
        group = own_group(proc / "self")
        files += [group / "memory.pressure"] if group is not None else []
    found = [0.0]
    for file in files:
        with contextlib.suppress(OSError):
            found += [float(percent) for percent in _STALLED.findall(file.read_text())]
    return max(found)


def give_back() -> None:
    """Give memory that is not in use back to the kernel, where the C library has a call for that, as glibc has."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
