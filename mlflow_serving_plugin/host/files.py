"""Files that other processes read while they are replaced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

FileIdentity = tuple[int, int, int]


def file_identity(path: Path) -> FileIdentity:
    """What tells a file from any other that gets its name; OSError."""
    return identity_of(path.stat())


def identity_of(found: os.stat_result) -> FileIdentity:
    """What tells a file from any other that gets its name, by the facts of the file."""
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def write_atomically(path: Path, data: bytes | Iterable[bytes]) -> FileIdentity:
    """Replace a file, readable by this user only, so that a reader sees the old content or the new, never a part.

    ``data``: also in pieces. Returns what tells the new file from any other.
    """
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        scratch.touch(0o600)
        with scratch.open("wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
        # Looked at before anybody else can have changed it.
        identity = file_identity(scratch)
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
    return identity


def remove(path: Path) -> None:
    """Remove a file, or a directory with all that is in it; neither need be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
