"""A file system of a worker's own: the directories and files of a plan, read-only, and nothing else of the machine.

Needs a mount namespace and the capability to mount, that is a user namespace or root.
"""

from __future__ import annotations

import contextlib
import os
from typing import Iterable, Mapping, NamedTuple, Optional, Sequence

from . import calls

TMP = "/tmp"  # noqa: S108 - the worker's own
SHM = "/dev/shm"  # noqa: S108 - the worker's own
_BASE = "/proc"
"""Any directory that every machine has: the new root is mounted here, and then becomes the root."""

_OLD, _CHANGES = "/.old", "/.changes"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    **{name: f"/proc/self/fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))},
    "fd": "/proc/self/fd",
    "core": "/proc/kcore",
    "ptmx": "pts/ptmx",
}
_PLAIN = calls.MS_NOSUID | calls.MS_NODEV
_NO_NEW_NAMESPACES = "/proc/sys/user/max_user_namespaces"


class Files(NamedTuple):
    """What a view shows. Paths are absolute, and the same within and without."""

    readable: Sequence[str]
    writable: Sequence[str]
    own: Sequence[str]
    """Directories that are there to be changed, in memory: nobody else sees the changes."""
    devices: Sequence[str]
    links: Mapping[str, str]
    """Symbolic links by path."""
    tmp_bytes: Optional[int]
    """The most that /tmp, /dev/shm and the changes to ``own`` may hold each, in memory."""


def enter(files: Files, *, forbid_user_namespaces: bool) -> None:
    """Make the view the root of this process, whose PID namespace must be its own. OSError.

    ``forbid_user_namespaces``: only in a user namespace of the worker's own, because the whole of it is bound.
    """
    # Before the old root is moved: absolute links would lead into the new root.
    real = {path: os.path.realpath(path) for path in (*files.readable, *files.own, *files.writable)}
    calls.mount("none", "/", None, calls.MS_REC | calls.MS_PRIVATE)
    calls.mount("tmpfs", _BASE, "tmpfs", _PLAIN, "mode=0755,size=16m")
    os.mkdir(_BASE + _OLD)
    calls.pivot_root(_BASE, _BASE + _OLD)
    os.chdir("/")
    _mount_proc(forbid_user_namespaces)
    _mount_devices(files.devices, files.tmp_bytes)
    _mount_memory(TMP, files.tmp_bytes)
    for path, target in files.links.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)
    for path in (*files.readable, *files.writable):
        _show(_OLD + real[path], path, may_write=path in files.writable)
    for path in files.writable:
        if os.path.isdir(path):
            calls.forbid_set_user_id(path)
    if files.own:
        _show_own({path: _OLD + real[path] for path in files.own}, files.tmp_bytes)
    calls.detach(_OLD)
    os.rmdir(_OLD)
    calls.make_read_only("/", below=False)


def _show(source: str, path: str, *, may_write: bool) -> None:
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


def _show_own(sources: Mapping[str, str], most_bytes: Optional[int]) -> None:
    """Directories over which a layer in memory takes the changes; read-only on a kernel that has no such layers."""
    _mount_memory(_CHANGES, most_bytes)
    for number, (path, source) in enumerate(sources.items()):
        upper, work = f"{_CHANGES}/{number}", f"{_CHANGES}/{number}.work"
        os.makedirs(path, exist_ok=True)
        for directory in (upper, work):
            os.mkdir(directory)
        options = f"lowerdir={_escaped(source)},upperdir={upper},workdir={work},userxattr"
        try:
            calls.mount("overlay", path, "overlay", _PLAIN, options)
        except OSError:
            _show(source, path, may_write=False)
    # The layers stay for as long as they are mounted.
    calls.detach(_CHANGES)
    os.rmdir(_CHANGES)


def _escaped(path: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\,:" else letter for letter in path)


def _mount_proc(forbid_user_namespaces: bool) -> None:
    os.mkdir("/proc", 0o555)
    calls.mount("proc", "/proc", "proc", _PLAIN | calls.MS_NOEXEC)
    if forbid_user_namespaces:
        with open(_NO_NEW_NAMESPACES, "w") as most:
            most.write("0")
    # As root, a worker could change kernel settings there even without capabilities.
    calls.make_read_only("/proc")


def _mount_devices(more: Iterable[str], tmp_bytes: Optional[int]) -> None:
    os.mkdir("/dev")
    calls.mount("tmpfs", "/dev", "tmpfs", calls.MS_NOSUID, "mode=0755,size=1m")
    for device in (*(f"/dev/{name}" for name in _DEVICES), *more):
        _show(_OLD + device, device, may_write=True)
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
