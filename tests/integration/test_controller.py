"""The real controller on a real store (SQLite) with a registry in memory and workers that are only said to run."""

from __future__ import annotations

import dataclasses
import logging
import socket
import threading

import pytest
from support import eventually
from support.controller import a_model, a_version
from support.world import SETTINGS, WS, World

from mlflow_serving_plugin.controller.backoff import CRASH_LOOP
from mlflow_serving_plugin.controller.leader import Candidate
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.routes_text import load_routes
from mlflow_serving_plugin.domain.states import EndpointState, EntityState
from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.host.messages import Changed, Lost, Overdue, Wake, send_nudge
from mlflow_serving_plugin.host.snapshot import SnapshotReader
from mlflow_serving_plugin.metrics.families import REQUESTS, RESTARTS, START_FAILURES, TICKS
from mlflow_serving_plugin.registry.artifacts import FetchError
from mlflow_serving_plugin.store.endpoints import Store
from mlflow_serving_plugin.worker.counts import Counts, key_of


@pytest.fixture
def world(paths):
    made = World(paths)
    yield made
    made.close()


@pytest.fixture
def serving(world):
    """The world, with version 1 served."""
    world.endpoint = world.enable()
    world.start()
    world.until_ready(1)
    return world


def key(world, number):
    return EntityKey(world.endpoint.id, str(number))


def test_an_enabled_model_is_fetched_launched_and_published(serving):
    assert serving.fetched == [("iris", 1)]
    (worker,) = serving.entity(1).workers
    assert worker.worker_id == serving.backend.live()[0].worker_id
    assert serving.route().state is EndpointState.READY
    assert serving.entity(1).model_dir.startswith(str(serving.paths.models))


def test_the_way_to_ready_is_told_in_order_and_once(serving):
    told = ["ENDPOINT_ENABLED", "VERSION_PENDING", "ENDPOINT_STARTING", "VERSION_LAUNCHING", "VERSION_ENVIRONMENT"]
    serving.until(lambda: len(serving.kinds()) == 7)
    assert sorted(serving.kinds()) == sorted([*told, "VERSION_READY", "ENDPOINT_READY"])
    assert [kind for kind in serving.kinds() if kind != "VERSION_ENVIRONMENT"][-2:] == [
        "VERSION_READY",
        "ENDPOINT_READY",
    ]


def test_enabling_while_it_runs_is_acted_on_at_once(world):
    world.start()
    world.until(world.paths.routes.exists)
    world.endpoint = world.enable()
    world.until(lambda: world.backend.launched == [key(world, 1)])


def test_a_new_version_is_launched_at_once_and_the_others_are_left_alone(serving):
    before = serving.backend.live()
    serving.versions(a_version(1), a_version(2))
    serving.until(lambda: key(serving, 2) in serving.backend.launched)
    serving.until_ready(1, 2)
    assert serving.backend.live()[:1] == before


def test_an_archived_version_is_stopped_with_its_files_and_told_of(serving):
    serving.versions(a_version(1), a_version(2))
    serving.until_ready(1, 2)
    serving.versions(a_version(1, "Archived"), a_version(2))
    serving.until(lambda: serving.backend.numbers() == [2])
    serving.until(lambda: [name.partition("-")[0] for name in serving.model_files()] == ["2"])
    serving.until(lambda: "VERSION_REMOVED" in serving.kinds())
    assert serving.route().entities == ("2",)


def test_an_archived_version_drains_until_its_worker_has_finished_and_says_so(serving):
    serving.versions(a_version(1), a_version(2))
    serving.until_ready(1, 2)
    serving.backend.finished.clear()
    serving.versions(a_version(1, "Archived"), a_version(2))
    serving.until(lambda: serving.state(1) is EntityState.DRAINING)
    assert (serving.route().entities, serving.route().draining) == (("2",), ("1",))
    serving.until(lambda: (1, "VERSION_DRAINING") in [event[:2] for event in serving.events()])
    assert "VERSION_REMOVED" not in serving.kinds()
    serving.backend.finished.set()
    serving.until(lambda: serving.state(1) is None)
    serving.until(lambda: serving.events()[-1][:2] == (1, "VERSION_REMOVED"))


