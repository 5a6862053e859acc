"""What each state means to those who act on it."""

from __future__ import annotations

from typing import get_args

import pytest

from mlflow_serving_plugin.domain.states import EndpointState, EntityState, Tone


@pytest.mark.parametrize("state", EntityState)
def test_every_state_is_shown_and_named_on_the_wire(state):
    facts = state.facts
    assert facts.label
    assert facts.tone in get_args(Tone)
    assert facts.version_state.startswith("VERSION_STATE_")
    assert facts.service_state.startswith("SERVICE_STATE_")


@pytest.mark.parametrize("state", EndpointState)
def test_every_state_of_an_endpoint_is_shown_and_has_a_word_of_the_old_product(state):
    assert state.facts.label
    assert state.facts.tone in get_args(Tone)
    assert state.facts.endpoint_state in {f"ENDPOINT_STATE_{word}" for word in ("PENDING", "READY", "FAILED")}


@pytest.mark.parametrize("state", EntityState)
def test_a_state_in_which_requests_are_held_takes_new_requests(state):
    assert state.facts.scores or not state.facts.holdable


def test_only_a_draining_entity_refuses_new_requests_while_it_has_ready_workers():
    assert [state for state in EntityState if not state.facts.scores] == [EntityState.DRAINING]


def test_whoever_waits_has_waited_enough_once_an_entity_serves_failed_or_leaves():
    settled = {state for state in EntityState if state.facts.settled}
    assert settled == {EntityState.READY, EntityState.ASLEEP, EntityState.FAILED, EntityState.DRAINING}
