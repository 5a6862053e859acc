"""The routes snapshot as a file: written by the controller, read by every web worker without a lock."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from mlflow_serving_plugin.domain.routes import Routes, dump_routes, load_routes

_logger = logging.getLogger(__name__)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file, readable by this user only, so that a reader sees the old content or the new, never a part."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    scratch.touch(0o600)
    scratch.write_bytes(data)
    scratch.replace(path)


def publish(path: Path, routes: Routes) -> None:
    """Replace the snapshot."""
    write_atomically(path, dump_routes(routes))


class SnapshotReader:
    """The newest routes, from memory; the file is looked at (one ``stat``) at most every ``check_every_s``."""

    def __init__(self, path: Path, check_every_s: float = 0.02) -> None:
        self._path = path
        self._check_every_s = check_every_s
        self._next_check = 0.0
        self._seen: tuple[int, int, int] | None = None
        self._routes = Routes()

    def current(self) -> Routes:
        """The routes now. A missing or damaged snapshot leaves those known before."""
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + self._check_every_s
            self._refresh()
        return self._routes

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            identity = (found.st_ino, found.st_mtime_ns, found.st_size)
            if identity == self._seen:
                return
            data = self._path.read_bytes()
            # A damaged one is read, and told of, once; whatever comes next is another file.
            self._seen = identity
            self._routes = load_routes(data)
        except FileNotFoundError:
            return
        except (OSError, ValueError):
            _logger.exception("The routes snapshot %s could not be read; using the one before.", self._path)