def test_the_versions_of_a_disabled_endpoint_drain_and_its_history_has_it(serving):
    serving.until(lambda: "ENDPOINT_READY" in serving.kinds())
    serving.backend.finished.clear()
    serving.store.disable(WS, "iris", by=None)
    serving.nudge("iris")
    serving.until(lambda: serving.routes().endpoints == {})
    (entity,) = serving.routes().entities.values()
    assert entity.state is EntityState.DRAINING
    serving.backend.finished.set()
    serving.until(lambda: serving.kinds()[-3:] == ["ENDPOINT_DISABLED", "VERSION_DRAINING", "VERSION_REMOVED"])


def test_a_version_that_is_active_again_is_served_again(serving):
    serving.versions(a_version(1, "Archived"))
    serving.until(lambda: serving.backend.numbers() == [] and serving.model_files() == [])
    serving.versions(a_version(1))
    serving.until_ready(1)
    assert serving.backend.numbers() == [1]


def test_a_stage_or_an_alias_that_moves_restarts_nothing(serving):
    serving.versions(a_version(1, "Production"), champion=1)
    serving.until(lambda: serving.route().aliases == {"champion": "1"})
    assert serving.route().stages == {"Production": "1"}
    assert len(serving.backend.launched) == 1


def test_disabling_leaves_no_worker_and_no_file(serving):
    log = serving.paths.entity_log(serving.endpoint.id, "1")
    log.parent.mkdir(parents=True)
    log.write_text("what the worker printed")
    serving.store.disable(WS, "iris", by=None)
    serving.nudge("iris")
    serving.until(lambda: serving.backend.observe() == [])
    serving.until(lambda: list(serving.paths.models.iterdir()) == [])
    serving.until(lambda: list(serving.paths.logs.iterdir()) == [])
    serving.until(lambda: serving.routes().endpoints == {})
    serving.until(lambda: set() in serving.backend.retained)


def test_disabling_and_enabling_in_one_breath_ends_ready(serving):
    for _ in range(20):
        serving.store.disable(WS, "iris", by=None)
        serving.nudge("iris")
        serving.enable()
    serving.until(lambda: serving.backend.numbers() == [1] and serving.state(1) is EntityState.READY)
    serving.store.disable(WS, "iris", by=None)
    serving.nudge("iris")
    serving.until(lambda: serving.backend.observe() == [] and list(serving.paths.models.iterdir()) == [])


def test_files_that_vanish_are_fetched_again_instead_of_failing_the_version(serving):
    def needs_its_files(spec):
        assert (spec.model_dir / "MLmodel").is_file()

    serving.backend.before_launch = needs_its_files
    (directory,) = (serving.paths.models / serving.endpoint.id).iterdir()
    (directory / "model" / "MLmodel").unlink()
    serving.backend.die(serving.backend.live()[0].worker_id)
    serving.until(lambda: len(serving.backend.launched) == 2 and serving.backend.numbers() == [1])
    assert "VERSION_FAILED" not in serving.kinds()


def test_an_enabled_model_without_active_version_serves_nothing_and_has_no_workers(world):
    world.registry.put(a_model("iris", a_version(1, "Archived")))
    world.enable()
    world.start()
    world.until(lambda: world.paths.routes.exists() and world.route())
    assert (world.route().state, world.route().entities) == (EndpointState.EMPTY, ())
    assert world.backend.launched == []


