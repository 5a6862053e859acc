"""A Ray cluster from the driver's side: meets the nodes, asks Ray for places, and starts workers through agents."""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerSpec, WorkerStatus
from mlflow_serving_plugin.backends.model_files import Manifest, manifest_of, pieces
from mlflow_serving_plugin.backends.ray_actors import NodeAgent, agent_name
from mlflow_serving_plugin.backends.ray_nodes import Seen, facts_here, labels_of, no_room, unfit, why_failed, why_unmet
from mlflow_serving_plugin.backends.ray_places import Place
from mlflow_serving_plugin.settings import Settings

_MEET_S = 60.0
_ANSWER_S = 5.0
_MEET_AGAIN_S = 30.0
_FROZEN_S = 15.0
"""An agent that says nothing for so long is sent nothing, and launches there are given up."""

_ROOM_S = 60.0
"""How long a launch waits for a node with room; then the controller tries again later."""


@dataclass(slots=True)
class _Node:
    """One node. ``agent`` None: not met yet, or unusable for the reason."""

    host: str
    agent: Any = None
    reason: str = ""
    met_at: float = 0.0
    workers: list[WorkerStatus] = field(default_factory=list)
    answered_at: float | None = None
    """When the agent has said last which workers there are."""

    @property
    def met(self) -> bool:
        """Whether it is known what the node is good for."""
        return self.answered_at is not None or bool(self.reason)

    @property
    def answers(self) -> bool:
        """Whether the agent is fit, and not frozen."""
        return self.answered_at is not None and time.monotonic() - self.answered_at < _FROZEN_S


