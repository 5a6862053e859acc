"""A Ray cluster of this machine, and the processes of its nodes."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from pathlib import Path

import psutil

from support import command_line, processes_about

_SMALL = {"object_store_memory": 80 * 1024 * 1024}
_NODE_DEATH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 5,
}
"""Ray finds a killed raylet after 15 s by default, a stopped one after a minute."""


class RayCluster:
    """A head that runs no workers, and nodes of some CPUs (and GPUs, which Ray only counts) each; a context manager.

    ``node_dir``: below it lie the directories of all nodes. ``settings``: of a server on this cluster.
    """

    def __init__(self, nodes: int, cpus: int = 1, gpus: int = 0) -> None:
        self.node_dir = Path(tempfile.mkdtemp(prefix="mlr-"))
        self._start()
        self.nodes = [self._cluster.add_node(num_cpus=cpus, num_gpus=gpus, **_SMALL) for _ in range(nodes)]
        self.settings = {
            **{"backend": "ray", "ray_address": self._cluster.address, "ray_node_dir": str(self.node_dir)},
            **{"start_timeout_s": 120.0, "orphan_grace_s": 30.0},
        }

    def _start(self, **options: int) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": _NODE_DEATH, **_SMALL, **options}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.shutdown()
        for process in processes_about(self.node_dir):
            with contextlib.suppress(psutil.Error):
                process.kill()
        shutil.rmtree(self.node_dir, ignore_errors=True)

    def add_node(self) -> None:
        """One more node, in place of one that is gone."""
        self.nodes.append(self._cluster.add_node(num_cpus=1, **_SMALL))

    def kill_head(self) -> None:
        """The cluster's memory of itself, if that has not gone before."""
        if "gcs_server" in self._cluster.head_node.all_processes:
            self._cluster.head_node.kill_gcs_server()

    def start_anew(self) -> None:
        """A cluster of one node at the same address, which knows nothing of the one before."""
        self._cluster.shutdown()
        self._start(gcs_server_port=int(self.settings["ray_address"].rpartition(":")[2]))
        self.nodes = []
        self.add_node()

    def raylet(self, node_id: str) -> int:
        """The pid of a node's raylet."""
        node = next(node for node in self.nodes if node.node_id == node_id)
        return node.all_processes["raylet"][0].process.pid

    def agent(self, node_id: str) -> int:
        """The pid of a node's agent."""
        return _titled("ray::NodeAgent", self.raylet(node_id))

    def place(self, node_id: str) -> int:
        """The pid of what holds the room of a node's worker."""
        return _titled("ray::Place", self.raylet(node_id))

    def relay(self, node_id: str) -> int:
        """The pid of a node's relay."""
        return json.loads((self._root(node_id) / "relay.json").read_text())["pid"]

    def worker(self, node_id: str) -> int:
        """The pid of a node's worker."""
        (record,) = (self._root(node_id) / "workers").glob("*.json")
        return json.loads(record.read_text())["pid"]

    def process_of(self, worker_id: str) -> int:
        """The pid of a worker, whichever server it is of."""
        (record,) = self.node_dir.glob(f"*/workers/{worker_id}.json")
        return json.loads(record.read_text())["pid"]

    def worker_processes(self) -> list[psutil.Process]:
        """The processes of workers and zygotes on all nodes."""
        return [p for p in processes_about(self.node_dir) if "mlflow_serving_plugin.relay" not in command_line(p)]

    def node_processes(self, node_id: str) -> list[int]:
        """All that a machine would take with it: raylet, what runs below, and the workers."""
        raylet = psutil.Process(self.raylet(node_id))
        below = [raylet.pid, *(process.pid for process in raylet.children(recursive=True))]
        return [*below, *(process.pid for process in processes_about(self._root(node_id)))]

    def _root(self, node_id: str) -> Path:
        (found,) = self.node_dir.glob(f"{node_id[:12]}-*")
        return found


def _titled(title: str, raylet: int) -> int:
    below = psutil.Process(raylet).children(recursive=True)
    return next(p.pid for p in below if any(word.startswith(title) for word in command_line(p)))