def test_a_version_that_does_not_start_fails_with_the_reason_and_is_tried_again_until_it_does(serving):
    serving.backend.fail(key(serving, 2), "ModuleNotFoundError: No module named 'lightgbm'")
    serving.versions(a_version(1), a_version(2))
    serving.until(lambda: serving.state(2) is EntityState.FAILED)
    assert serving.entity(2).message == "ModuleNotFoundError: No module named 'lightgbm'"
    assert serving.state(1) is EntityState.READY
    serving.until(lambda: serving.backend.launched.count(key(serving, 2)) >= 3)
    told = [kind for number, kind, _ in serving.events() if number == 2]
    assert told.count("VERSION_FAILED") == 1
    serving.backend.recover(key(serving, 2))
    serving.until_ready(1, 2)
    assert serving.entity(2).message == ""


def test_a_version_whose_files_cannot_be_fetched_fails_with_the_reason(serving):
    serving.fetch_errors[2] = FetchError("The model's files could not be fetched: no such bucket")
    serving.versions(a_version(1), a_version(2))
    serving.until(lambda: serving.state(2) is EntityState.FAILED)
    assert "no such bucket" in serving.entity(2).message
    del serving.fetch_errors[2]
    serving.until_ready(1, 2)
    assert not list(serving.paths.models.glob("*/.*"))


@pytest.mark.parametrize("message", ["no file \udcff.pkl", "NUL \x00 in it"], ids=["surrogate", "nul"])
def test_a_reason_that_no_database_takes_neither_ends_the_controller_nor_holds_up_events(serving, message):
    serving.backend.fail(key(serving, 2), message)
    serving.versions(a_version(1), a_version(2))
    serving.until(lambda: serving.state(2) is EntityState.FAILED)
    serving.backend.recover(key(serving, 2))
    serving.until(lambda: (2, "VERSION_READY") in [event[:2] for event in serving.events()])


def test_backoff_grows_between_the_attempts(paths):
    world = World(paths, dataclasses.replace(SETTINGS, backoff_base_s=60.0, backoff_cap_s=300.0))
    try:
        world.endpoint = world.enable()
        controller = world.controller()
        world.backend.fail(key(world, 1), "no")
        now = 1000.0

        def tick_until(condition):
            def step():
                controller.tick([], now)
                return condition()

            eventually(step)

        tick_until(lambda: world.state(1) is EntityState.FAILED)
        assert len(world.backend.launched) == 1
        now = 1044.9  # before the earliest moment: 60 s less a quarter
        for _ in range(20):
            controller.tick([], now)
        assert len(world.backend.launched) == 1
        now = 1060.1
        tick_until(lambda: len(world.backend.launched) == 2)
    finally:
        controller._inbox.close()
        world.close()


def test_deaths_failed_starts_and_ticks_are_counted(serving):
    of_iris = (serving.endpoint.id, "1")
    assert serving.counted(RESTARTS, *of_iris) is None
    serving.backend.die(serving.backend.live()[0].worker_id)
    serving.until(lambda: serving.counted(RESTARTS, *of_iris) == [1])
    serving.until(lambda: serving.backend.numbers() == [1])
    (worker,) = serving.backend.live()
    send_nudge(serving.paths.nudges, Overdue(worker.worker_id))
    serving.until(lambda: serving.counted(RESTARTS, *of_iris) == [2])
    serving.backend.fail(key(serving, 2), "no")
    serving.versions(a_version(2), a_version(1))
    serving.until(lambda: (serving.counted(START_FAILURES, serving.endpoint.id, "2") or [0])[0] >= 2)
    assert serving.counted(START_FAILURES, *of_iris) is None
    *buckets, total = serving.counted(TICKS)
    assert 0 < total / sum(buckets) < 1


