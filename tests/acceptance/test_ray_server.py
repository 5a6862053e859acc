"""A server whose workers Ray places on other nodes: the life of a model, and all that can fail, under load."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import requests
from support import eventually
from support.life import Life
from support.models import Models, register
from support.ray_cluster import RayCluster
from support.server import TrackingServer

pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
pytestmark = [pytest.mark.ray, pytest.mark.matrix, pytest.mark.xdist_group("ray")]
LONG_S = 150.0
EVERY_S = 0.02
"""Each of the callers sends so often: 200 requests a second in all, on a machine that is fast enough."""


def replicas(server: TrackingServer, name: str, version: str = "1") -> list[dict]:
    fields = {"registered_model_name": name, "endpoint_version_name": version}
    return server.api("GET", "get-version-replicas", **fields)["replicas"]


def ready_nodes(server: TrackingServer, name: str, version: str = "1") -> dict[str, str]:
    """The node of each ready replica."""
    found = replicas(server, name, version)
    return {r["replica_id"]: r["node"] for r in found if r["state"] == "SERVICE_STATE_READY"}


@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn"])
def test_a_model_lives_on_other_nodes_from_enabling_to_disabling(kind: str, models: Models) -> None:
    with RayCluster(2, cpus=2) as cluster, TrackingServer(kind, workers=2, settings=cluster.settings) as server:
        life = Life(server, models, "iris")
        life.register(1)
        server.enable("iris", placement="ray", replicas=2)
        server.wait_ready("iris", 1)
        nodes = eventually(lambda: (found := ready_nodes(server, "iris")) and len(found) == 2 and found, LONG_S)
        assert len(set(nodes.values())) == 2
        assert set(nodes.values()) == {node.node_id for node in cluster.nodes}
        life.answers_in_every_dialect("/1", 1)
        life.register(2)
        server.wait_ready("iris", 2)
        life.becomes("/latest", 200, 2)
        life.set_stage(2, "Production")
        life.becomes("/Production", 200, 2)
        assert not list((server.state / "workers").iterdir())
        life.client.delete_model_version("iris", "1")
        life.becomes("/1", 404)
        server.api("POST", "disable", registered_model_name="iris")
        life.becomes("/latest", 404)
        eventually(lambda: not list(cluster.node_dir.glob("*/workers/*.json")), LONG_S, server.tail)


def test_fifty_versions_live_on_three_nodes_and_replicas_are_spread(models: Models) -> None:
    with RayCluster(3, cpus=20) as cluster, TrackingServer(settings=cluster.settings) as server:
        every = {node.node_id for node in cluster.nodes}
        for _ in range(50):
            register(server.client, "many", models.path("iris-1"))
        server.enable("many", placement="ray")
        register(server.client, "spread", models.path("iris-1"))
        server.enable("spread", placement="ray", replicas=3)
        body = {"dataframe_split": models.iris.iloc[:1].to_dict(orient="split")}
        server.wait_ready("many", *range(1, 51))
        server.wait_ready("spread", 1)
        assert {server.score(f"many/{version}", body).status_code for version in range(1, 51)} == {200}
        nodes = [node for version in range(1, 51) for node in ready_nodes(server, "many", str(version)).values()]
        assert len(nodes) == 50 and set(nodes) == every
        print({node[:8]: nodes.count(node) for node in every})
        eventually(lambda: set(ready_nodes(server, "spread").values()) == every, LONG_S, server.tail)


class Load:
    """Callers of a model, each on a connection of its own, until the end."""

    def __init__(self, server: TrackingServer, body: dict) -> None:
        self._server, self._body = server, body
        self._stop = threading.Event()
        self.answers: list[tuple[float, int, str]] = []
        """Seconds, status (0: no answer), and what was said."""
        self._threads = [threading.Thread(target=self._call) for _ in range(4)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, number: int = 100) -> None:
        """Wait until there are more answers."""
        before = len(self.answers)
        eventually(lambda: len(self.answers) >= before + number, LONG_S, self._server.tail)

    def failed(self) -> list[tuple[float, int, str]]:
        """What did not succeed."""
        return [answer for answer in self.answers if answer[1] != 200]

    def _call(self) -> None:
        with requests.Session() as session:
            while not self._stop.wait(EVERY_S):
                began = time.monotonic()
                try:
                    url = f"{self._server.url}/model/iris/1/invocations"
                    response = session.post(url, json=self._body, timeout=60)
                    found = response.status_code, "" if response.ok else response.text
                except requests.RequestException as error:
                    found = 0, repr(error)
                self.answers.append((time.monotonic() - began, *found))


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with RayCluster(2) as running:
        yield running


@pytest.fixture(scope="module")
def server(cluster: RayCluster, models: Models) -> Iterator[TrackingServer]:
    with TrackingServer(settings=cluster.settings) as running:
        register(running.client, "iris", models.path("iris-1"))
        running.enable("iris", placement="ray", replicas=2)
        running.wait_ready("iris", 1)
        yield running


@pytest.fixture
def load(server: TrackingServer, models: Models) -> Load:
    return Load(server, {"dataframe_split": models.iris.iloc[:1].to_dict(orient="split")})


def two_nodes(server: TrackingServer) -> dict[str, str]:
    """Both replicas, once they are ready, on two nodes."""

    def found():
        nodes = ready_nodes(server, "iris")
        return len(nodes) == 2 == len(set(nodes.values())) and nodes

    return eventually(found, LONG_S, lambda: f"{replicas(server, 'iris')}\n{server.tail()}")


def report(what: str, load: Load) -> None:
    spent = sorted(answer[0] for answer in load.answers)
    print(
        f"{what}: {len(spent)} requests, {len(load.failed())} failed, "
        f"p50 {spent[len(spent) // 2]:.3f} s, p99 {spent[int(len(spent) * 0.99)]:.3f} s, max {spent[-1]:.3f} s"
    )


REPLACED = {signal.SIGKILL: ("worker", "place", "raylet"), signal.SIGSTOP: ("worker", "relay", "raylet")}
"""What does not go on: the worker is replaced."""

VICTIMS = ["worker", "place", "agent", "relay", "raylet"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("what", VICTIMS)
def test_what_is_killed_or_stopped_under_load_costs_no_request(
    what: str, how: signal.Signals, cluster: RayCluster, server: TrackingServer, load: Load
) -> None:
    before = two_nodes(server)
    node = next(iter(before.values()))
    pid = getattr(cluster, what)(node)
    with load:
        load.more(50)
        began = time.monotonic()
        os.kill(pid, how)
        load.more(400)
        if what == "raylet":
            cluster.add_node()
        if what in REPLACED[how]:
            gone = [replica for replica, place in before.items() if place == node]
            eventually(lambda: not set(gone) & set(ready_nodes(server, "iris")), LONG_S, server.tail)
            print(f"replaced after {time.monotonic() - began:.1f} s")
        if how == signal.SIGSTOP:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if what == "raylet" else signal.SIGCONT)
        after = two_nodes(server)
        load.more(100)
    kept = len(set(before) & set(after))
    report(f"{what} {how.name}, {kept} of 2 workers kept, {time.monotonic() - began:.1f} s", load)
    assert not load.failed(), load.failed()[:5]


def test_a_node_that_freezes_under_load_costs_no_request(
    cluster: RayCluster, server: TrackingServer, load: Load
) -> None:
    node = next(iter(two_nodes(server).values()))
    frozen = cluster.node_processes(node)
    with load:
        load.more(50)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        load.more(400)
        eventually(lambda: node not in ready_nodes(server, "iris").values(), LONG_S, server.tail)
        for pid in reversed(frozen):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        cluster.add_node()
        two_nodes(server)
    report("node frozen", load)
    assert not load.failed(), load.failed()[:5]


def test_the_next_server_takes_over_the_workers_of_one_that_was_killed(
    cluster: RayCluster, server: TrackingServer, load: Load
) -> None:
    before = two_nodes(server)
    os.killpg(server.pid, signal.SIGKILL)
    eventually(server.ended)
    server.start()
    # Until then the routes of the server before are answered.
    eventually(lambda: server.log.read_text().count("Joined the Ray cluster") == 2, LONG_S, server.tail)
    eventually(lambda: ready_nodes(server, "iris") == before, LONG_S, server.tail)
    with load:
        load.more(100)
    assert not load.failed(), load.failed()[:5]
    assert two_nodes(server) == before


def test_the_head_goes_and_the_workers_serve_on(cluster: RayCluster, server: TrackingServer, load: Load) -> None:
    before = two_nodes(server)
    with load:
        cluster.kill_head()
        load.more(200)
        server.api("PUT", "update-compute-config", registered_model_name="iris", config={"replicas": 3})
        said = eventually(
            lambda: (
                (
                    text := str(
                        server.api("GET", "get-version-status", registered_model_name="iris", endpoint_version_name="1")
                    )
                )
                and "is away" in text
                and text
            ),
            LONG_S,
            server.tail,
        )
        load.more(200)
    print(said)
    report("head killed", load)
    assert not load.failed(), load.failed()[:5]
    assert set(ready_nodes(server, "iris")) == set(before)


def test_a_server_that_starts_while_the_head_is_away_serves_the_workers_of_the_one_before(
    cluster: RayCluster, server: TrackingServer, load: Load
) -> None:
    before = two_nodes(server)
    cluster.kill_head()
    os.killpg(server.pid, signal.SIGKILL)
    eventually(server.ended)
    seen = server.log.stat().st_size
    server.start()
    # Until then the routes of the server before are answered.
    eventually(lambda: "is away (" in server.log.read_text()[seen:], LONG_S, server.tail)
    eventually(lambda: ready_nodes(server, "iris") == before, LONG_S, server.tail)
    with load:
        load.more(200)
    assert not load.failed(), load.failed()[:5]
    assert two_nodes(server) == before


def test_workers_that_nobody_asks_for_any_more_end(cluster: RayCluster, server: TrackingServer) -> None:
    assert cluster.worker_processes()
    os.killpg(server.pid, signal.SIGKILL)
    eventually(server.ended)
    eventually(lambda: not cluster.worker_processes(), LONG_S, lambda: str(cluster.worker_processes()))
    # The next server clears up what is left of this one.
    server.start()