class Cluster:
    """Thread-safe; every method blocks. What it raises can be pickled."""

    def __init__(self, settings: Settings, server: str) -> None:
        self._settings = settings
        self._server = server
        # Each server has agents and workers of its own, so that two servers can share a cluster.
        self._namespace = f"mlflow-serving-{server}"
        self._nodes: dict[str, _Node] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(8)
        self._manifest = cache(manifest_of)
        self._ray: Any = importlib.import_module("ray")
        self._errors: Any = importlib.import_module("ray.exceptions")

    def connect(self) -> None:
        """Join the cluster; ConnectionError."""
        try:
            self._ray.init(
                address=self._settings.ray_address or "auto",
                namespace=self._namespace,
                log_to_driver=False,
                configure_logging=False,
            )
        except Exception as error:
            raise ConnectionError(type(error).__name__) from None

    def observe(self) -> Seen:
        """Meet new nodes, and ask all agents for their workers."""
        alive = {node["NodeID"]: node["NodeManagerAddress"] for node in self._ray.nodes() if node["Alive"]}
        with self._lock:
            self._nodes = {node_id: self._nodes.get(node_id) or _Node(host) for node_id, host in alive.items()}
            nodes = dict(self._nodes)
        now = time.monotonic()
        for node_id, node in nodes.items():
            if node.agent is None and (not node.met_at or now - node.met_at > _MEET_AGAIN_S):
                node.met_at = now
                self._pool.submit(self._meet, node_id, node)
        agents = [(node, node.agent) for node in nodes.values()]
        asked = {agent.observe.remote(): node for node, agent in agents if agent is not None}
        done = self._ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_S)[0] if asked else []
        for answer in done:
            node = asked[answer]
            # An agent that was killed is started again by Ray; its workers go on. One that has left, is met anew.
            try:
                node.workers = self._ray.get(answer)
                node.answered_at = time.monotonic()
            except self._errors.ActorUnavailableError:
                pass
            except self._errors.RayError:
                node.agent, node.met_at = None, 0.0
        return Seen(
            {node_id: node.workers for node_id, node in nodes.items() if node.answered_at is not None},
            {node_id: node.reason for node_id, node in nodes.items() if node.reason},
            frozenset(nodes),
            not nodes or not all(node.met for node in nodes.values()),
        )

    def launch(self, spec: WorkerSpec) -> WorkerStatus:
        """Start a worker where Ray finds room; WorkerFailedError."""
        place = self._reserve(spec)
        try:
            node_id, process, devices = self._located(place, spec)
            node = self._met(node_id)
            agent, manifest = node.agent, self._manifest(spec.model_dir)
            self._send_files(node, agent, spec.model_dir, manifest)
            worker: WorkerStatus = self._answer(node, agent.launch.remote(spec, manifest, process, devices))
            held = self._answer(node, agent.process_of.remote(worker.worker_id))
            self._answer(node, place.hold.remote(held))
        except self._errors.RayTaskError as error:
            self._ray.kill(place)
            cause = error.cause
            raise cause if isinstance(cause, WorkerFailedError) else WorkerFailedError(why_failed(cause)) from None
        except (self._errors.RayError, KeyError) as error:
            self._ray.kill(place)
            raise WorkerFailedError(f"The node was lost while the worker started ({type(error).__name__}).") from None
        except BaseException:
            self._ray.kill(place)
            raise
        return worker

    def stop(self, node_id: str, worker_id: str, at_once: bool) -> None:
        """End a worker. A node that does not answer ends it by the lease."""
        node = self._nodes.get(node_id)
        agent = node.agent if node is not None else None
        if node is not None and agent is not None:
            with contextlib.suppress(self._errors.RayError):
                self._ray.get(agent.stop.remote(worker_id, at_once), timeout=self._settings.stop_grace_s + _MEET_S)
                node.workers = [worker for worker in node.workers if worker.worker_id != worker_id]

    def _meet(self, node_id: str, node: _Node) -> None:
        """Find a node's agent, or start it, and see whether the node is fit."""
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        options = {
            "name": agent_name(node_id),
            "namespace": self._namespace,
            "lifetime": "detached",
            "get_if_exists": True,
            "max_restarts": -1,
            "max_concurrency": 64,
            "num_cpus": 0,
            "scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(node_id, soft=False),
        }
        try:
            agent = (
                self._ray.remote(NodeAgent).options(**options).remote(self._settings, self._server, node_id, node.host)
            )
            facts = self._ray.get(agent.about.remote(), timeout=_MEET_S)
            reason = unfit(facts, facts_here(""))
        except Exception as error:
            reason = why_unmet(error, _MEET_S)
        node.reason = f"Node {node.host} {reason}" if reason else ""
        if not reason:
            node.agent = agent

    def _reserve(self, spec: WorkerSpec) -> Any:
        """A place for the worker, which Ray may still have to find: on any node but those known to be of no use."""
        nodes = dict(self._nodes)
        if nodes and all(node.reason for node in nodes.values()):
            reasons = " ".join(node.reason for node in nodes.values())
            raise WorkerFailedError(f"No node of the Ray cluster can run workers. {reasons}")
        unusable = ",".join(node_id for node_id, node in nodes.items() if node.met and not node.answers)
        settings = spec.settings
        options: dict[str, Any] = {
            "namespace": self._namespace,
            "lifetime": "detached",
            "name": f"worker-{os.urandom(6).hex()}",
            "num_cpus": settings.cpus or 1,
            "num_gpus": settings.gpus or 0,
            "memory": settings.reserve_memory_mb * 2**20 if settings.reserve_memory_mb else None,
            "scheduling_strategy": "SPREAD",
            "label_selector": labels_of(settings.node_labels)
            | ({"ray.io/node-id": f"!in({unusable})"} if unusable else {}),
        }
        return self._ray.remote(Place).options(**options).remote()

    def _located(self, place: Any, spec: WorkerSpec) -> tuple[str, tuple[int, str], list[str]]:
        try:
            found: tuple[str, tuple[int, str], list[str]] = self._ray.get(place.where.remote(), timeout=_ROOM_S)
        except (self._errors.GetTimeoutError, self._errors.ActorUnschedulableError):
            raise WorkerFailedError(no_room(spec.settings)) from None
        return found

    def _met(self, node_id: str) -> _Node:
        """A node, which may have just come; WorkerFailedError when it is of no use, which the next launch knows."""
        deadline = time.monotonic() + _MEET_S
        while (node := self._nodes.get(node_id)) is None or (node.agent is None and not node.reason):
            if time.monotonic() > deadline:
                raise WorkerFailedError("The node that Ray chose has not started its agent.")
            time.sleep(0.1)
        if node.reason:
            raise WorkerFailedError(node.reason)
        return node

    def _send_files(self, node: _Node, agent: Any, model_dir: Path, manifest: Manifest) -> None:
        """Through Ray's object store, piece by piece: neither side holds more than a piece."""
        lacking = set(self._answer(node, agent.lacks.remote(manifest)))
        for one in manifest:
            if one.digest not in lacking:
                continue
            lacking.discard(one.digest)
            name = self._answer(node, agent.begin_file.remote())
            for piece in pieces(model_dir / one.path):
                self._answer(node, agent.add_to_file.remote(name, self._ray.put(piece)))
            self._answer(node, agent.end_file.remote(name, one.digest))

    def _answer(self, node: _Node, asked: Any) -> Any:
        """However long it takes, while the node's agent is not frozen: WorkerFailedError."""
        while not self._ray.wait([asked], timeout=_ANSWER_S)[0]:
            if not node.answers:
                raise WorkerFailedError(f"Node {node.host} stopped answering.")
        return self._ray.get(asked)
