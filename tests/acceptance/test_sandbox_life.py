"""Sandboxed models on a real server: the same answers, found again after a crash, replaced, moved in and out."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from support import eventually
from support.life import Life
from support.models import Models
from support.server import TrackingServer

from mlflow_serving_plugin.backends.isolation import levels
from mlflow_serving_plugin.host.processes import session_members

pytestmark = pytest.mark.skipif(bool(levels().namespaces), reason="no namespaces on this machine")


def in_sandbox(server: TrackingServer, name: str) -> bool:
    """Whether all of a model's workers have a file system of their own."""
    found = [foreign_processes(worker["pid"]) for worker in server.workers(name)]
    assert found
    return all(found)


def foreign_processes(session: int) -> list[psutil.Process]:
    """The processes of a session that see another file system than this one."""
    ours = Path("/proc/self/ns/mnt").readlink()
    members = session_members(session)
    return [psutil.Process(pid) for pid in members if Path(f"/proc/{pid}/ns/mnt").readlink() != ours]


def pids(server: TrackingServer, name: str) -> set[int]:
    return {worker["pid"] for worker in server.workers(name)}


def test_a_sandboxed_model_s_life(models: Models) -> None:
    with TrackingServer("uvicorn", settings={"sandbox_optional": "true", "backoff_base_s": 0.1}) as server:
        lives = {name: Life(server, models, name) for name in ("iris-native", "iris-stock")}
        for name, life in lives.items():
            life.register(1)
            server.enable(name, runtime="native" if name == "iris-native" else "mlflow")
        for name, life in lives.items():
            server.wait_ready(name, 1)
            assert in_sandbox(server, name)
            life.answers_in_every_dialect("/1", 1)

        before = {name: pids(server, name) for name in lives}
        os.killpg(server.pid, signal.SIGKILL)
        eventually(server.ended)
        server.start()
        for name, life in lives.items():
            server.wait_ready(name, 1)
            life.becomes("/1", 200, 1)
            assert pids(server, name) == before[name], "not adopted"

        for name, life in lives.items():
            (guard,) = before[name]
            os.kill(guard, signal.SIGKILL)
            eventually(lambda: pids(server, name) and pids(server, name) != before[name], 60, server.tail)  # noqa: B023
            server.wait_ready(name, 1)
            life.becomes("/1", 200, 1)
            assert in_sandbox(server, name)

        # Out of the sandbox while it serves: no request is lost.
        life = lives["iris-native"]
        (guard,) = pids(server, life.name)
        server.api("PUT", "update-compute-config", registered_model_name=life.name, config={"sandbox": "off"})

        def moved() -> bool:
            assert life.answer("/1") == (200, 1)
            return bool(pids(server, life.name)) and guard not in pids(server, life.name)

        eventually(moved, 60, server.tail)
        assert not in_sandbox(server, life.name)
        assert life.answer("/1") == (200, 1)
        for life in lives.values():
            life.disable_leaves_nothing()


@pytest.mark.matrix
def test_a_model_in_an_environment_of_its_own_runs_in_the_sandbox_with_that(models: Models) -> None:
    with TrackingServer("uvicorn") as server:
        life = Life(server, models, "iris")
        life.register(1)
        server.enable("iris", env_manager="uv", network="off")
        server.wait_ready("iris", 1)
        assert in_sandbox(server, "iris")
        assert life.answer("/1") == (200, 1)
        (guard,) = pids(server, "iris")
        (inside,) = foreign_processes(guard)
        assert Path(inside.cmdline()[0]).is_relative_to(server.state / "environments")