def test_what_ended_processes_counted_is_kept_of_versions_that_are_served(world):
    endpoint = world.enable()
    kept = {(REQUESTS, endpoint.id, "1", 200): 3, (REQUESTS, "", None, 404): 4}
    dropped = {(REQUESTS, endpoint.id, "2", 200): 5, (REQUESTS, "another", "1", 200): 6}
    counts = Counts(str(world.paths.metrics / "web-1-a.counts"))
    for series, number in (kept | dropped).items():
        counts.values[counts.allot(key_of(*series), 1)] = number
    counts.flush()
    world.start()
    world.until_ready(1)
    assert all(world.counted(*series) == [number] for series, number in (kept | dropped).items())
    counts.close()
    world.stop()
    world.start()
    world.until(lambda: not list(world.paths.metrics.glob("web-1-*")))
    assert {series: world.counted(*series) for series in kept} == {series: [n] for series, n in kept.items()}
    assert [world.counted(*series) for series in dropped] == [None, None]


def test_a_dead_worker_is_replaced_at_once_and_the_others_are_left_alone(serving):
    serving.versions(a_version(1), a_version(2))
    serving.until_ready(1, 2)
    one, two = sorted(serving.backend.live(), key=lambda worker: worker.key.name)
    serving.backend.die(one.worker_id, "MemoryError: out of it")
    serving.until(lambda: serving.backend.numbers() == [1, 2])
    assert two in serving.backend.live()
    assert one.worker_id in serving.backend.stopped
    serving.until(lambda: "Restarting: MemoryError: out of it" in [message for _, _, message in serving.events()])
    assert "VERSION_FAILED" not in serving.kinds()


def test_a_worker_that_keeps_dying_makes_its_version_failed(serving):
    for deaths in range(1, CRASH_LOOP + 1):
        serving.until(lambda: serving.backend.numbers() == [1])
        serving.backend.die(serving.backend.live()[0].worker_id, f"Segmentation fault {deaths}")
    serving.until(lambda: (1, "VERSION_FAILED", f"Segmentation fault {CRASH_LOOP}") in serving.events())


def test_requests_that_end_their_workers_make_no_version_failed_that_can_score_others(serving):
    ((_, _, controller),) = serving._threads
    for deaths in range(1, CRASH_LOOP + 3):
        serving.until(lambda: serving.backend.numbers() == [1])
        worker = serving.backend.live()[0].worker_id
        send_nudge(serving.paths.nudges, Lost(worker, in_hand=True))
        serving.until(lambda worker=worker: worker in controller._state.lost_in_hand)
        serving.backend.die(worker, f"Segmentation fault {deaths}")
    serving.until(lambda: serving.backend.numbers() == [1])
    assert "VERSION_FAILED" not in serving.kinds()


def test_predictions_that_hang_make_no_version_failed_that_can_score_others(serving):
    for _ in range(CRASH_LOOP + 2):
        serving.until(lambda: serving.backend.numbers() == [1])
        worker = serving.backend.live()[0].worker_id
        send_nudge(serving.paths.nudges, Overdue(worker))
        serving.until(lambda worker=worker: worker in serving.backend.stopped)
    serving.until(lambda: serving.backend.numbers() == [1])
    assert "VERSION_FAILED" not in serving.kinds()


def test_a_worker_that_is_killed_again_and_again_while_it_serves_well_is_always_replaced(serving):
    for deaths in range(1, 8):
        serving.until(lambda: serving.backend.numbers() == [1])
        serving.backend.die(serving.backend.live()[0].worker_id, f"killed {deaths}", has_served=True)
    serving.until(lambda: serving.backend.numbers() == [1])
    assert "VERSION_FAILED" not in serving.kinds()


def test_a_crash_loop_waits_longer_each_time(paths):
    world = World(paths, dataclasses.replace(SETTINGS, backoff_base_s=60.0, backoff_cap_s=300.0))
    try:
        world.enable()
        world.start()
        world.until_ready(1)
        world.backend.die(world.backend.live()[0].worker_id)
        world.until(lambda: len(world.backend.launched) == 2 and world.backend.numbers() == [1])
        world.backend.die(world.backend.live()[0].worker_id)
        world.until(lambda: len(world.backend.stopped) == 2)
        world.until(lambda: world.state(1) is EntityState.PENDING)
        # One more round of the whole loop, made visible by a change that it has to publish.
        world.versions(a_version(1, "Staging"))
        world.until(lambda: world.route().stages == {"Staging": "1"})
        assert len(world.backend.launched) == 2
    finally:
        world.close()


