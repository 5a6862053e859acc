"""The Ray backend on a real Ray cluster of this machine: workers on other nodes, and what is said without room."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support import eventually
from support.ray_cluster import RayCluster
from support.routes import an_entity, routes_of

from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerPhase, WorkerSpec
from mlflow_serving_plugin.backends.ray import RayBackend
from mlflow_serving_plugin.diagnosis.base import Place
from mlflow_serving_plugin.diagnosis.cluster import ray
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.routes import WorkerRoute
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.links.base import LinkContext, WorkerCall
from mlflow_serving_plugin.links.frames_blocking import BlockingFrameLink
from mlflow_serving_plugin.registry.examples import scoring_example
from mlflow_serving_plugin.settings import Settings

pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray")]
LONG_S = 120.0
SCORED = b'{"predictions"'


class World:
    """Backends of one server, one after the other, on a cluster."""

    def __init__(self, cluster: RayCluster, model: Path) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="mls-"))
        self.paths = StatePaths.create(self.root / "state")
        self.model = model
        self.example = scoring_example(model)
        self._settings = Settings(**cluster.settings)
        self._backends: list[RayBackend] = []

    def backend(self) -> RayBackend:
        """The next one, which has looked for the workers of the one before."""
        for before in self._backends:
            before.cancel()
        self._backends.append(RayBackend(self._settings, self.paths))
        self._backends[-1].adopt()
        return self._backends[-1]

    def launch(self, **settings) -> None:
        """One more worker, on a node."""
        given = WorkerSettings(env_manager="local", request_timeout_s=30.0, **{"placement": "ray", **settings})
        key = EntityKey("e", "1")
        self._backends[-1].launch(
            WorkerSpec(key, "f", self.model, self.paths.entity_log("e", "1"), given, self.example)
        )

    def scores(self) -> list[bytes]:
        """What each ready worker answers to the model's example."""
        routes = tuple(
            WorkerRoute(w.worker_id, w.protocol, w.address, None, w.started_ms, w.ready, w.secret)
            for w in self._backends[-1].observe()
            if w.ready
        )
        snapshot = _Snapshot(routes_of(an_entity(workers=routes)))
        with contextlib.closing(BlockingFrameLink(LinkContext(snapshot, lambda _: None, 60.0))) as link:
            return [
                link.call(WorkerCall(route, "application/json", self.example.body, 30.0, "default", "iris")).body
                for route in routes
            ]

    def close(self) -> None:
        """Workers end, unless the cluster has ended before."""
        if self._backends:
            for worker in self._backends[-1].observe():
                self._backends[-1].stop(worker.worker_id, at_once=True)
            self._backends[-1].cancel()
        shutil.rmtree(self.root, ignore_errors=True)


class _Snapshot:
    def __init__(self, routes) -> None:
        self._routes = routes

    def current(self):
        return self._routes


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with RayCluster(2, gpus=2) as running:
        yield running


@pytest.fixture
def world(cluster, models) -> Iterator[World]:
    made = World(cluster, models.path("iris-1"))
    yield made
    made.close()


def test_workers_live_on_other_nodes_and_the_next_controller_takes_them_over(cluster, world):
    backend = world.backend()
    for _ in range(2):
        world.launch()
    workers = backend.observe()
    assert {worker.node for worker in workers} == {node.node_id for node in cluster.nodes}
    assert all(worker.ready and worker.scored_example and worker.pid is None for worker in workers)
    assert [body.startswith(SCORED) for body in world.scores()] == [True, True]

    second = world.backend()
    eventually(lambda: {w.worker_id for w in second.observe()} == {w.worker_id for w in workers}, LONG_S)
    assert [body.startswith(SCORED) for body in world.scores()] == [True, True]
    os.kill(cluster.worker(workers[0].node), signal.SIGKILL)
    dead = eventually(lambda: [w for w in second.observe() if w.phase is WorkerPhase.DEAD], LONG_S)
    assert [(w.worker_id, w.node) for w in dead] == [(workers[0].worker_id, workers[0].node)]
    assert "SIGKILL" in dead[0].message
    second.stop(workers[0].worker_id)
    # The place that it had is free again.
    world.launch()
    assert len({worker.node for worker in second.observe()}) == 2


