"""The life of a version that sleeps while idle and wakes with a request, on uvicorn and on gunicorn."""

from __future__ import annotations

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from support import eventually
from support.life import Life
from support.models import Models
from support.server import READY_S, TrackingServer

SLEEPS = {"min_replicas": 0, "idle_timeout_s": 1}
STORM = 64
BUILT_S = 400.0


def falls_asleep(life: Life, version: int = 1) -> None:
    def asleep() -> bool:
        entity = life.server.entities(life.name).get(str(version))
        return entity is not None and (entity["state"], entity["workers"]) == ("ASLEEP", [])

    eventually(asleep, within_s=READY_S, tail=life.server.tail)


def wakes(life: Life) -> int:
    return told(life, 1, "VERSION_WAKING")


def told(life: Life, version: int, kind: str) -> int:
    fields = {"registered_model_name": life.name, "endpoint_version_name": version, "max_results": 1000}
    events = life.server.api("GET", "get-event-history", **fields)["events"]
    return sum(event["event_type"] == kind for event in events)


def test_a_version_that_is_idle_sleeps_and_any_name_of_the_version_wakes_it(
    plain: TrackingServer, models: Models
) -> None:
    life = Life(plain, models, "sleeper")
    life.register(1)
    life.set_stage(1, "Production")
    life.client.set_registered_model_alias("sleeper", "champion", "1")
    plain.enable("sleeper", **SLEEPS)
    falls_asleep(life)
    for method in ("GET", "HEAD"):
        assert requests.request(method, f"{plain.url}/model/sleeper/1/ping").status_code == 200
    status = plain.api("GET", "get-status", registered_model_name="sleeper")["endpoint_status"]
    assert (status["state"], status["settled"]) == ("ENDPOINT_STATE_READY", True)
    assert wakes(life) == 0

    with ThreadPoolExecutor(STORM) as pool:
        assert {*pool.map(life.answer, ["/latest"] * STORM)} == {(200, 1)}
    # On a slow machine the version may fall asleep between two of them; the controller's tests count exactly.
    eventually(lambda: 1 <= wakes(life) < STORM / 4, tail=plain.tail)
    for reference in ("/Production", "@champion"):
        falls_asleep(life)
        assert life.answer(reference) == (200, 1)
    falls_asleep(life)
    before = wakes(life)
    plain.api("POST", "prewarm", registered_model_name="sleeper")
    eventually(lambda: wakes(life) > before, tail=plain.tail)

    falls_asleep(life)
    plain.enable("sleeper", **SLEEPS, batching="off")
    falls_asleep(life)
    life.set_stage(1, "Archived")
    life.becomes("/1", 404)


def test_a_synchronous_web_worker_wakes_a_version_too(prefixed: TrackingServer, models: Models) -> None:
    life = Life(prefixed, models, "sleeper")
    life.register(1)
    prefixed.enable("sleeper", **SLEEPS)
    falls_asleep(life)
    assert life.answer("/1") == (200, 1)
    prefixed.api("POST", "disable", registered_model_name="sleeper")


def test_a_server_killed_during_a_wake_launches_no_sleeper_and_answers_for_each(
    threaded: TrackingServer, models: Models
) -> None:
    server, life = threaded, Life(threaded, models, "sleeper")
    for version in (1, 2):
        life.register(version)
    server.enable("sleeper", **SLEEPS)
    for version in (1, 2):
        falls_asleep(life, version)
    server.api("POST", "prewarm", registered_model_name="sleeper", endpoint_version_name=2)
    os.killpg(server.pid, signal.SIGKILL)
    eventually(server.ended, tail=server.tail)
    # As a clean-up of /var would: the version is fetched again.
    shutil.rmtree(next(server.state.glob("models/*/1-*")))
    server.start()
    falls_asleep(life, 1)
    assert told(life, 1, "VERSION_LAUNCHING") == 1
    assert life.answer("/2") == (200, 2)
    assert life.answer("/1") == (200, 1)
    server.api("POST", "disable", registered_model_name="sleeper")


@pytest.mark.eras
@pytest.mark.matrix
def test_a_sleeper_whose_environment_was_removed_answers_once_it_is_built_again(models: Models) -> None:
    with TrackingServer("uvicorn", settings=SLEEPS) as server:
        life = Life(server, models, "sleeper")
        life.register(1)
        server.enable("sleeper", env_manager="uv")
        eventually(lambda: told(life, 1, "VERSION_ASLEEP"), within_s=BUILT_S, tail=server.tail)
        falls_asleep(life)
        (environment,) = (path for path in (server.state / "environments").iterdir() if path.is_dir())
        shutil.rmtree(environment)
        eventually(lambda: life.answer("/1") == (200, 1), within_s=BUILT_S, tail=server.tail)
        assert told(life, 1, "VERSION_FAILED") == 0


@pytest.mark.matrix
def test_each_of_two_servers_on_one_database_has_its_own_sleepers(models: Models) -> None:
    with TrackingServer("uvicorn", settings=SLEEPS) as first:
        life = Life(first, models, "sleeper")
        life.register(1)
        first.enable("sleeper")
        falls_asleep(life)
        second = TrackingServer("gunicorn", settings=SLEEPS, backend=f"sqlite:///{first.root}/mlflow.db")
        second.artifacts = first.artifacts
        with second:
            other = Life(second, models, "sleeper")
            falls_asleep(other)
            since_ms = first.entities("sleeper")["1"]["since_ms"]
            assert other.answer("/latest") == (200, 1)
            falls_asleep(other)
            assert first.entities("sleeper")["1"]["since_ms"] == since_ms
            assert life.answer("/1") == (200, 1)
            second.api("POST", "disable", registered_model_name="sleeper")
            life.becomes("/1", 404)
            other.becomes("/1", 404)