def test_a_worker_that_is_overdue_is_restarted(serving):
    (worker,) = serving.backend.live()
    send_nudge(serving.paths.nudges, Overdue(worker.worker_id))
    serving.until(lambda: worker.worker_id in serving.backend.stopped)
    serving.until(lambda: serving.backend.numbers() == [1])
    restarting = "Restarting: A prediction ran on long after its request timeout."
    serving.until(lambda: restarting in [message for _, _, message in serving.events()])


def test_a_worker_that_drains_is_replaced_while_it_finishes_and_its_failure_counts_once(serving):
    (worker,) = serving.backend.live()
    serving.backend.drain(worker.worker_id)
    serving.nudge("iris")
    serving.until(lambda: serving.backend.numbers() == [1, 1])
    (fresh,) = [one.worker_id for one in serving.backend.live() if one.worker_id != worker.worker_id]
    wanted = {worker.worker_id: (False, True), fresh: (True, False)}
    serving.until(lambda: {one.worker_id: (one.ready, one.draining) for one in serving.entity(1).workers} == wanted)
    assert serving.backend.stopped == []
    serving.backend.die(worker.worker_id, "A prediction ran on long after its request timeout.")
    serving.nudge("iris")
    serving.until(lambda: serving.backend.stopped == [worker.worker_id])
    assert serving.counted(RESTARTS, serving.endpoint.id, "1") == [1]
    assert len(serving.backend.launched) == 2


@pytest.mark.parametrize("request_timeout_s", [3600.0, 0.1])
def test_a_stock_server_with_an_overdue_prediction_has_as_long_as_the_others_may_take(world, request_timeout_s):
    world.endpoint = world.enable(request_timeout_s=request_timeout_s)
    world.start()
    world.until_ready(1)
    (worker,) = world.backend.live()
    send_nudge(world.paths.nudges, Overdue(worker.worker_id, answers=True))
    if request_timeout_s > 1:
        world.until(lambda: world.backend.numbers() == [1, 1])
        assert world.backend.stopped == []
        world.until(lambda: worker.worker_id in {one.worker_id for one in world.entity(1).workers if one.draining})
    else:
        world.until(lambda: world.backend.stopped == [worker.worker_id])
        world.until(lambda: world.backend.numbers() == [1])


def test_an_overdue_worker_that_is_unknown_harms_nobody(serving):
    send_nudge(serving.paths.nudges, Overdue("nobody"))
    serving.versions(a_version(1), a_version(2))
    serving.until_ready(1, 2)
    assert serving.backend.stopped == []


def test_a_changed_configuration_replaces_the_worker_without_a_gap(serving):
    (old,) = serving.backend.live()
    serving.backend.released.clear()
    serving.enable(batching="off")
    serving.until(lambda: len(serving.backend.launched) == 2)
    assert serving.backend.live() == [old]
    assert serving.state(1) is EntityState.READY
    serving.backend.released.set()
    serving.until(lambda: serving.backend.stopped == [old.worker_id])
    assert serving.backend.numbers() == [1]
    assert serving.state(1) is EntityState.READY


def test_each_worker_of_several_learns_how_many_share_the_cores(serving):
    told = set()
    serving.backend.before_launch = lambda spec: told.add(spec.replicas)
    serving.enable(replicas=2, max_replicas=3, target_requests=1000)
    serving.until(lambda: told == {3})


def test_replicas_follow_the_configuration_up_and_down(serving):
    serving.enable(replicas=3)
    serving.until(lambda: serving.backend.numbers() == [1, 1, 1])
    serving.enable(replicas=1)
    serving.until(lambda: serving.backend.numbers() == [1])


