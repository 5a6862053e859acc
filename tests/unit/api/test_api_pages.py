"""What the Serving tab asks for: the caller's permission, and overviews."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.api import version, worker

from mlflow_serving_plugin.access.base import Permission
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import LAST_REQUEST, WORKER_MEMORY

AJAX = "/ajax-api/2.0/mlflow/endpoints"


@pytest.fixture
def page(call):
    return lambda route, **fields: call("GET", route, base=AJAX, **fields)


def test_a_server_without_authentication_lets_everybody_manage_and_says_so(page):
    expected = {"user": None, "auth": False, "tokens": False, "permission": "MANAGE"}
    assert page("get-access", registered_model_name="iris") == (200, expected)


def test_the_caller_s_own_permission_is_told(world, page, call):
    world.access.users = {"Basic ann": "ann"}
    world.access.permissions = {("ann", "iris"): Permission.READ, ("ann", "wine"): Permission.NONE}
    headers = {"Authorization": "Basic ann"}
    status, reply = call("GET", "get-access", base=AJAX, headers=headers, registered_model_name="iris")
    assert (status, reply) == (200, {"user": "ann", "auth": True, "tokens": True, "permission": "READ"})
    world.enable("iris")
    world.enable("wine")
    assert call("GET", "get-overview", base=AJAX, headers=headers, registered_model_name="wine")[0] == 404
    overviews = call("GET", "list-overviews", base=AJAX, headers=headers)[1]["overviews"]
    assert [overview["registered_model_name"] for overview in overviews] == ["iris"]
    assert page("list-overviews")[0] == 401


def test_a_model_that_is_not_served_is_told_from_one_that_does_not_exist(page):
    status, reply = page("get-overview", registered_model_name="iris")
    assert (status, reply["overview"]) == (200, None)
    assert page("get-overview", registered_model_name="nosuch")[0] == 404


def test_an_overview_holds_all_that_a_page_shows(world, page):
    world.enable()
    first = replace(
        version(1, stage="Production", workers=[worker(), worker("w2", ready=False)]),
        replicas=2,
        since_ms=7,
        environment="Python 3.10",
    )
    world.publish(first, version(2, EntityState.FAILED, "no"), aliases={"champion": 2}, inactive={"3": "archived"})
    status, reply = page("get-overview", registered_model_name="iris")
    assert status == 200
    overview = reply["overview"]
    assert (overview["stages"], overview["aliases"]) == ({"Production": "1"}, {"champion": "2"})
    second, served = overview["versions"]
    assert (second["version"], second["state"], second["message"], second["aliases"]) == (
        2,
        "FAILED",
        "no",
        ["champion"],
    )
    assert (served["replicas"], served["ready_replicas"], served["since"]) == (2, 1, 7)
    assert (overview["latest"], overview["inactive"]) == ("1", {"3": "archived"})
    assert (served["sample"], served["fetched"], served["environment"]) == (None, False, "Python 3.10")


def test_an_overview_names_entities_by_text_that_need_not_be_a_number(world, page):
    world.enable()
    named = replace(version(1), key=EntityKey("id-iris", "blue"))
    world.publish(named, aliases={"champion": "blue"})
    overview = page("get-overview", registered_model_name="iris")[1]["overview"]
    assert overview["aliases"] == {"champion": "blue"}


def test_an_overview_tells_how_many_requests_each_version_answered_how_and_how_fast(world, page):
    world.enable()
    world.publish(version(1), version(2))
    for status, took_s in ((200, 0.1), (200, 0.1), (503, 100.0)):
        world.deps.metrics.request("id-iris", 1, status, took_s, 0.0)
    other = Metrics(world.paths.metrics)
    other.request("id-iris", 1, 200, 0.1, 0.0)
    other.request("id-another", 1, 200, 0.1, 0.0)
    other.flush()
    reply = page("list-overviews")[1]
    (overview,), bounds = reply["overviews"], reply["duration_bounds_s"]
    never, asked = overview["versions"]
    assert (never["requests"], never["errors"], never["durations"]) == (0, 0, [])
    assert (asked["requests"], asked["errors"]) == (4, 1)
    assert {bound: count for bound, count in zip([*bounds, None], asked["durations"], strict=True) if count} == {
        0.1: 3,
        None: 1,
    }
    assert page("get-overview", registered_model_name="iris")[1] == {"overview": overview, "duration_bounds_s": bounds}


def test_programs_do_not_find_what_is_only_for_pages(call):
    assert call("GET", "get-overview", registered_model_name="iris")[0] == 404


def test_an_overview_tells_the_memory_and_the_last_request_of_each_version_and_of_all(world, page):
    world.enable()
    world.publish(version(1), version(2))
    controller = Metrics(world.paths.metrics)
    controller.gauge(WORKER_MEMORY, lambda: {("id-iris", "1"): 40_000_000, ("id-iris", "2"): 2_000_000})
    controller.gauge(LAST_REQUEST, lambda: {("id-iris", "1"): 1700000000.5})
    controller.touch()
    controller.flush()
    (overview,) = page("list-overviews")[1]["overviews"]
    assert (overview["memory_bytes"], overview["last_request"]) == (42_000_000, 1700000000500)
    assert [(one["memory_bytes"], one["last_request"]) for one in overview["versions"]] == [
        (2_000_000, None),
        (40_000_000, 1700000000500),
    ]
