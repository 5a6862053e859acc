"""The routes snapshot as a file: written by the controller, read by every web worker without a lock."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import BinaryIO

from mlflow_serving_plugin.domain.routes import Routes
from mlflow_serving_plugin.domain.routes_text import OtherFormatError, RoutesReader, RoutesWriter
from mlflow_serving_plugin.host.files import FileIdentity, file_identity, identity_of, write_atomically
from mlflow_serving_plugin.host.throttled import Throttled

_logger = logging.getLogger(__name__)


_BUFFER_BYTES = 1 << 16


def publish(path: Path, routes: Routes) -> None:
    """Replace the snapshot; OSError."""
    Publisher(path).publish(routes)


def retire(path: Path, at_stop: Path) -> None:
    """Take the snapshot away from readers when the server stops, and keep what it says for ``routes_before``."""
    with contextlib.suppress(FileNotFoundError):
        path.replace(at_stop)


def routes_before(path: Path, at_stop: Path) -> Routes:
    """What an earlier controller has published, before the server was stopped perhaps; no routes if unreadable."""
    try:
        with (path if path.exists() else at_stop).open("rb") as file:
            return RoutesReader().load(file)
    except FileNotFoundError:
        return Routes()
    except OtherFormatError:
        _logger.info("The routes snapshot is of another version of this package; building a new one.")
        return Routes()
    except (OSError, ValueError):
        _logger.warning("The routes snapshot is damaged; building a new one.")
        return Routes()


class Publisher:
    """The controller's end: replaces the snapshot, and notices when another process has replaced it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = RoutesWriter()
        self._written: FileIdentity | None = None

    def publish(self, routes: Routes) -> None:
        """Replace the snapshot; OSError."""
        self._written = write_atomically(self._path, self._writer.lines(routes))

    def intact(self) -> bool:
        """Whether the file is the one that was written last: neither changed nor gone."""
        try:
            return self._written is not None and file_identity(self._path) == self._written
        except OSError:
            return False


class SnapshotReader:
    """The newest routes, from memory; the file is looked at (one ``stat``) at most every ``check_every_s``."""

    def __init__(self, path: Path, check_every_s: float = 0.02) -> None:
        self._path = path
        self._check_every_s = check_every_s
        self._next_check = 0.0
        self._seen: FileIdentity | None = None
        self._routes = Routes()
        self._reader = RoutesReader()
        self._unreadable = Throttled(_logger)

    def current(self) -> Routes:
        """The routes now. A missing or damaged snapshot leaves those known before."""
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + self._check_every_s
            self._refresh()
        return self._routes

    def _refresh(self) -> None:
        try:
            if file_identity(self._path) != self._seen:
                # Line by line: as a whole the snapshot of a thousand models would take megabytes.
                with self._path.open("rb", _BUFFER_BYTES) as file:
                    self._load(file)
        except FileNotFoundError:
            return
        except OtherFormatError as error:
            _logger.info("Waiting for the controller to replace the routes snapshot: %s.", error)
        except (OSError, ValueError) as error:
            self._unreadable.log(
                logging.ERROR, "The routes snapshot could not be read; using the one before: %s", error
            )

    def _load(self, file: BinaryIO) -> None:
        identity = identity_of(os.fstat(file.fileno()))
        try:
            self._routes = self._reader.load(file)
        except ValueError:
            # A damaged snapshot is read and logged once; the next snapshot is another file.
            self._seen = identity
            raise
        self._seen = identity