def test_a_renamed_model_is_served_on_under_its_new_name(serving):
    workers = serving.backend.live()
    serving.registry.rename("iris", "rose")
    serving.nudge("iris")
    serving.until(lambda: serving.route("rose"))
    assert serving.route("iris") is None
    assert serving.backend.live() == workers
    assert serving.state(1, "rose") is EntityState.READY


def test_a_deleted_model_is_stopped_and_forgotten(serving):
    serving.registry.delete("iris")
    serving.nudge("iris")
    serving.until(lambda: serving.backend.observe() == [])
    serving.until(lambda: serving.store.enabled() == [])
    serving.until(lambda: serving.model_files() == [])


def test_a_registry_that_is_down_at_the_start_is_asked_again(world):
    world.registry.broken = ConnectionError("down")
    world.enable()
    thread = world.start()
    world.until(lambda: world.registry.reads)
    world.registry.broken = None
    world.until_ready(1)
    assert thread.is_alive()


def test_a_registry_that_goes_down_later_stops_nothing(serving):
    workers = serving.backend.live()
    reads = len(serving.registry.reads)
    serving.registry.broken = ConnectionError("down")
    serving.nudge()
    serving.until(lambda: len(serving.registry.reads) > reads)
    serving.backend.die(workers[0].worker_id)
    serving.until(lambda: serving.backend.numbers() == [1])
    assert serving.state(1) is not None
    serving.registry.broken = None
    serving.versions(a_version(1), a_version(2))
    serving.until_ready(1, 2)


def test_what_happens_while_the_store_is_down_is_told_later(serving, monkeypatch):
    failing = threading.Event()

    def down(_):
        failing.set()
        raise ServingError("database is down")

    with monkeypatch.context() as patched:
        patched.setattr(serving.store, "add_events", down)
        serving.versions(a_version(1), a_version(2))
        assert failing.wait(10)
        serving.until_ready(1, 2)
    serving.until(lambda: (2, "VERSION_READY") in [event[:2] for event in serving.events()])
    told = [kind for number, kind, _ in serving.events() if number == 2]
    assert [kind for kind in told if kind != "VERSION_ENVIRONMENT"] == [
        "VERSION_PENDING",
        "VERSION_LAUNCHING",
        "VERSION_READY",
    ]


def test_what_another_host_enables_and_disables_counts_here_without_a_nudge(world):
    """The registry is not polled within the test's time: ``revision`` is what tells."""
    world.start()
    world.enable()
    world.until_ready(1)
    other, created_ms = Store(world.engine), world.registry.models[WS, "iris"].created_ms
    other.disable(WS, "iris", by="eve")
    world.until(lambda: world.route() is None)
    other.enable(WS, "iris", model_created_ms=created_ms, config=None, by="eve")
    world.until(lambda: world.route() is not None)
    world.until_ready(1)


def test_a_change_behind_the_server_s_back_is_seen_though_other_models_keep_it_busy(paths):
    world = World(paths, dataclasses.replace(SETTINGS, poll_interval_s=1.0))
    try:
        world.registry.put(a_model("busy", created_ms=2))
        world.enable()
        world.enable("busy")
        world.start()
        world.until_ready(1)
        # Nobody tells of this one.
        world.registry.put(a_model("iris", a_version(1), a_version(2)))

        def keep_busy():
            world.nudge("busy")
            return world.state(2) is EntityState.READY

        world.until(keep_busy)
    finally:
        world.close()


@pytest.mark.parametrize("content", [b"", b"{", b"\x00\xff", b'{"format": 99}', b"[]"], ids=repr)
def test_a_damaged_snapshot_is_built_anew(world, content):
    world.paths.routes.write_bytes(content)
    world.enable()
    world.start()
    world.until(lambda: SnapshotReader(world.paths.routes).current().endpoints)
    world.until_ready(1)


