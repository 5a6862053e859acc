from dataclasses import replace

import pytest
from support.api import ApiWorld, version

from mlflow_serving_plugin.access.base import Permission
from mlflow_serving_plugin.api.mlflow_endpoints.routes import BASE_PATHS
from mlflow_serving_plugin.domain.endpoint import DEFAULT_WORKSPACE, EndpointConfig
from mlflow_serving_plugin.domain.states import EndpointState, EntityState
from mlflow_serving_plugin.host.messages import Changed

V2 = "/api/2.0/mlflow/endpoints-v2"
FAILED_2 = replace(version(2, EntityState.FAILED, "no disk"), since_ms=5, retry_ms=9)


@pytest.mark.parametrize("base", BASE_PATHS, ids=lambda base: base.path)
def test_every_base_path_enables_tells_and_disables(world, call, base):
    assert call("POST", "enable", base=base.path, registered_model_name="iris") == (200, {})
    status, body = call("GET", "get-status", base=base.path, registered_model_name="iris")
    assert (status, body) == (
        200,
        {
            "endpoint_status": {
                "registered_model_name": "iris",
                "state": "ENDPOINT_STATE_PENDING",
                "state_message": "Waiting for the controller.",
                "serving_state": "STARTING",
                **{"label": "Starting", "tone": "busy", "settled": False},
                **{"latest": None, "latest_message": "", "reason": None, "memory_bytes": 0, "last_request": None},
            }
        },
    )
    key = "endpoint_statuses" if base.v2 else "endpoints"
    assert call("GET", "list", base=base.path) == (200, {key: [body["endpoint_status"]]})
    assert call("POST", "disable", base=base.path, registered_model_name="iris") == (200, {})
    assert call("GET", "list", base=base.path) == (200, {key: []})


def test_there_are_eight_base_paths():
    assert len({base.path for base in BASE_PATHS}) == 8


def test_enabling_twice_and_disabling_what_is_not_enabled_are_fine(call):
    for _ in range(2):
        assert call("POST", "enable", registered_model_name="iris") == (200, {})
    for _ in range(2):
        assert call("POST", "disable", registered_model_name="iris") == (200, {})


