"""The backend's side of the driver of Ray, which is a process of its own; see ``ray_process``."""

from __future__ import annotations

import importlib.util
import json
import logging
import secrets
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from multiprocessing.managers import BaseManager
from typing import Any

from mlflow_serving_plugin.backends.ray_nodes import head_of
from mlflow_serving_plugin.host.files import write_atomically
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.settings import Settings

_logger = logging.getLogger(__name__)
_HEAD_S = 5.0
_START_S = 60.0
_JOIN_S = 30.0
"""A head that accepts connections and says nothing is away after so long. Ray itself waits a minute and more."""

_DRIVER = "import sys; from mlflow_serving_plugin.backends.ray_process import main; sys.exit(main())"


class _Manager(BaseManager):
    """This side of ``ray_process.DriverManager``."""


_Manager.register("cluster")


class RayClient:
    """At most one driver at a time. ``cluster``: ``ray_driver.Cluster`` in the driver; None while Ray is away."""

    def __init__(self, settings: Settings, paths: StatePaths) -> None:
        self._settings = for_nodes(settings)
        self._paths = paths
        self._driver: subprocess.Popen[bytes] | None = None
        self.cluster: Any = None
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def connect(self) -> None:
        """Start the driver, and join the cluster. OSError; for good after ``close``."""
        if head := head_of(self._settings.ray_address):
            # No process is started for a head that is gone.
            socket.create_connection(head, _HEAD_S).close()
        address = str(self._paths.sockets / f"ray-{secrets.token_hex(4)}")
        key = secrets.token_hex(32)
        process = self._start()
        hello = {"address": address, "key": key, "server": self._server(), "settings": asdict(self._settings)}
        # The key is on no command line. The driver ends when this pipe does.
        if process.stdin is not None:
            process.stdin.write(json.dumps(hello).encode() + b"\n")
            process.stdin.flush()
        manager = _Manager(address=address, authkey=bytes.fromhex(key))
        deadline = time.monotonic() + _START_S
        while True:
            try:
                manager.connect()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline or self._closed.is_set():
                    raise ConnectionError(_why_no_driver()) from None
                time.sleep(0.05)
        cluster: Any = manager.cluster()  # type: ignore[attr-defined]
        _join(cluster, process)
        _logger.info("Joined the Ray cluster.")
        self.cluster = cluster

    def end(self) -> None:
        """End the driver, if there is one. ``connect`` starts another one."""
        with self._lock:
            self.cluster = None
            driver, self._driver = self._driver, None
            if driver is not None:
                driver.kill()
                driver.wait()
                if driver.stdin is not None:
                    driver.stdin.close()
                self.remove_sockets()

    def close(self) -> None:
        """End the driver for good."""
        self._closed.set()
        self.end()

    def remove_sockets(self) -> None:
        """Those of drivers that have ended; there is never more than one driver."""
        for left in self._paths.sockets.glob("ray-*"):
            left.unlink(missing_ok=True)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed.is_set():
                raise ConnectionError("the server is stopping")
            self._driver = subprocess.Popen(
                [sys.executable, "-c", _DRIVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            return self._driver

    def _server(self) -> str:
        """This server's id, by which the next server of the state directory finds its workers."""
        path = self._paths.root / "ray-server"
        if not path.exists():
            write_atomically(path, secrets.token_hex(8).encode())
        return path.read_text()


def for_nodes(settings: Settings) -> Settings:
    """The settings without what may hold a password or a key: Ray hands the others on to the nodes, and keeps them."""
    return replace(settings, database_uri="", request_log_roots="")


def _why_no_driver() -> str:
    if importlib.util.find_spec("ray") is None:
        return "ray is not installed: pip install 'mlflow-serving-plugin[ray]'"
    return "the process that talks to Ray did not start"


def _join(cluster: Any, process: subprocess.Popen[bytes]) -> None:
    """Join within the time; ConnectionError."""
    timer = threading.Timer(_JOIN_S, process.kill)
    timer.daemon = True
    timer.start()
    try:
        cluster.connect()
    except (EOFError, ConnectionResetError):
        raise ConnectionError("it does not answer") from None
    finally:
        timer.cancel()