def test_the_next_controller_tells_nothing_twice(serving):
    serving.until(lambda: "ENDPOINT_READY" in serving.kinds())
    serving.stop()
    told, since_ms = serving.kinds(), serving.entity(1).since_ms
    serving.start()
    serving.versions(a_version(1), a_version(2))
    serving.until(lambda: (2, "VERSION_READY") in [event[:2] for event in serving.events()])
    assert [kind for number, kind, _ in serving.events() if number != 2] == told
    assert serving.entity(1).since_ms == since_ms
    assert len(serving.backend.launched) == 2


def test_scratch_files_of_a_fetch_that_was_cut_off_are_cleared(world):
    scratch = world.paths.models / "e" / ".1-abc.12345678"
    scratch.mkdir(parents=True)
    (scratch / "half").write_text("half")
    world.start()
    world.until(lambda: not scratch.exists())


def test_the_lease_is_renewed_at_every_tick(world):
    world.start()
    world.until(world.paths.lease.exists)
    first = world.paths.lease.stat().st_mtime_ns
    world.until(lambda: world.paths.lease.stat().st_mtime_ns > first)


def test_starts_never_outnumber_the_slots(paths):
    world = World(paths, dataclasses.replace(SETTINGS, max_concurrent_starts=2))
    try:
        world.backend.released.clear()
        world.registry.put(a_model("iris", *[a_version(n) for n in range(1, 6)]))
        world.enable()
        world.start()
        world.until(lambda: len(world.fetched) == 5 and len(world.backend.launched) == 2)
        world.versions(*[a_version(n) for n in range(1, 6)], champion=1)
        world.until(lambda: world.route().aliases)
        assert len(world.backend.launched) == 2
        world.backend.released.set()
        world.until_ready(1, 2, 3, 4, 5)
    finally:
        world.close()


@pytest.fixture
def candidates(world):
    made = []

    def make():
        candidate = Candidate(world.paths, world.controller, lambda: world.backend)
        made.append(candidate)
        candidate.start()
        return candidate

    yield make
    for candidate in made:
        if candidate._thread.is_alive():
            candidate.stop()


def leaders(*found):
    return [candidate for candidate in found if candidate._controller is not None]


def test_one_candidate_leads_and_the_other_takes_over_without_restarting_a_worker(world, candidates):
    world.endpoint = world.enable()
    one, two = candidates(), candidates()
    world.until_ready(1)
    (leader,) = leaders(one, two)
    follower = two if leader is one else one
    leader.stop()
    world.until(lambda: leaders(one, two) == [follower])
    world.versions(a_version(1), a_version(2))
    world.until_ready(1, 2)
    assert len(world.backend.launched) == 2
    assert world.backend.stopped == []


def test_the_last_candidate_to_stop_ends_the_workers(world, candidates):
    world.enable()
    one, two = candidates(), candidates()
    world.until_ready(1)
    one.stop()
    assert world.backend.stopped == []
    two.stop()
    assert world.backend.observe() == []
    assert set() in world.backend.retained


def test_after_a_restart_the_version_for_which_a_request_waits_is_started_before_all_others(paths):
    world = World(paths, dataclasses.replace(SETTINGS, max_concurrent_starts=1, max_concurrent_fetches=1))
    world.versions(*(a_version(number) for number in range(1, 5)))
    try:
        world.endpoint = world.enable()
        world.backend.released.clear()
        world.start()
        world.until(lambda: world.backend.launched == [key(world, 4)])
        send_nudge(world.paths.nudges, Wake(world.endpoint.id, "1"))
        world.until(lambda: key(world, 1) in world._threads[0][2]._usage.used_at)
        world.until(lambda: len(world._threads[0][2]._state.needs) == 4)
        world.backend.released.set()
        world.until_ready(1, 2, 3, 4)
        assert world.backend.launched == [key(world, number) for number in (4, 1, 3, 2)]
    finally:
        world.close()