def test_enabling_an_unknown_model_is_404(call):
    status, body = call("POST", "enable", registered_model_name="nosuch")
    assert (status, body["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize("method, route", [("POST", "enable"), ("POST", "disable"), ("PUT", "update-compute-config")])
def test_every_change_nudges_the_controller(world, call, method, route):
    world.enable()
    assert call(method, route, registered_model_name="iris", config={"replicas": 2})[0] == 200
    assert world.inbox.wait(5) == [Changed(DEFAULT_WORKSPACE, "iris")]


def test_the_state_is_that_of_the_snapshot(world, call):
    world.enable()
    world.publish(state=EndpointState.FAILED, message="no disk")
    _, body = call("GET", "get-status", registered_model_name="iris")
    assert body["endpoint_status"]["state"] == "ENDPOINT_STATE_FAILED"
    assert body["endpoint_status"]["state_message"] == "no disk"


STATES = {
    "nothing served": ((), "READY", "EMPTY", None),
    "starting": ((version(1, EntityState.BUILDING),), "PENDING", "STARTING", "1"),
    "ready": ((version(1),), "READY", "READY", None),
    "newest failed": ((version(1), FAILED_2), "READY", "DEGRADED", "2"),
    "all failed": ((FAILED_2,), "FAILED", "FAILED", "2"),
}


@pytest.mark.parametrize("case", STATES)
def test_the_state_that_the_versions_amount_to_is_told_beside_the_old_product_s_word(world, call, case):
    versions, old, state, reason = STATES[case]
    world.enable()
    world.publish(*versions)
    status = call("GET", "get-status", registered_model_name="iris")[1]["endpoint_status"]
    assert (status["state"], status["serving_state"]) == (f"ENDPOINT_STATE_{old}", state)
    assert (status["reason"] or {}).get("endpoint_version_name") == reason
    (overview,) = call("GET", "list-overviews", base="/ajax-api/2.0/mlflow/endpoints")[1]["overviews"]
    assert (overview["serving_state"], overview["reason"]) == (state, status["reason"])


def test_a_degraded_endpoint_says_since_when_the_next_try_and_what_latest_means(world, call):
    world.enable()
    world.publish(version(1), FAILED_2)
    status = call("GET", "get-status", registered_model_name="iris")[1]["endpoint_status"]
    assert status["reason"] == {"endpoint_version_name": "2", "since": 5, "retry_at": 9}
    assert status["latest_message"] == "latest stays on version 1: version 2 has failed."
    assert status["state_message"] == "1 of 2 versions failed. Version 2: no disk"
    assert status["tone"] == "degraded"


def test_a_state_published_before_the_last_change_is_not_settled(world, call):
    world.enable()
    world.publish(version(1))
    world.enable(config=EndpointConfig(replicas=3))
    for route, key in (("get-status", "endpoint_status"), ("list-versions", "endpoint_versions")):
        reply = call("GET", route, registered_model_name="iris")[1][key]
        assert (reply if isinstance(reply, dict) else reply[0])["settled"] is False
    world.publish(replace(version(1), changing=True))
    assert call("GET", "list-versions", registered_model_name="iris")[1]["endpoint_versions"][0]["settled"] is False
    world.publish(version(1))
    assert call("GET", "list-versions", registered_model_name="iris")[1]["endpoint_versions"][0]["settled"] is True


def test_a_snapshot_of_an_earlier_endpoint_of_the_name_does_not_count(world, call):
    world.enable()
    world.publish(version(1), endpoint_id="another")
    assert call("GET", "get-status", registered_model_name="iris")[1]["endpoint_status"]["state"].endswith("PENDING")
    assert call("GET", "list-versions", registered_model_name="iris") == (200, {"endpoint_versions": []})


READS = [
    "get-status",
    "get-config",
    "list-versions",
    "list-version-aliases",
    "get-version-status",
    "get-version-replicas",
    "get-version-logs",
    "get-version-build-logs",
    "get-event-history",
]


@pytest.mark.parametrize("route", READS)
def test_not_enabled_is_400_on_endpoints_and_404_on_v2_even_while_the_snapshot_still_has_it(world, call, route):
    world.publish(version(1))
    fields = {"registered_model_name": "iris", "endpoint_version_name": "1"}
    status, body = call("GET", route, **fields)
    assert (status, body["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    status, body = call("GET", route, base=V2, **fields)
    assert (status, body["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_config_given_on_enable_counts_and_merges_over_the_present_one(world, call):
    call("POST", "enable", registered_model_name="iris", config={"replicas": 3})
    call("POST", "enable", registered_model_name="iris", config={"batching": "off"})
    call("POST", "enable", registered_model_name="iris")
    assert world.store.find(DEFAULT_WORKSPACE, "iris").config == EndpointConfig(replicas=3, batching="off")


def test_a_bad_config_on_enable_enables_nothing(world, call):
    status, body = call("POST", "enable", registered_model_name="iris", config={"replicas": 0})
    assert status == 400
    assert "config.replicas" in body["message"]
    assert world.store.enabled() == []


@pytest.mark.parametrize("route", ["update-compute-config", "update-cluster-config"])
def test_an_update_answers_with_the_new_config_and_hides_values(world, call, route):
    world.enable()
    config = {"replicas": 2, "environment": {"TOKEN": "hush"}}
    status, body = call("PUT", route, registered_model_name="iris", config=config)
    assert status == 200
    assert (body["config"]["replicas"], body["config"]["environment"]) == (2, {"TOKEN": "********"})
    assert world.store.find(DEFAULT_WORKSPACE, "iris").config.environment == {"TOKEN": "hush"}


def test_an_update_of_what_is_not_enabled_is_the_familys_own_error(call):
    fields = {"registered_model_name": "iris", "config": {"replicas": 2}}
    assert call("PUT", "update-compute-config", **fields)[0] == 400
    assert call("PUT", "update-compute-config", base=V2, **fields)[0] == 404


def test_get_config_has_the_present_values_and_the_schema_for_a_form(world, call):
    world.enable(config=EndpointConfig(memory_limit_mb=512, environment={"A": "secret"}))
    _, body = call("GET", "get-config", registered_model_name="iris")
    assert body["config"]["memory_limit_mb"] == 512
    assert "secret" not in str(body)
    assert set(body["schema"]["properties"]) == set(body["config"])
    assert all({"title", "description", "default"} <= rule.keys() for rule in body["schema"]["properties"].values())


def test_unknown_top_level_fields_are_ignored(call):
    assert call("POST", "enable", registered_model_name="iris", state="x", endpoint={"a": 1}) == (200, {})


def test_a_caller_without_read_sees_no_such_model_and_a_reader_may_not_change_it(world, call):
    world.enable()
    world.enable("wine")
    world.access.users = {"alice": "alice", "bob": "bob"}
    world.access.default = Permission.NONE
    world.access.permissions = {("alice", "iris"): Permission.READ, ("bob", "iris"): Permission.MANAGE}
    alice, bob = {"Authorization": "alice"}, {"Authorization": "bob"}

    assert [e["registered_model_name"] for e in call("GET", "list", headers=alice)[1]["endpoints"]] == ["iris"]
    assert call("GET", "get-status", headers=alice, registered_model_name="wine")[0] == 400
    for method, route in (("POST", "enable"), ("POST", "disable"), ("PUT", "update-compute-config")):
        for name, expected in (("iris", 403), ("wine", 400 if method == "PUT" else 404)):
            got = call(method, route, headers=alice, registered_model_name=name, config={"replicas": 2})
            assert got[0] == expected
    assert call("POST", "disable", headers=bob, registered_model_name="iris") == (200, {})
    (event, *_), _ = world.store.audit(page_token=None, limit=1)
    assert event.message == "Serving was disabled by bob."


def test_without_credentials_nothing_but_health_answers(world, call):
    world.access.users = {}
    response = world.client.get("/api/2.0/mlflow/endpoints/list")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic")
    assert call("POST", "enable", registered_model_name="iris")[0] == 401
    assert world.client.get("/serving/health").status_code == 503


def test_every_route_honours_the_static_prefix(tmp_path):
    world = ApiWorld(tmp_path / "state", static_prefix="/tracking")
    try:
        assert world.client.get("/tracking/ajax-api/2.0/mlflow/endpoints/list").status_code == 200
        assert world.client.get("/tracking/serving/health").status_code == 503
        assert world.client.get("/ajax-api/2.0/mlflow/endpoints/list").status_code == 404
    finally:
        world.close()
