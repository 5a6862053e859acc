"""Control groups (cgroup v2) of workers, where systemd or a container has delegated a group to the server.

The limits of a group bind all processes of a worker together, and the model's code cannot lift them. A group that has
groups below it may hold no process of its own, so the server's processes move to a group beside those of the workers.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping
from pathlib import Path

_SERVER, _WORKER = "server", "worker-"
_CONTROLLERS = ("memory", "cpu", "pids")
_PERIOD_US = 100_000
_TASKS_PER_PROCESS = 16
"""The kernel counts threads as well; ``max_processes`` does not. A bound on what is forked between two counts."""


def limits_of(settings: Mapping[str, object]) -> dict[str, str]:
    """The files of a worker's group, by name, for ``memory_limit_mb``, ``cpus``, ``max_processes`` and ``priority``."""
    memory_mb, cpus, processes = (settings.get(name) for name in ("memory_limit_mb", "cpus", "max_processes"))
    files: dict[str, str] = {}
    if isinstance(memory_mb, int):
        # The kernel ends all processes of a worker that is out of memory: a worker that lacks one of them would hang.
        files |= {"memory.max": str(memory_mb * 1024 * 1024), "memory.swap.max": "0", "memory.oom.group": "1"}
    if isinstance(cpus, (int, float)):
        files["cpu.max"] = f"{max(1000, int(cpus * _PERIOD_US))} {_PERIOD_US}"
    if settings.get("priority") == "background":
        files["cpu.weight"] = "10"  # of 100, which all other groups have
    if isinstance(processes, int):
        files["pids.max"] = str(processes * _TASKS_PER_PROCESS)
    return files


class Groups:
    """The groups of one server. ``controllers``: what can be limited here, of memory, cpu and pids; empty without."""

    def __init__(self, base: Path | None, controllers: frozenset[str] = frozenset()) -> None:
        self._base = base
        self._next_cpu = 0
        self.controllers = controllers

    def __str__(self) -> str:
        """What is limited, for a person."""
        return ", ".join(sorted(self.controllers)) or "nothing"

    @classmethod
    def find(cls, proc: Path = Path("/proc/self")) -> Groups:
        """The groups below the one that was delegated to this server; moves the server's processes beside them."""
        try:
            own = own_group(proc)
            base = own.parent if own is not None and own.name == _SERVER else own
            if base is None or not is_delegated(base):
                return cls(None)
            if own == base:
                _move_all(base, base / _SERVER)
            available = (base / "cgroup.controllers").read_text().split()
            for name in set(_CONTROLLERS) & set(available):
                with contextlib.suppress(OSError):
                    (base / "cgroup.subtree_control").write_text(f"+{name}")
            return cls(base, frozenset(_CONTROLLERS) & {*(base / "cgroup.subtree_control").read_text().split()})
        except OSError:
            return cls(None)

    def configure(self, worker_id: str, settings: Mapping[str, object]) -> dict[str, object]:
        """What a worker needs to know of its limits: see ``worker.process``. Makes the worker's group."""
        group, first = self._make(worker_id, settings), self._next_cpu
        cpus = settings.get("cpus")
        # Without a group each worker is kept to the CPUs after those of the worker before.
        self._next_cpu += math.ceil(cpus) if isinstance(cpus, (int, float)) else 0
        return {"group": group, "cpu_group": group is not None and "cpu" in self.controllers, "first_cpu": first}

    def _make(self, worker_id: str, settings: Mapping[str, object]) -> str | None:
        if self._base is None or not self.controllers:
            return None
        group = self._base / f"{_WORKER}{worker_id}"
        try:
            group.mkdir()
            for name, text in limits_of(settings).items():
                # Without swap in the kernel there is no such file.
                if name.partition(".")[0] in self.controllers and (group / name).exists():
                    (group / name).write_text(text)
        except OSError:
            return None
        return str(group)

    def remove(self, worker_id: str = "*") -> None:
        """Remove the group of a worker, or all groups, that have no process any more."""
        for group in self._base.glob(f"{_WORKER}{worker_id}") if self._base is not None else ():
            with contextlib.suppress(OSError):
                group.rmdir()


def own_group(proc: Path) -> Path | None:
    """The directory of a process's control group; None without cgroup v2."""
    name = next((line[3:] for line in (proc / "cgroup").read_text().splitlines() if line.startswith("0::")), "")
    for line in (proc / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, mounted_at = before.split()[3:5]
        if after.split()[0] == "cgroup2" and name.startswith(root) and ".." not in name:
            return Path(mounted_at) / name[len(root) :].lstrip("/")
    return None


def is_delegated(group: Path) -> bool:
    """Whether a group is this server's to divide: systemd marks a unit with ``Delegate=yes``.

    A container whose control groups are writable sees its own group as the root of all.
    """
    if not all(os.access(group / name, os.W_OK) for name in ("cgroup.procs", "cgroup.subtree_control")):
        return False
    for mark in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(group, mark) == b"1":
                return True
    # The root of the whole machine has no type.
    return not (group.parent / "cgroup.procs").exists() and (group / "cgroup.type").exists()


def _move_all(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for pid in (source / "cgroup.procs").read_text().split():
        # The process may have ended.
        with contextlib.suppress(ProcessLookupError):
            (target / "cgroup.procs").write_text(pid)
