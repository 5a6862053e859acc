"""Which web workers of the host are there: each holds a shared lock, so the last one to leave can tell that it is."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from filelock import FileLock


class Presence:
    """One web worker's presence, from creation to ``leave``. A killed process leaves by itself."""

    def __init__(self, path: Path) -> None:
        self._gate = FileLock(path.with_name(f"{path.name}.gate"))
        # filelock has exclusive locks only.
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def leave(self) -> bool:
        """Be gone; True when nobody else is there."""
        # One at a time: two that leave together would each find the other still there.
        with self._gate:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            finally:
                os.close(self._fd)
            return True
