"""A version that serves, but not as it was last asked to."""

from __future__ import annotations

from support.controller import a_model, a_version, a_view, a_worker, an_endpoint, desired_of

from mlflow_serving_plugin.controller.backoff import Failure
from mlflow_serving_plugin.controller.describing import Describer
from mlflow_serving_plugin.controller.scale import scale
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.controller.transitions import transitions
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.routes import Routes
from mlflow_serving_plugin.domain.states import EntityState

KEY = EntityKey("e-iris", "1")
FAILED = {KEY: Failure(2, 10.0, "MemoryError: too little", served=False)}


def described(observed: Observed, before: Routes, **config: object) -> Routes:
    view = a_view((an_endpoint(**config), a_model("iris", a_version(1))))
    desired = desired_of(1, **config)
    return Describer(60.0).describe(view, desired, scale(desired), observed, before, now_ms=5)


def version(routes: Routes):
    return routes.entities[str(KEY)]


def test_a_new_configuration_that_does_not_start_is_told_while_the_old_one_serves() -> None:
    wanted = desired_of(1)[KEY]
    healthy = described(Observed(workers=(a_worker(wanted),)), Routes())
    assert (version(healthy).state, version(healthy).message) == (EntityState.READY, "")
    outdated = Observed(workers=(a_worker(wanted, fingerprint="before"),), failures=FAILED)
    degraded = described(outdated, healthy)
    assert version(degraded).state is EntityState.READY
    assert "MemoryError: too little" in version(degraded).message
    events = [(event.type, event.message) for _, event in transitions(healthy, degraded, 6)]
    reason = version(degraded).message
    assert events == [("VERSION_DEGRADED", reason), ("ENDPOINT_DEGRADED", f"Version 1: {reason}")]
    assert not transitions(degraded, described(outdated, degraded), 7)


def test_fewer_workers_than_wanted_are_counted() -> None:
    wanted = desired_of(1, replicas=3)[KEY]
    routes = described(Observed(workers=(a_worker(wanted),), failures=FAILED), Routes(), replicas=3)
    assert "1 of 3 workers" in version(routes).message


def test_a_failure_that_is_overcome_is_no_more_told() -> None:
    wanted = desired_of(1)[KEY]
    assert version(described(Observed(workers=(a_worker(wanted),), failures=FAILED), Routes())).message == ""


def test_a_version_that_waits_for_room_is_pending_also_while_a_start_is_tried() -> None:
    wanted = desired_of(1, replicas=2)[KEY]
    waiting = Failure(0, 10.0, "Waiting for 1 GPU.", served=False, starting=True, waits=True)
    for launching in ({}, {KEY: 1}):
        found = version(described(Observed(failures={KEY: waiting}, launching=launching), Routes(), replicas=2))
        assert (found.state, found.message) == (EntityState.PENDING, "Waiting for 1 GPU.")
    one = version(described(Observed(workers=(a_worker(wanted),), failures={KEY: waiting}), Routes(), replicas=2))
    assert (one.state, one.message) == (EntityState.READY, "Serving with 1 of 2 workers. Waiting for 1 GPU.")