@pytest.mark.matrix
def test_the_doctor_counts_the_nodes_that_can_run_workers(cluster):
    checked = {finding.check: finding for finding in ray(Place(Settings(**cluster.settings), {}))}
    assert (checked["cluster"].status, checked["nodes"].status) == ("ok", "ok")
    assert checked["nodes"].found == "2 can run workers"


@pytest.mark.matrix
def test_what_no_node_has_is_said(world):
    world.backend()
    with pytest.raises(WorkerFailedError, match=r"No node of the Ray cluster has 7 CPUs free\. Add a node"):
        world.launch(cpus=7)
    with pytest.raises(WorkerFailedError, match=r"has 1 CPUs, 1 GPUs free and the labels zone=eu\."):
        world.launch(gpus=1, node_labels="zone=eu")
    with pytest.raises(WorkerFailedError, match="Only the runtime native runs on other hosts"):
        world.launch(runtime="mlflow")


@pytest.mark.matrix
def test_ray_says_which_gpus_a_worker_has(world):
    backend = world.backend()
    world.launch(gpus=2, environment={"CUDA_VISIBLE_DEVICES": "7"})
    world.launch(gpus=0.5)
    said = {worker.note.rpartition("CUDA_VISIBLE_DEVICES: ")[2]: worker.node for worker in backend.observe()}
    assert len(set(said.values())) == 2
    assert said.keys() in ({"0,1.", "0."}, {"0,1.", "1."})
    with pytest.raises(WorkerFailedError, match=r"has 1 CPUs, 3 GPUs free\."):
        world.launch(gpus=3)


@pytest.mark.matrix
def test_a_node_whose_agent_is_frozen_gets_no_workers(cluster, world):
    backend = world.backend()
    world.launch()
    (worker,) = backend.observe()
    backend.stop(worker.worker_id)
    frozen = psutil.Process(cluster.agent(worker.node))
    frozen.suspend()
    try:

        def elsewhere():
            with contextlib.suppress(WorkerFailedError):
                world.launch()
                return True

        eventually(elsewhere, LONG_S)
        assert [found.node != worker.node for found in backend.observe()] == [True]
    finally:
        frozen.resume()


@pytest.mark.matrix
def test_auto_fills_this_host_first(world, monkeypatch):
    backend = world.backend()
    monkeypatch.setattr("mlflow_serving_plugin.backends.ray.os.cpu_count", lambda: 1)
    world.launch(placement="auto")
    world.launch(placement="auto")
    assert [bool(worker.node) for worker in backend.observe()] == [False, True]
    assert [body.startswith(SCORED) for body in world.scores()] == [True, True]


@pytest.mark.matrix
def test_a_controller_that_starts_while_the_head_is_away_has_the_workers_of_the_one_before(cluster, world):
    before = world.backend()
    for _ in range(2):
        world.launch()
    kept, gone = before.observe()
    assert (world.paths.root / "ray-workers.json").stat().st_mode & 0o777 == 0o600
    before.cancel()
    cluster.kill_head()
    os.kill(cluster.process_of(gone.worker_id), signal.SIGKILL)
    second = world.backend()
    assert {worker.worker_id for worker in second.observe()} == {kept.worker_id, gone.worker_id}
    # The node says so, without Ray.
    eventually(lambda: [worker.worker_id for worker in second.observe() if worker.ready] == [kept.worker_id])
    assert [body.startswith(SCORED) for body in world.scores()] == [True]
    with pytest.raises(WorkerFailedError, match=r"is away \(.*\)\. No worker can be started on other hosts"):
        world.launch()
    cluster.start_anew()

    def launched():
        with contextlib.suppress(WorkerFailedError):
            world.launch()
            return True

    eventually(launched, LONG_S)
    # What stopped with its node is given up.
    eventually(lambda: kept.worker_id not in {worker.worker_id for worker in second.observe() if worker.ready})
    assert [body.startswith(SCORED) for body in world.scores()] == [True]
