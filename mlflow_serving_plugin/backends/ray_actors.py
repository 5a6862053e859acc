"""What runs on each node of a Ray cluster: an agent, which is the local backend of its node.

A plain class, which the driver makes into a detached actor; imported on the node by name, so that a node without this
package says so.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerSpec, WorkerStatus
from mlflow_serving_plugin.backends.gpus import VISIBLE
from mlflow_serving_plugin.backends.local import LocalBackend
from mlflow_serving_plugin.backends.model_files import FileCache, Manifest
from mlflow_serving_plugin.backends.ray_nodes import LEFT, NodeFacts, facts_here, port_range
from mlflow_serving_plugin.backends.ray_places import Process, read_places, write_places
from mlflow_serving_plugin.environments.environments import Environments
from mlflow_serving_plugin.environments.ready import Environment
from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.processes import runs, start_stamp
from mlflow_serving_plugin.relay.process import ensure_relay
from mlflow_serving_plugin.relay.proof import Address
from mlflow_serving_plugin.settings import Settings

_LOOK_S = 0.5
_LAST_S = 30.0
"""How much longer than its workers an agent stays without a controller."""

_ABANDONED_S = 86400.0
_TIDY_S = 60.0
_FILES_MAX_BYTES = 50 * 1024**3


class NodeAgent:
    """The local backend of a node, for the driver of one server.

    ``server``: the server's id, in hex. ``host``: the address under which other hosts reach the node.
    """

    def __init__(self, settings: Settings, server: str, node_id: str, host: str) -> None:
        # Ray's, for this actor, which has no CPU of its own; not for the workers.
        os.environ.pop("OMP_NUM_THREADS", None)
        top = Path(settings.ray_node_dir) if settings.ray_node_dir else _default_directory()
        top.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_own(top)
        self._node_id, self._host, self._settings = node_id, host, settings
        _remove_abandoned(top)
        # Short, because a unix socket's path may have 107 characters.
        self._paths = StatePaths.create(top / f"{node_id[:12]}-{server[:6]}")
        self._paths.renew_lease()
        self._files = FileCache(self._paths.root / "cache")
        self._environments = Environments(replace(settings, environments_dir=""), self._paths.root / "environments")
        self._backend = LocalBackend(settings, self._paths, shared=True)
        self._backend.adopt()
        self._relay()
        self._places = read_places(self._paths.root)
        self._lock = threading.Lock()
        self._launching = 0
        self._uses: dict[str, tuple[Environment, Path]] = {}
        """Environment and files of each worker that this agent has started."""
        self._asked_at = time.monotonic()
        threading.Thread(target=self._watch, name="agent", daemon=True).start()

    def about(self) -> NodeFacts:
        """What the node has."""
        return facts_here(self._host)

    def lacks(self, manifest: Manifest) -> list[str]:
        """The digests of a model's files that are not on the node."""
        return self._files.lacks(manifest)

    def begin_file(self) -> str:
        """A name for ``add_to_file`` and ``end_file``."""
        return self._files.begin()

    def add_to_file(self, name: str, piece: bytes) -> None:
        """The next piece."""
        self._files.add(name, piece)

    def end_file(self, name: str, digest: str) -> None:
        """All pieces are here."""
        self._files.end(name, digest)

    def launch(self, spec: WorkerSpec, manifest: Manifest, place: Process, devices: list[str]) -> WorkerStatus:
        """Build the environment if need be, and start a worker; WorkerFailedError. ``devices``: GPUs, as Ray says."""
        with self._lock:
            self._launching += 1
        try:
            files = self._files.assemble(manifest)
            here = self._at_home(spec, files, devices)
            worker_id = self._backend.start(here)
            with self._lock:
                self._uses[worker_id] = here.environment, files
                self._places[worker_id] = place
                write_places(self._paths.root, self._places)
        finally:
            with self._lock:
                self._launching -= 1
        return next(worker for worker in self.observe() if worker.worker_id == worker_id)

    def _at_home(self, spec: WorkerSpec, files: Path, devices: list[str]) -> WorkerSpec:
        """The same for this node."""
        try:
            need = self._environments.need(files, spec.settings.env_manager)
            environment = need.environment or self._environments.build(need.recipe)
        except ServingError as error:
            raise WorkerFailedError(error.message) from None
        visible = {VISIBLE: ",".join(devices)} if devices else {}
        settings = replace(spec.settings, environment={**spec.settings.environment, **visible})
        log = self._paths.entity_log(spec.key.endpoint_id, spec.key.name)
        return replace(
            spec, model_dir=files, log=log, settings=settings, environment=environment, recipe=need.recipe, cache=None
        )

    def process_of(self, worker_id: str) -> Process | None:
        """The worker's process."""
        pid = next((worker.pid for worker in self._backend.observe() if worker.worker_id == worker_id), None)
        return (pid, start_stamp(pid) or "") if pid is not None else None

    def observe(self) -> list[WorkerStatus]:
        """The node's workers, as other hosts reach them. Renews their lease."""
        self._asked_at = time.monotonic()
        self._paths.renew_lease()
        port = self._relay()
        return [self._as_seen(worker, port) for worker in self._backend.observe()]

    def _as_seen(self, worker: WorkerStatus, port: int) -> WorkerStatus:
        """A worker from outside. One whose place is gone serves until the controller has replaced it."""
        place = self._places.get(worker.worker_id)
        return replace(
            worker,
            address=str(Address(self._host, port, worker.worker_id)),
            pid=None,
            node=self._node_id,
            fingerprint=worker.fingerprint if place is None or runs(*place) else LEFT,
        )

    def stop(self, worker_id: str, at_once: bool) -> None:
        """End a worker."""
        self._backend.stop(worker_id, at_once=at_once)
        with self._lock:
            if self._places.pop(worker_id, None) is not None:
                write_places(self._paths.root, self._places)

    def _relay(self) -> int:
        grace_s = self._settings.orphan_grace_s
        ports = port_range(self._settings.ray_ports)
        return ensure_relay(self._paths.root, host=self._host, ports=ports, orphan_grace_s=grace_s)

    def _watch(self) -> None:
        """End this agent when no controller asks any more."""
        tidied_at = time.monotonic()
        while True:
            time.sleep(_LOOK_S)
            now = time.monotonic()
            if now - tidied_at > _TIDY_S:
                tidied_at = now
                self._tidy()
            grace_s = self._settings.orphan_grace_s + _LAST_S
            if now - self._asked_at > grace_s and not self._backend.observe():
                self._leave()

    def _tidy(self) -> None:
        """Let go of what no worker needs. What the workers of an agent before this one need is not known."""
        ids = {worker.worker_id for worker in self._backend.observe()}
        with self._lock:
            self._uses = {worker_id: used for worker_id, used in self._uses.items() if worker_id in ids}
            uses, launching = list(self._uses.values()), self._launching
        if not launching and len(uses) == len(ids):
            self._backend.retain({environment for environment, _ in uses})
            self._files.trim({files for _, files in uses}, _FILES_MAX_BYTES)
            self._environments.evict({environment.key for environment, _ in uses})

    def _leave(self) -> None:
        import ray

        shutil.rmtree(self._paths.root, ignore_errors=True)
        ray.kill(ray.get_actor(agent_name(self._node_id)), no_restart=True)


def agent_name(node_id: str) -> str:
    """The name of a node's agent among Ray's actors."""
    return f"agent-{node_id}"


def require_own(directory: Path) -> None:
    """PermissionError for a directory that another user made or can change: the code of models lies below it."""
    found = directory.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"Other users of the node can change {directory.name}. Set MLFLOW_SERVING_RAY_NODE_DIR.")


def _default_directory() -> Path:
    return Path(tempfile.gettempdir()) / f"mlflow-serving-nodes-{os.getuid()}"


def _remove_abandoned(top: Path) -> None:
    """Directories of nodes and servers that came to an end without an agent's help."""
    for lease in top.glob("*/lease"):
        if time.time() - lease.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(lease.parent, ignore_errors=True)
