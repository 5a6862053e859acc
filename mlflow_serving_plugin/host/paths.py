"""The state directory: who finds what where. All of it is private to the server's user."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import stat
import tempfile
from pathlib import Path

from mlflow_serving_plugin.errors import ConfigurationError

_logger = logging.getLogger(__name__)

LONGEST_SOCKET_PATH = 100
"""Bytes. A unix socket's path is limited to 108 on Linux and 104 on macOS."""

_LONGEST_SOCKET_NAME = 32


class StatePaths:
    """Every path below one state directory. ``sockets`` is elsewhere when the directory's own path is too long."""

    def __init__(self, root: Path, sockets: Path) -> None:
        self.root = root
        self.sockets = sockets
        self.models = root / "models"
        """Fetched model files, one directory an endpoint."""
        self.caches = root / "caches"
        """What libraries of models keep; a directory for each model of an endpoint that has a cache."""
        self.workers = root / "workers"
        """One record a worker, from which a new controller finds the worker again."""
        self.logs = root / "logs"
        """One rotated log an entity."""
        self.history = root / "history.db"
        """What the entities of this host did over time; see ``metrics.history_file``."""
        self.environments = root / "environments"
        """Python environments built for models, unless the settings name another directory."""
        self.metrics = root / "metrics"
        """What each process has counted; see ``metrics.files``."""
        self.calls = root / "calls"
        """The calls of the present minute, of endpoints with a limit; see ``host.call_counts``."""
        self.shadow = root / "shadow"
        """What shadows of serving endpoints answered otherwise; see ``host.differences``."""
        self.request_log_segments = root / "request-log-segments"
        """What web workers have logged and the writer has yet to write; see ``request_log``."""
        self.request_logs = root / "request-logs"
        """Request logs, unless the settings name other places."""
        self.routes = root / "routes.json"
        """The routes snapshot."""
        self.routes_at_stop = root / "routes-at-stop.json"
        """The last routes snapshot of a server that was stopped: what has not changed since is no event."""
        self.proofs = root / "proofs.json"
        """Which versions have been served; see ``controller.proofs``."""
        self.lease = root / "lease"
        """Touched by the controller at every tick; workers end themselves when the lease is old."""
        self.nudges = sockets / "nudge"
        """The datagram socket on which the controller hears that something may have changed."""

    @classmethod
    def create(cls, root: Path) -> StatePaths:
        """Make the directories, readable by this user only; ConfigurationError if that cannot be had."""
        root = root.expanduser().absolute()
        sockets = root / "sockets"
        if len(os.fsencode(sockets)) + 1 + _LONGEST_SOCKET_NAME > LONGEST_SOCKET_PATH:
            key = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
            sockets = Path(tempfile.gettempdir()) / f"mlflow-serving-{os.getuid()}-{key}"
        paths = cls(root, sockets)
        try:
            paths.make()
        except OSError as error:
            raise ConfigurationError(
                f"The serving state directory cannot be used: {error}. Set MLFLOW_SERVING_STATE_DIR."
            ) from error
        return paths

    def make(self) -> None:
        """Make the directories that are missing; OSError."""
        for directory in self._directories:
            _make_private(directory)

    def identity(self) -> tuple[int, ...] | None:
        """Tells these directories from others under the same paths; None when one of them is missing."""
        try:
            return tuple(directory.stat().st_ino for directory in self._directories)
        except OSError:
            return None

    @property
    def _directories(self) -> tuple[Path, ...]:
        return self.root, self.sockets, self.models, self.workers, self.logs, self.metrics

    def host_name(self) -> str:
        """A name of this host that no other host has, also where servers with directories of their own share one."""
        directory = hashlib.sha256(os.fsencode(self.root.absolute())).hexdigest()[:12]
        return f"{socket.gethostname()[:200]}/{directory}"

    def renew_lease(self) -> None:
        """Tell the workers that there is a controller."""
        try:
            self.lease.touch(mode=0o600)
            os.utime(self.lease)
        except OSError as error:
            _logger.error("The lease could not be renewed: %s.", error.strerror)  # noqa: TRY400 - one line a tick

    def lock(self, name: str) -> Path:
        """A lock file."""
        return self.root / f"{name}.lock"

    def entity_log(self, endpoint_id: str, name: str) -> Path:
        """The log of an entity: what its workers print."""
        return self.logs / endpoint_id / f"{name}.log"


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{directory} belongs to another user")
    if stat.S_IMODE(found.st_mode) != 0o700:
        directory.chmod(0o700)