def test_after_a_restart_with_200_versions_requests_are_held_and_the_version_they_wait_for_is_started_next(paths):
    world = World(paths, dataclasses.replace(SETTINGS, max_concurrent_starts=1, max_concurrent_fetches=1))
    world.versions(*(a_version(number) for number in range(1, 201)))
    try:
        world.endpoint = world.enable()
        world.backend.released.clear()
        world.start()
        world.until(lambda: world.backend.launched == [key(world, 200)])
        world.until(lambda: len(world.routes().entities) == 200)
        assert all(entity.state.facts.holdable for entity in world.routes().entities.values())
        send_nudge(world.paths.nudges, Wake(world.endpoint.id, "1"))
        world.until(lambda: key(world, 1) in world._threads[0][2]._usage.used_at)
        world.until(lambda: key(world, 1) in world._threads[0][2]._state.needs)
        world.backend.released.set()
        world.until_ready(1)
        assert world.backend.launched[:2] == [key(world, 200), key(world, 1)]
    finally:
        world.close()


def test_a_controller_that_breaks_is_followed_by_another(world, caplog):
    made = []

    def broken_once():
        made.append(1)
        if len(made) == 1:
            raise OSError("disk full")
        return world.controller()

    world.enable()
    candidate = Candidate(world.paths, broken_once, lambda: world.backend)
    with caplog.at_level(logging.CRITICAL):
        candidate.start()
        world.until_ready(1)
    candidate.stop()
    assert len(made) == 2


def test_events_beyond_the_backlog_cost_the_oldest_first():
    from mlflow_serving_plugin.controller import journal as module
    from mlflow_serving_plugin.controller.tasks import Tasks
    from mlflow_serving_plugin.domain.events import Event

    class Down:
        def add_events(self, events):
            raise ServingError("down")

        def prune_events(self, before_ms):
            return 0

    woken = threading.Event()
    tasks = Tasks(woken.set)
    journal = module.Journal(Down(), tasks, 30.0)
    number = iter(range(10**6))

    def add(count):
        journal.add([("e", Event(next(number), WS, "iris", "1", "VERSION_READY", "")) for _ in range(count)])

    add(module._BACKLOG)
    journal.flush(0.0, 0)
    add(10)
    eventually(lambda: tasks.settle(0.0) or not tasks.running("events", "prune"))
    kept = [event.timestamp_ms for _, event in journal._waiting]
    assert (kept[0], kept[-1], len(kept)) == (10, module._BACKLOG + 9, module._BACKLOG)
    assert {event.hosts for _, event in journal._waiting} == {(socket.gethostname(),)}


@pytest.mark.parametrize("harm", ["garbage", "gone"])
def test_a_snapshot_that_somebody_else_damaged_is_written_anew(serving, harm):
    path = serving.paths.routes
    path.unlink() if harm == "gone" else path.write_bytes(b"garbage")
    eventually(lambda: path.exists() and b'"endpoint"' in path.read_bytes())
    assert load_routes(path.read_bytes()).endpoints
    assert serving.backend.numbers() == [1]


def test_enabling_again_tries_at_once_what_has_failed(paths):
    world = World(paths, dataclasses.replace(SETTINGS, backoff_base_s=3600.0, backoff_cap_s=3600.0))
    try:
        failing = EntityKey(world.enable().id, "1")
        world.backend.fail(failing, "no licence")
        world.start()
        world.until(lambda: world.state(1) is EntityState.FAILED)
        world.backend.recover(failing)
        # A plain look at the model is none.
        send_nudge(world.paths.nudges, Changed("default", "iris"))
        world.versions(a_version(1, "Staging"))
        world.until(lambda: world.route().stages == {"Staging": "1"})
        assert len(world.backend.launched) == 1
        assert world.entity(1).retry_ms > world.entity(1).since_ms
        generation = world.enable().generation
        send_nudge(world.paths.nudges, Changed("default", "iris"))
        world.until_ready(1)
        assert world.route().generation == generation
    finally:
        world.close()
