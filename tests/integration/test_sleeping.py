"""Versions that sleep, on the real controller: idle workers end, a request wakes one, a restart launches nothing."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from support import eventually
from support.controller import a_version, model_files
from support.world import SETTINGS, WS, World

from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.states import EndpointState, EntityState
from mlflow_serving_plugin.host.messages import Wake, send_nudge
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.snapshot import retire
from mlflow_serving_plugin.metrics.families import EVICTIONS, IN_FLIGHT, WAKE_SECONDS, WAKES, WORKER_MEMORY

BUILT_S = 300.0
ASLEEP, READY = EntityState.ASLEEP, EntityState.READY


@pytest.fixture
def world(paths):
    made = World(paths)
    yield made
    made.close()


@pytest.fixture
def sleeping(world):
    """The world, with a version 1 that has served and sleeps. The first idle time counts from its start."""
    world.endpoint = world.enable(min_replicas=0, idle_timeout_s=0.2)
    world.start()
    world.until(lambda: world.state(1) is ASLEEP)
    return world


def wake(world, number=1):
    send_nudge(world.paths.nudges, Wake(world.endpoint.id, str(number)))


def test_an_idle_version_ends_its_workers_is_still_ready_and_wakes_with_one_launch(sleeping):
    sleeping.until(lambda: sleeping.backend.numbers() == [])
    assert sleeping.entity(1).settled
    assert (sleeping.route().state, sleeping.route().latest) == (EndpointState.READY, "1")
    assert sleeping.model_files() != []
    sleeping.backend.released.clear()
    for _ in range(64):
        wake(sleeping)
    sleeping.until(lambda: sleeping.state(1) is EntityState.WAKING)
    assert sleeping.route().state is EndpointState.READY
    sleeping.backend.released.set()
    sleeping.until(lambda: "VERSION_WAKING" in sleeping.kinds() and sleeping.kinds().count("VERSION_ASLEEP") == 2)
    assert len(sleeping.backend.launched) == 2
    assert sleeping.kinds().count("VERSION_ENVIRONMENT") == 1
    assert sleeping.counted(WAKES, sleeping.endpoint.id, "1") == [1]
    assert sum(sleeping.counted(WAKE_SECONDS, sleeping.endpoint.id, "1")[:-1]) == 1


def test_a_version_with_a_request_in_hand_does_not_go_to_sleep(world):
    world.endpoint = world.enable(min_replicas=0, idle_timeout_s=0.2)
    in_hand = {(world.endpoint.id, "1"): 1}
    world.metrics.gauge(IN_FLIGHT, lambda: in_hand)
    world.metrics.touch()
    world.start()
    world.until_ready(1)
    # Version 2 comes later, and is idle: the time of both would be over.
    world.versions(a_version(1), a_version(2))
    world.until(lambda: world.state(2) is ASLEEP)
    assert world.state(1) is READY
    in_hand.clear()
    world.metrics.touch()
    world.until(lambda: world.state(1) is ASLEEP)


def test_a_restarted_controller_launches_nothing_that_had_proved_itself_and_writes_no_event(sleeping):
    sleeping.until(lambda: {"VERSION_ASLEEP", "ENDPOINT_READY"} <= {*sleeping.kinds()})
    before = sleeping.kinds()
    sleeping.stop()
    # As the last web worker does that stops.
    retire(sleeping.paths.routes, sleeping.paths.routes_at_stop)
    sleeping.backend.launched.clear()
    sleeping.start()
    sleeping.until(lambda: sleeping.state(1) is ASLEEP)
    # Files of sleeping versions are read after the first snapshot.
    sleeping.until(lambda: sleeping.entity(1).model_dir)
    assert sleeping.kinds() == before
    sleeping.versions(a_version(1), a_version(2))
    sleeping.until(lambda: sleeping.state(2) is ASLEEP)
    assert sleeping.backend.launched == [EntityKey(sleeping.endpoint.id, "2")]


def test_a_configuration_changed_while_asleep_proves_itself_and_sleeps_again(sleeping):
    sleeping.enable(min_replicas=0, idle_timeout_s=0.2, batching="off")
    sleeping.until(lambda: len(sleeping.backend.launched) == 2 and sleeping.state(1) is ASLEEP)


def test_a_version_that_must_not_sleep_any_more_is_launched(sleeping):
    sleeping.enable()
    sleeping.until_ready(1)


def test_an_archived_sleeper_is_forgotten_with_its_files(sleeping):
    sleeping.versions(a_version(1, "Archived"))
    sleeping.until(lambda: sleeping.state(1) is None and sleeping.model_files() == [])
    sleeping.versions(a_version(1))
    sleeping.until(lambda: len(sleeping.backend.launched) == 2)


def test_files_removed_while_asleep_are_fetched_for_the_wake(sleeping):
    (directory,) = (sleeping.paths.models / sleeping.endpoint.id).iterdir()
    (directory / "model" / "MLmodel").unlink()
    wake(sleeping)
    sleeping.until(lambda: sleeping.fetched == [("iris", 1), ("iris", 1)] and len(sleeping.backend.launched) == 2)
    assert "VERSION_FAILED" not in sleeping.kinds()


@pytest.mark.eras
def test_an_environment_removed_while_asleep_is_built_again_for_the_wake(world):
    def download(*arguments):
        files = Path(model_files(arguments[-1]))
        (files / "requirements.txt").write_text("mlflow-skinny==3.5.0\n")
        return str(files)

    def asleep_after(launches):
        return len(started) == launches and world.state(1) is ASLEEP

    world.download, started = download, []
    world.backend.before_launch = started.append
    world.endpoint = world.enable(min_replicas=0, idle_timeout_s=0.2, env_manager="uv")
    world.start()
    eventually(lambda: asleep_after(1), within_s=BUILT_S, tail=world.tail)
    shutil.rmtree(started[0].environment.directory)
    wake(world)
    eventually(lambda: asleep_after(2), within_s=BUILT_S, tail=world.tail)
    assert Path(started[1].environment.python).exists()
    assert world.kinds().count("VERSION_BUILDING") == 2
    assert "VERSION_FAILED" not in world.kinds()


def test_a_wake_whose_worker_is_killed_is_tried_once_more_at_once(sleeping):
    killed = []

    def kill_the_first(spec):
        if not killed:
            killed.append(spec)
            raise OSError("killed")

    sleeping.backend.before_launch = kill_the_first
    wake(sleeping)
    sleeping.until(lambda: sleeping.kinds().count("VERSION_ASLEEP") == 2)
    assert "VERSION_FAILED" not in sleeping.kinds()


def test_a_version_with_much_in_hand_has_more_workers_at_once(world):
    world.endpoint = world.enable(max_replicas=3, target_requests=4.0)
    in_hand = {(world.endpoint.id, "1"): 500}
    world.metrics.gauge(IN_FLIGHT, lambda: in_hand)
    world.metrics.touch()
    world.start()
    world.until(lambda: world.backend.numbers() == [1, 1, 1])
    assert world.entity(1).replicas == 3
    # The next controller does not end what the load may need.
    world.stop()
    in_hand.clear()
    world.metrics.touch()
    world.start()
    world.versions(a_version(1), a_version(2))
    world.until(lambda: world.backend.numbers() == [1, 1, 1, 2])


def test_a_wake_without_room_puts_the_longest_idle_version_to_sleep_first(paths):
    world = World(paths, replace(SETTINGS, max_workers=1))
    world.registry.put(replace(world.registry.models[WS, "iris"], versions=(a_version(1), a_version(2))))
    world.endpoint = world.enable(min_replicas=0, idle_timeout_s=3600.0)
    world.start()
    try:
        world.until(lambda: world.kinds().count("VERSION_EVICTED") == 1 and "VERSION_WAKING" not in world.kinds())
        for number in (2, 1, 2):
            wake(world, number)
            world.until(lambda number=number: world.state(number) is READY and world.backend.numbers() == [number])
        assert world.counted(EVICTIONS, world.endpoint.id, "1") == [2]
        world.until(lambda: world.counted(WORKER_MEMORY, world.endpoint.id, "2") == [40 * 2**20])
    finally:
        world.close()


def test_a_version_for_which_there_is_no_memory_says_so_and_one_that_grows_is_named(paths):
    world = World(paths, replace(SETTINGS, max_memory_bytes=90 * 2**20))
    world.endpoint = world.enable()
    world.start()
    try:
        world.until_ready(1)
        world.until(lambda: world.counted(WORKER_MEMORY, world.endpoint.id, "1"))
        world.backend.own_bytes = 85 * 2**20
        world.until(lambda: "VERSION_OUT_OF_MEMORY" in world.kinds())
        world.versions(a_version(1), a_version(2))
        world.until(lambda: world.state(2) and "taken by 1 worker of 1 version" in world.entity(2).message)
        assert world.backend.numbers() == [1]
        world.backend.own_bytes = 20 * 2**20
        world.until_ready(1, 2)
    finally:
        world.close()


def test_a_sleeper_that_does_not_start_any_more_fails_with_the_reason(sleeping):
    sleeping.backend.fail(EntityKey(sleeping.endpoint.id, "1"), "No module named 'x'.")
    wake(sleeping)
    sleeping.until(lambda: sleeping.state(1) is EntityState.FAILED)
    assert sleeping.entity(1).message == "No module named 'x'."
    sleeping.backend.recover(EntityKey(sleeping.endpoint.id, "1"))
    sleeping.until(lambda: sleeping.state(1) is ASLEEP)


def test_each_of_two_hosts_on_one_database_has_its_own_sleepers(sleeping):
    with tempfile.TemporaryDirectory(prefix="mls-") as root:
        other = World(StatePaths.create(Path(root)))
        other.store, other.registry, other.endpoint = sleeping.store, sleeping.registry, sleeping.endpoint
        other.start()
        try:
            other.until(lambda: other.state(1) is ASLEEP and other.backend.numbers() == [])
            wake(other)
            other.until(lambda: len(other.backend.launched) == 2 and other.state(1) is ASLEEP)
            assert len(sleeping.backend.launched) == 1
            # What somebody changes through one host counts on both, without a nudge to the other.
            sleeping.enable(min_replicas=1)
            for host in (sleeping, other):
                host.until_ready(1)
        finally:
            other.close()
