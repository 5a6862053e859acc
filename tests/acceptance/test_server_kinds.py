"""The same product under every web server and on every store that ``mlflow server`` knows."""

from __future__ import annotations

import os
import signal

import pytest
import requests
from support import eventually
from support.life import short_life
from support.models import Models, register
from support.server import TrackingServer
from support.streams import events_of, serve_streaming, short_stream, streamed


def test_gunicorn_with_threads_on_postgresql(threaded: TrackingServer, models: Models) -> None:
    short_life(threaded, models, "iris")
    short_stream(threaded, models)


@pytest.mark.parametrize("database", [pytest.param(name, marks=pytest.mark.matrix) for name in ("mariadb", "mysql")])
def test_mlflow_s_other_databases(models: Models, database: str, request: pytest.FixtureRequest) -> None:
    uri = request.getfixturevalue(database).new_database()
    with TrackingServer("uvicorn", workers=2, backend=uri) as server:
        short_life(server, models, "iris")


# On Linux and macOS MLflow takes waitress only when asked to; on Windows the plugin does not run.
@pytest.mark.matrix
def test_waitress(models: Models) -> None:
    with TrackingServer("waitress") as server:
        short_life(server, models, "iris")
        short_stream(server, models)


def test_a_static_prefix_and_a_file_store(prefixed: TrackingServer, models: Models) -> None:
    short_life(prefixed, models, "iris")
    assert requests.get(f"{prefixed.host}/model/iris/1/ping").status_code == 404
    # MLflow's file store has no database, so our tables are a file in the state directory.
    assert list(prefixed.state.glob("*.db"))


def test_artifacts_only_switches_the_plugin_off_with_one_line(models: Models) -> None:
    with TrackingServer("uvicorn", backend="none", extra_args=("--artifacts-only",)) as server:
        assert requests.get(f"{server.url}/api/2.0/mlflow/endpoints/list").status_code == 404
        assert requests.get(f"{server.url}/model/iris/1/ping").status_code == 404
        uploaded = requests.put(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/a/file.txt", data=b"as before")
        assert uploaded.status_code == 200, uploaded.text
        lines = [line for line in server.tail().splitlines() if "serving:" in line.lower()]
        assert len(lines) == 1, server.tail()
        assert "Serving is off" in lines[0]


RUNTIMES = ["native", "mlflow"]


# The server of the conformance tests ends workers of the stock server, too.
@pytest.mark.parametrize("runtimes", [RUNTIMES[:1], pytest.param(RUNTIMES, marks=pytest.mark.matrix)], ids=len)
def test_stopping_the_server_ends_every_model_worker(models: Models, runtimes: list[str]) -> None:
    """TrackingServer looks for what is left; here versions are served and others are starting."""
    with TrackingServer("uvicorn", workers=2, settings={"stop_grace_s": "3"}) as server:
        for runtime in runtimes:
            register(server.client, runtime, models.path("iris-1"))
            server.enable(runtime, runtime=runtime)
        serve_streaming(server, models)
        endless = [streamed(server, number=10**9, pause_s=0.05, close=close) for close in (False, True)]
        for runtime in runtimes:
            server.wait_ready(runtime, 1)
            register(server.client, runtime, models.path("iris-2"))
        for runtime in runtimes:
            eventually(lambda runtime=runtime: "2" in server.states(runtime), tail=server.tail)
        # To the command alone, which hands it on.
        os.kill(server.pid, signal.SIGTERM)
        for stream in endless:
            *events, last = events_of(stream)
            assert "error" in last and "error" not in events[-1]
        eventually(server.ended, tail=server.tail)


@pytest.mark.matrix
def test_stopping_the_server_while_its_first_workers_start_leaves_nothing(models: Models) -> None:
    with TrackingServer("uvicorn", workers=2) as server:
        for runtime in RUNTIMES:
            register(server.client, runtime, models.path("iris-1"))
            server.enable(runtime, runtime=runtime)
        for runtime in RUNTIMES:
            eventually(lambda runtime=runtime: "1" in server.states(runtime), tail=server.tail)
