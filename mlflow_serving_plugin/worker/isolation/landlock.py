"""Landlock: which files a worker may use, and that it signals and traces no process but its own.

Rights by version of the interface, from the kernel's ``Documentation/userspace-api/landlock.rst``.
"""

from __future__ import annotations

import os
import stat
from typing import Iterable

from . import calls

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_ALL_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_ALL = (1 << 16) - 1
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_WRITE = _ALL & ~(_MAKE_CHAR | _MAKE_BLOCK)
_USE = _READ_FILE | _READ_DIR | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV
_TCP_SINCE, _TCP = 4, 3
_SCOPES_SINCE, _SCOPES = 6, 3
"""Abstract unix sockets, and signals."""


def restrict(
    version: int, *, readable: Iterable[str], writable: Iterable[str], devices: Iterable[str], network: bool
) -> None:
    """Hold this process, for good, to these files and directories. Paths that are not there are passed over.

    ``network`` False: no TCP either, which versions before 4 cannot deny. OSError.
    """
    handled = _ALL_BY_VERSION.get(version, _ALL)
    tcp = _TCP if version >= _TCP_SINCE and not network else 0
    ruleset = calls.landlock_ruleset(handled, tcp, _SCOPES if version >= _SCOPES_SINCE else 0, version)
    for paths, rights in ((readable, _READ), (devices, _USE), (writable, _WRITE)):
        for path in paths:
            _allow(ruleset, path, rights & handled)
    calls.landlock_restrict(ruleset)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _OF_FILES
        calls.landlock_allow(ruleset, rights, fd)
    finally:
        os.close(fd)
