"""The driver of the Ray cluster as a process of its own, which the Ray backend asks over a socket.

Ray ends a process that is connected to a cluster for good when the cluster's head is gone for a minute, and the
server must not end with it. Reads a JSON line with ``address``, ``key``, ``server`` and ``settings`` from its standard
input, and ends when that is closed. Only this process and the nodes import ray.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from multiprocessing.managers import BaseManager
from pathlib import Path

from mlflow_serving_plugin.backends.ray_driver import Cluster
from mlflow_serving_plugin.settings import Settings


class DriverManager(BaseManager):
    """How the backend and its driver talk. ``cluster`` is the driver's one ``Cluster``."""


def main() -> int:
    """See the module."""
    hello = json.loads(sys.stdin.readline())
    cluster = Cluster(Settings(**hello["settings"]), hello["server"])
    DriverManager.register("cluster", callable=lambda: cluster)
    threading.Thread(target=_end_with_backend, args=(Path(hello["address"]),), daemon=True).start()
    server = DriverManager(address=hello["address"], authkey=bytes.fromhex(hello["key"])).get_server()
    server.serve_forever()
    return 0


def _end_with_backend(socket: Path) -> None:
    """End when the backend's process has ended, however it has."""
    sys.stdin.read()
    socket.unlink(missing_ok=True)
    os._exit(0)
