"""``get-history`` and the figures of overviews: what a page draws charts from."""

from __future__ import annotations

import time

import pytest
from support.api import version, worker

from mlflow_serving_plugin.access.base import Permission
from mlflow_serving_plugin.metrics.recorder import Recorder

AJAX = "/ajax-api/2.0/mlflow/endpoints"


@pytest.fixture
def recorded(world):
    """A version that answered in the last step but one, and its recorder."""
    world.enable()
    world.publish(version(1, workers=[worker()]), version(2))
    now = int(time.time()) // 10 * 10
    clock = iter([now - 10, now])
    recorder = Recorder(world.paths.metrics, world.paths.history, 2**29, clock=lambda: next(clock))
    for status in (200, 200, 200, 429, 400, 503):
        world.deps.metrics.request("id-iris", "1", status, 0.004, 0.001)
    world.deps.metrics.flush()
    recorder.record(world.routes)
    recorder.record(world.routes)
    return now


def test_the_history_of_a_model_has_a_series_for_each_version(call, recorded):
    status, reply = call("GET", "get-history", registered_model_name="iris")
    assert status == 200
    assert reply["step_ms"] == 10_000
    assert 359 <= len(reply["times"]) <= 361
    first, second = reply["series"]
    assert (first["endpoint_version_name"], second["endpoint_version_name"]) == ("1", "2")
    at = reply["times"].index((recorded - 20) * 1000)
    assert first["requests"][at - 1 : at + 3] == [None, 6, 0, None]
    assert second["requests"][at - 1 : at + 3] == [None, 0, 0, None]
    assert {kind: counts[at] for kind, counts in first["errors"].items()} == {"4xx": 1, "429": 1, "5xx": 0, "503": 1}
    assert (first["replicas"][at], first["p50_ms"][at], first["p50_ms"][at + 1]) == (1, 3.75, None)
    assert len(reply["hosts"]) == 1
    wanted = {"p95_ms", "p99_ms", "in_hand", "memory_bytes", "cpu_seconds", "batch_rows", "first_event_ms"}
    assert wanted <= first.keys()


def test_one_version_and_a_longer_step_can_be_asked_for_and_events_are_marks(world, call, recorded):
    world.add_event(recorded * 1000, "1", "iris")
    begin = recorded // 60 * 60 - 600
    fields = {"registered_model_name": "iris", "endpoint_version_name": 1, "step": 60}
    _, reply = call("GET", "get-history", **fields, **{"from": begin * 1000, "to": (begin + 720) * 1000})
    (series,) = reply["series"]
    assert sum(filter(None, series["requests"])) == 6
    assert len(reply["times"]) == 12
    mark = {"time": recorded * 1000, "event_type": "VERSION_READY", "message": "iris", "endpoint_version_name": "1"}
    assert mark in reply["marks"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Exactly one of 'registered_model_name'"),
        ({"registered_model_name": "iris", "serving_endpoint_name": "x"}, "Exactly one of"),
        ({"registered_model_name": "iris", "step": 15}, "multiple of 10"),
        ({"registered_model_name": "iris", "step": 5}, "multiple of 10"),
        ({"registered_model_name": "iris", "from": 10, "to": 10}, "'from' must be earlier"),
        ({"registered_model_name": "iris", "from": "soon"}, "milliseconds since 1970"),
        ({"registered_model_name": "iris", "from": 0, "step": 10}, "at most 2000 steps"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_with_what_to_give(world, call, fields, message):
    world.enable()
    status, reply = call("GET", "get-history", **fields)
    assert (status, message in reply["message"]) == (400, True), reply


def test_a_range_of_years_has_few_steps_and_knows_nothing(world, call):
    world.enable()
    _, reply = call("GET", "get-history", registered_model_name="iris", **{"from": 0})
    assert len(reply["times"]) < 400
    assert reply["series"] == []


def test_the_history_needs_permission_to_read(world, call, recorded):
    world.access.users = {"Basic ann": "ann"}
    world.access.permissions = {("ann", "iris"): Permission.NONE}
    headers = {"Authorization": "Basic ann"}
    assert call("GET", "get-history", headers=headers, registered_model_name="iris")[0] == 400
    world.access.permissions = {("ann", "iris"): Permission.READ}
    assert call("GET", "get-history", headers=headers, registered_model_name="iris")[0] == 200


def test_overviews_tell_what_an_endpoint_and_each_version_did_lately(call, recorded):
    _, reply = call("GET", "list-overviews", base=AJAX)
    (overview,) = reply["overviews"]
    second, first = overview["versions"]
    assert overview["figures"]["requests_per_second"] == first["figures"]["requests_per_second"] > 0
    assert (first["figures"]["error_share"], second["figures"]["error_share"]) == (pytest.approx(1 / 6, abs=1e-3), None)
    assert len(overview["figures"]["spark"]) == 30
    assert sum(filter(None, overview["figures"]["spark"])) == 6
    assert call("GET", "get-overview", base=AJAX, registered_model_name="iris")[1]["overview"]["versions"] == [
        second,
        first,
    ]
