"""What an endpoint's versions amount to, and what ``latest`` means among them."""

from __future__ import annotations

import itertools

import pytest
from support.routes import an_entity

from mlflow_serving_plugin.domain.endpoint_status import endpoint_status, latest_message, latest_of, serving_status
from mlflow_serving_plugin.domain.states import EndpointState, EntityState

READY, FAILED, BUILDING = EntityState.READY, EntityState.FAILED, EntityState.BUILDING
DRAINING, ASLEEP, WAKING = EntityState.DRAINING, EntityState.ASLEEP, EntityState.WAKING


def entities(*states: EntityState):
    return [an_entity(n, state, "why" if state is FAILED else "") for n, state in enumerate(states, start=1)]


@pytest.mark.parametrize(
    ("states", "state", "message", "reason"),
    [
        ((), EndpointState.EMPTY, "No active version. The next version registered will be served.", None),
        ((DRAINING,), EndpointState.EMPTY, "No active version. The next version registered will be served.", None),
        ((BUILDING,), EndpointState.STARTING, "Starting version 1.", "1"),
        ((FAILED, BUILDING), EndpointState.STARTING, "Starting version 2. 1 of 2 versions failed.", "2"),
        ((READY, BUILDING), EndpointState.READY, "", None),
        ((ASLEEP, ASLEEP), EndpointState.READY, "Asleep: the next request starts a worker.", None),
        ((ASLEEP, READY), EndpointState.READY, "", None),
        ((WAKING, BUILDING), EndpointState.READY, "", None),
        ((ASLEEP, FAILED), EndpointState.DEGRADED, "1 of 2 versions failed. Version 2: why", "2"),
        ((READY, FAILED), EndpointState.DEGRADED, "1 of 2 versions failed. Version 2: why", "2"),
        ((FAILED, READY), EndpointState.DEGRADED, "1 of 2 versions failed. Version 1: why", "1"),
        ((FAILED, FAILED, READY), EndpointState.DEGRADED, "2 of 3 versions failed. Version 2: why", "2"),
        ((FAILED, DRAINING), EndpointState.FAILED, "Version 1: why", "1"),
        ((FAILED, FAILED), EndpointState.FAILED, "2 of 2 versions failed. Version 2: why", "2"),
    ],
)
def test_the_state_of_an_endpoint_follows_from_its_versions(states, state, message, reason):
    found = endpoint_status(entities(*states))
    assert (found.state, found.message) == (state, message)
    assert (found.reason.name if found.reason else None) == reason


GONE = "The registry has no such version of the model of"


@pytest.mark.parametrize(
    ("states", "gone", "state", "message"),
    [
        ((), ["a"], EndpointState.FAILED, f"{GONE} entity 'a'."),
        ((), ["a", "b"], EndpointState.FAILED, f"{GONE} entities 'a', 'b'."),
        ((READY,), [], EndpointState.READY, ""),
        ((READY,), ["a"], EndpointState.DEGRADED, f"{GONE} entity 'a'."),
        ((DRAINING, READY), ["a"], EndpointState.DEGRADED, f"{GONE} entity 'a'."),
        ((BUILDING,), ["a"], EndpointState.STARTING, f"{GONE} entity 'a'. Starting version 1."),
        ((FAILED,), ["a"], EndpointState.FAILED, f"{GONE} entity 'a'. Version 1: why"),
    ],
)
def test_an_entity_that_the_registry_lacks_degrades_its_endpoint(states, gone, state, message):
    found = serving_status(entities(*states), gone)
    assert (found.state, found.message) == (state, message)


def test_a_version_that_serves_worse_than_asked_degrades_its_endpoint():
    few = an_entity(1, READY, "Serving with 1 of 3 workers; a new worker did not start: no memory")
    found = endpoint_status([few, an_entity(2)])
    assert found.state is EndpointState.DEGRADED
    assert found.message == f"Version 1: {few.message}"


@pytest.mark.parametrize("states", itertools.product(EntityState, repeat=3), ids=str)
def test_an_endpoint_is_green_only_if_something_serves_and_nothing_has_failed(states):
    found = endpoint_status(entities(*states))
    serves = bool({READY, ASLEEP, WAKING} & {*states})
    assert (found.state is EndpointState.READY) == (serves and FAILED not in states)
    assert (found.state is EndpointState.EMPTY) == (set(states) == {DRAINING})
    asleep = {*states} - {DRAINING} == {ASLEEP}
    assert (found.message == "") == (found.state is EndpointState.READY and not asleep)


@pytest.mark.parametrize(
    ("states", "latest", "message"),
    [
        ((), None, ""),
        ((READY,), "1", ""),
        ((FAILED,), "1", ""),
        ((READY, READY), "2", ""),
        ((READY, FAILED), "1", "latest stays on version 1: version 2 has failed."),
        ((READY, ASLEEP), "2", ""),
        ((READY, WAKING), "2", ""),
        ((ASLEEP, BUILDING), "1", "latest stays on version 1: version 2 is not ready yet."),
        ((READY, FAILED, BUILDING), "1", "latest stays on version 1: version 3 is not ready yet."),
    ],
)
def test_latest_is_the_newest_that_is_ready_and_says_why_it_is_not_the_newest(states, latest, message):
    found = entities(*states)
    assert (latest_of(found), latest_message(found)) == (latest, message)
