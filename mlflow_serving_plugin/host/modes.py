"""Which directories of the server other users of the machine may change."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path


def loose_directories(directories: Iterable[Path]) -> list[Path]:
    """The directories, and those above, in which another user may replace what the server reads or runs.

    These are the directories that belong to neither this user nor root, and those that a group or everybody can write
    to. Where the sticky bit is set, as on ``/tmp``, nobody replaces what belongs to somebody else. Missing directories
    are left out.
    """
    found = (above for directory in directories for above in _up(directory))
    return [path for path in dict.fromkeys(found) if _is_loose(path)]


def _up(directory: Path) -> Iterator[Path]:
    resolved = directory.resolve()
    yield from (resolved, *resolved.parents)


def _is_loose(path: Path) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    if found.st_uid not in {os.getuid(), 0}:
        return True
    by_group = found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid)
    return bool((by_group or found.st_mode & stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX)


def _is_own_group(group: int) -> bool:
    """Whether a group is root's, or has this user as its only member by the custom of a group for each user."""
    with contextlib.suppress(KeyError):
        return group == 0 or grp.getgrgid(group).gr_name == pwd.getpwuid(os.getuid()).pw_name
    return False
