"""A file system of a worker's own: the directories and files of a plan, read-only, and nothing else of the machine.

Needs a mount namespace and the capability to mount, that is a user namespace or root.
"""

from __future__ import annotations

import contextlib
import os
from typing import Iterable, Mapping, Optional

from . import calls

TMP = "/tmp"  # noqa: S108 - the worker's own
SHM = "/dev/shm"  # noqa: S108 - the worker's own
_BASE = "/proc"
"""Any directory that every machine has: the new root is mounted here, and then becomes the root."""

_OLD = "/.old"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    **{name: f"/proc/self/fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))},
    "fd": "/proc/self/fd",
    "core": "/proc/kcore",
    "ptmx": "pts/ptmx",
}
_PLAIN = calls.MS_NOSUID | calls.MS_NODEV
_NO_NEW_NAMESPACES = "/proc/sys/user/max_user_namespaces"


def enter(
    readable: Iterable[str],
    links: Mapping[str, str],
    *,
    writable: Iterable[str],
    tmp_bytes: Optional[int],
    forbid_user_namespaces: bool,
) -> None:
    """Make the view the root of this process, whose PID namespace must be its own. OSError.

    ``links``: symbolic links by path. ``tmp_bytes``: the most that each of /tmp and /dev/shm may hold, in memory.
    ``forbid_user_namespaces``: only in a user namespace of the worker's own, because the whole of it is bound.
    """
    # Before the old root is moved: absolute links would lead into the new root.
    sources = [(os.path.realpath(path), path, False) for path in readable]
    sources += [(os.path.realpath(path), path, True) for path in writable]
    calls.mount("none", "/", None, calls.MS_REC | calls.MS_PRIVATE)
    calls.mount("tmpfs", _BASE, "tmpfs", _PLAIN, "mode=0755,size=16m")
    os.mkdir(_BASE + _OLD)
    calls.pivot_root(_BASE, _BASE + _OLD)
    os.chdir("/")
    _mount_proc(forbid_user_namespaces)
    _mount_devices(tmp_bytes)
    _mount_memory(TMP, tmp_bytes)
    for path, target in links.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)
    for source, path, may_write in sources:
        _show(_OLD + source, path, may_write)
    calls.detach(_OLD)
    os.rmdir(_OLD)
    calls.make_read_only("/", below=False)


def _show(source: str, path: str, may_write: bool) -> None:
    if not os.path.lexists(source):
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.isdir(source):
        os.makedirs(path, exist_ok=True)
    elif not os.path.lexists(path):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    calls.mount(source, path, None, calls.MS_BIND | calls.MS_REC)
    if not may_write:
        calls.make_read_only(path)


def _mount_proc(forbid_user_namespaces: bool) -> None:
    os.mkdir("/proc", 0o555)
    calls.mount("proc", "/proc", "proc", _PLAIN | calls.MS_NOEXEC)
    if forbid_user_namespaces:
        with open(_NO_NEW_NAMESPACES, "w") as most:
            most.write("0")
    # As root, a worker could change kernel settings there even without capabilities.
    calls.make_read_only("/proc")


def _mount_devices(tmp_bytes: Optional[int]) -> None:
    os.mkdir("/dev")
    calls.mount("tmpfs", "/dev", "tmpfs", calls.MS_NOSUID, "mode=0755,size=1m")
    for name in _DEVICES:
        if os.path.exists(f"{_OLD}/dev/{name}"):
            os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            calls.mount(f"{_OLD}/dev/{name}", f"/dev/{name}", None, calls.MS_BIND)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/pts")
    # Not on a kernel without pseudo-terminals of a namespace's own; few models want a terminal.
    with contextlib.suppress(OSError):
        calls.mount("devpts", "/dev/pts", "devpts", calls.MS_NOSUID | calls.MS_NOEXEC, "newinstance,ptmxmode=0666")
    _mount_memory(SHM, tmp_bytes)
    calls.make_read_only("/dev", below=False, devices=True)


def _mount_memory(path: str, most_bytes: Optional[int]) -> None:
    os.makedirs(path, exist_ok=True)
    calls.mount("tmpfs", path, "tmpfs", _PLAIN, "mode=1777" + (f",size={most_bytes}" if most_bytes else ""))
