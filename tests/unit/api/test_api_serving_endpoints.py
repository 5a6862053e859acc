"""The API of ``serving-endpoints`` on in-memory collaborators; real clients are in the acceptance tests."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
from support.routes import an_entity, endpoint_of

from mlflow_serving_plugin.access.base import Permission
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.routes import Routes, serving_key
from mlflow_serving_plugin.host.differences import keep
from mlflow_serving_plugin.host.messages import Wake
from mlflow_serving_plugin.host.snapshot import publish
from mlflow_serving_plugin.metrics.families import SHADOW_REQUESTS, SHADOW_SECONDS
from mlflow_serving_plugin.operations.serving import RESERVED

BASE = "/api/2.0/serving-endpoints"
ENTITY = {"entity_name": "iris", "entity_version": "1"}
GOOD = {
    "name": "split",
    "config": {
        "served_entities": [{**ENTITY, "name": "a"}, {**ENTITY, "name": "b", "scale_to_zero_enabled": True}],
        "traffic_config": {
            "routes": [
                {"served_model_name": "a", "traffic_percentage": "90"},
                {"served_entity_name": "b", "traffic_percentage": 10},
            ]
        },
    },
    "tags": [{"key": "k", "value": "v"}],
}


@pytest.fixture
def send(world):
    """``send("PUT", "/split/config", body)`` → (status, JSON)."""
    world.registry.add("iris", 1, 2, created_ms=1000)
    world.registry.add("wine", 1, created_ms=1001)

    def send(method, path="", body=None, **options):
        response = world.client.open(f"{BASE}{path}", method=method, json=body, **options)
        return response.status_code, response.get_json()

    return send


def changed(path, value):
    """``GOOD`` with another value at a path."""
    body = deepcopy(GOOD)
    *parents, last = path
    found = body
    for name in parents:
        found = found[name]
    found[last] = value
    return body


def test_a_new_endpoint_is_pending_with_both_lists_and_every_default(send):
    status, made = send("POST", body=GOOD)
    assert status == 200
    assert "config" not in made
    assert made["state"] == {"ready": "NOT_READY", "config_update": "IN_PROGRESS", "suspend": "NOT_SUSPENDED"}
    pending = made["pending_config"]
    assert pending["config_version"] == 1
    assert pending["traffic_config"]["routes"][0] == {
        "served_model_name": "a",
        "served_entity_name": "a",
        "traffic_percentage": 90,
    }
    (first, second), (old, _) = pending["served_entities"], pending["served_models"]
    assert (first["entity_name"], first["entity_version"], old["model_name"], old["model_version"]) == ("iris", "1") * 2
    assert (first["workload_size"], first["workload_type"], first["scale_to_zero_enabled"]) == ("Small", "CPU", False)
    assert second["scale_to_zero_enabled"] is True
    assert first["state"]["deployment"] == "DEPLOYMENT_CREATING"
    assert made["tags"] == [{"key": "k", "value": "v"}]
    assert len(made["id"]) == 32
    assert [found["name"] for found in send("GET")[1]["endpoints"]] == ["split"]
    assert send("GET", "/split")[1] == made


@pytest.mark.parametrize(
    "path, value, said",
    [
        (["name"], "a b", "name: must be"),
        (["name"], None, "name: must be"),
        (["config"], None, "config: is missing"),
        (["config"], "x", "config: must be an object"),
        (["other"], 1, "other: is not a field"),
        (["tags"], "x", "tags: must be a list"),
        (["tags", 0, "key"], 1.5, "tags[0].key: must be a text"),
        (["description"], [1], "description: must be a text"),
        (["route_optimized"], True, "route_optimized: "),
        (["rate_limits"], {"calls": 1}, "rate_limits: must be a list of objects"),
        (["rate_limits"], [{"key": "user"}], "rate_limits[0].calls: must be a whole number"),
        (["rate_limits"], [{"calls": -1}], "rate_limits[0].calls: must be a whole number"),
        (["rate_limits"], [{"calls": 1, "key": "group"}], "rate_limits[0].key: must be one of endpoint, user"),
        (["rate_limits"], [{"calls": 1}, {"calls": 2}], "rate_limits[1].key: has a limit already"),
        (["rate_limits"], [{"calls": 1, "renewal_period": "hour"}], "rate_limits[0].renewal_period: must be one of"),
        (["rate_limits"], [{"calls": 1, "tokens": 1}], "rate_limits[0].tokens: is not a field"),
        (["ai_gateway"], [], "ai_gateway: must be an object"),
        (["ai_gateway"], {"guardrails": {"input": {}}}, "ai_gateway.guardrails: this server has no guardrails"),
        (["ai_gateway"], {"tokens": 1}, "ai_gateway.tokens: is not a field"),
        (["ai_gateway"], {"rate_limits": [{"calls": "x"}]}, "ai_gateway.rate_limits[0].calls: must be a whole number"),
        (["ai_gateway"], {"inference_table_config": 1}, "ai_gateway.inference_table_config: must be an object"),
        (["ai_gateway"], {"inference_table_config": {"enabled": 1}}, "inference_table_config.enabled: must be true or"),
        (["ai_gateway"], {"inference_table_config": {"catalog_name": 1.5}}, "table_config.catalog_name: must"),
        (["ai_gateway"], {"inference_table_config": {"name": "x"}}, "inference_table_config.name: is not a field"),
        (["config"], {}, "config.served_entities: must be a list of 1"),
        (["config", "served_entities"], [], "config.served_entities: must be a list of 1"),
        (["config", "served_entities"], [ENTITY] * 16, "config.served_entities: must be a list of 1"),
        (["config", "served_entities"], [1], "config.served_entities: must be a list of objects"),
        (["config", "served_entities"], [ENTITY, ENTITY], "config.served_entities[0].name: "),
        (["config", "traffic_config"], None, "config.traffic_config: is needed"),
        (["config", "traffic_config", "routes", 0, "traffic_percentage"], 91, "config.traffic_config.routes: have 101"),
        (["config", "traffic_config", "routes", 0, "traffic_percentage"], 1.5, "routes[0].traffic_percentage: must"),
        (
            ["config", "traffic_config", "routes", 0, "served_model_name"],
            "c",
            "routes[0].served_model_name: must be one",
        ),
        (["config", "traffic_config", "routes", 1, "weight"], 1, "config.traffic_config.routes[1].weight: is not"),
        *(
            (["config", "shadow"], value, f"config.shadow{said}")
            for value, said in [
                ("b", ": must be an object"),
                ({}, ".served_model_name: must be a text"),
                ({"served_model_name": "c"}, ".served_model_name: must be one of the entities: a, b"),
                ({"served_model_name": "b", "percentage": 101}, ".percentage: must be a number from 0 to 100"),
                ({"served_model_name": "b", "percentage": True}, ".percentage: must be a number"),
                ({"served_model_name": "b", "tolerance": -1}, ".tolerance: must be a number"),
                ({"served_model_name": "b", "tolerance": "nan"}, ".tolerance: must be a number"),
                ({"served_model_name": "b", "weight": 1}, ".weight: is not a field"),
            ]
        ),
        (["config", "auto_capture_config"], {"enabled": True}, "config.auto_capture_config.enabled: "),
        *(
            (["config", "served_entities", 0, name], value, f"config.served_entities[0].{said}")
            for name, value, said in [
                ("name", "a.b", "name: must be"),
                ("entity_name", "", "entity_name: must be"),
                ("entity_version", [], "entity_version: must be"),
                ("workload_size", "Huge", "workload_size: must be one of"),
                ("workload_type", "GPU_SMALL", "workload_type: must be one of"),
                ("scale_to_zero_enabled", "yes", "scale_to_zero_enabled: must be true or false"),
                ("min_provisioned_concurrency", 3, "min_provisioned_concurrency: must be a whole number"),
                ("max_provisioned_concurrency", 0, "max_provisioned_concurrency: must be above 0"),
                ("environment_vars", {"A": 1}, "environment_vars: the value of A"),
                ("environment_vars", {"PYTHONPATH": "/x"}, "environment_vars: PYTHONPATH cannot"),
                ("environment_vars", {"A": "{{secrets/s/k}}"}, "environment_vars.A: "),
                ("external_model", {"name": "gpt"}, "external_model: "),
                ("instance_profile_arn", "arn", "instance_profile_arn: "),
                ("max_provisioned_throughput", 5, "max_provisioned_throughput: "),
                ("config", {"max_batch_rows": 0}, "config.max_batch_rows must be"),
                ("config", {"sandbox": "off"}, "config.sandbox cannot be off on this server"),
                ("config", {"max_cells": 5000}, "config.max_cells: is not a setting"),
                ("config", {"request_log": {}}, "config.request_log: is not a setting of an entity; give request_log"),
                (
                    "config",
                    {"calls_per_minute": 5},
                    "config.calls_per_minute: is not a setting of an entity; give the e",
                ),
                ("config", {"max_replicas": 3}, "config.max_replicas: is not a setting of an entity; give workload"),
                ("weight", 1, "weight: is not a field"),
            ]
        ),
    ],
)
def test_each_wrong_field_is_named_and_nothing_is_made(send, path, value, said):
    status, answer = send("POST", body=changed(path, value))
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert said in answer["message"]
    assert send("GET")[1] == {"endpoints": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("PUT", "/config", {"served_entities": []}, "served_entities: must be a list of 1"),
        ("PUT", "/config", {"served_models": [{**ENTITY, "model_name": 1.5, "entity_name": None}]}, "[0].model_name: "),
        ("PUT", "/config", {"served_models": [{"model_name": "iris", "model_version": []}]}, "[0].model_version: must"),
        ("PUT", "/config", {"served_entities": [ENTITY], "traffic_config": 1}, "traffic_config: must be an object"),
        ("PUT", "/config", {"served_entities": [ENTITY], "traffic_config": {"routs": []}}, "traffic_config.routs: is"),
        ("PUT", "/config", {"served_entities": [ENTITY], "auto_capture_config": 1}, "auto_capture_config: must be an"),
        ("PUT", "/config", {"served_entities": [ENTITY], "shadow": 1}, "shadow: must be an object"),
        (
            "PUT",
            "/config",
            {"served_entities": [ENTITY], "shadow": {"served_model_name": "iris-1"}},
            "shadow.served_model_name: 'iris-1' has all the traffic",
        ),
        ("PUT", "/config", {"served_entities": [ENTITY], "request_log": 1}, "request_log: must be an object"),
        ("PUT", "/config", {"served_entities": [ENTITY], "request_log": {"enabled": 1}}, "request_log.enabled must be"),
        ("PUT", "/config", {"served_entities": [ENTITY], "request_log": {"x": 1}}, "request_log"),
        ("PUT", "/config", {"served_entities": [ENTITY], "weight": 1}, "weight: is not a field"),
        ("PATCH", "/tags", {"add_tags": 1}, "add_tags: must be a list"),
        ("PATCH", "/tags", {"add_tags": [{}]}, "add_tags[0].key: must be a text"),
        ("PATCH", "/tags", {"add_tags": [{"key": "k", "value": 1.5}]}, "add_tags[0].value: must be a text"),
        ("PATCH", "/tags", {"add_tags": [{"key": "k", "x": 1}]}, "add_tags[0].x: is not a field"),
        ("PATCH", "/tags", {"delete_tags": "k"}, "delete_tags: must be a list of texts"),
        ("PATCH", "/tags", {"tags": []}, "tags: is not a field"),
        ("PUT", "/rate-limits", {"rate_limits": 1}, "rate_limits: must be a list"),
        ("PUT", "/rate-limits", {"limits": []}, "limits: is not a field"),
        ("PUT", "/ai-gateway", {"rate_limits": [{"calls": -1}]}, "rate_limits[0].calls: must be"),
        ("PUT", "/ai-gateway", {"inference_table_config": {"enabled": "x"}}, "inference_table_config.enabled: must be"),
        ("PUT", "/ai-gateway", {"fallback_config": 1}, "fallback_config: must be an object"),
        ("PUT", "/ai-gateway", {"x": 1}, "x: is not a field"),
    ],
)
def test_each_wrong_field_of_a_change_is_named_and_nothing_is_changed(world, send, method, path, body, said):
    send("POST", body=GOOD)
    endpoint = world.store.find_serving("default", "split")
    world.store.settle(endpoint, lambda spec: spec.succeed(5), "ENDPOINT_UPDATED", "It is served.")
    before = send("GET", "/split")
    status, answer = send(method, f"/split{path}", body)
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert said in answer["message"]
    assert send("GET", "/split") == before


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("POST", "/pt", "no provisioned throughput"),
        ("PUT", "/pt/split/config", "no provisioned throughput"),
        ("PATCH", "/split/notifications", "sends no mails"),
        ("PATCH", "/split/telemetry-config", "no telemetry tables"),
    ],
)
def test_what_databricks_has_and_this_server_has_not_is_refused_with_a_sentence(send, method, path, said):
    send("POST", body=GOOD)
    status, answer = send(method, path, {})
    assert (status, answer["error_code"], said in answer["message"]) == (400, "INVALID_PARAMETER_VALUE", True)


def test_an_alias_without_its_sign_is_recognised(world, send):
    world.registry.put(replace(world.registry.models["default", "iris"], aliases={"champion": 2}))
    _, answer = send(
        "POST", body={"name": "x", "config": {"served_entities": [{**ENTITY, "entity_version": "champion"}]}}
    )
    assert answer["message"].endswith("Is it @champion?")


@pytest.mark.parametrize("name", RESERVED)
def test_the_names_of_other_apis_are_taken(send, name):
    assert "name of an API" in send("POST", body={**GOOD, "name": name})[1]["message"]


@pytest.mark.parametrize("entity", [{"entity_name": "no"}, {"entity_version": "@no"}])
def test_a_model_or_version_that_is_not_there_is_named(send, entity):
    status, answer = send("POST", body={"name": "x", "config": {"served_models": [{**ENTITY, **entity}]}})
    assert (status, answer["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert answer["message"].startswith(f"config.served_models[0].{next(iter(entity))}: ")


def test_one_entity_has_all_the_traffic_and_a_second_update_has_to_wait(send):
    old = {"model_name": "iris", "model_version": "2"}
    _, made = send("POST", body={"name": "one", "config": {"served_models": [old]}})
    assert made["pending_config"]["traffic_config"]["routes"][0]["served_model_name"] == "iris-2"
    status, answer = send("PUT", "/one/config", {"served_entities": [ENTITY]})
    assert (status, answer["error_code"]) == (409, "RESOURCE_CONFLICT")
    assert send("POST", body={"name": "one", "config": {"served_models": [old]}})[0] == 409


def test_an_update_is_canceled_which_clients_see_and_the_next_one_begins(world, send):
    send("POST", body=GOOD)
    assert send("POST", "/split/cancel-update", {})[1]["state"]["config_update"] == "UPDATE_CANCELED"
    # The first configuration is tried further, as after a failure.
    assert "config" in send("GET", "/split")[1]
    assert send("POST", "/split/cancel-update", {})[1]["error_code"] == "RESOURCE_CONFLICT"
    assert send("PUT", "/split/config", {"served_entities": [ENTITY]})[1]["state"]["config_update"] == "IN_PROGRESS"
    _, canceled = send("POST", "/split/cancel-update", {})
    assert (canceled["config"]["config_version"], "pending_config" in canceled) == (1, False)
    assert canceled["state"]["config_update_message"] == "The update was canceled."
    assert send("PUT", "/split/config", {"served_entities": [ENTITY]})[0] == 200
    endpoint = world.store.find_serving("default", "split")
    world.store.settle(endpoint, lambda spec: spec.succeed(5))
    assert send("GET", "/split")[1]["state"]["config_update"] == "NOT_UPDATING"


def test_prewarm_wakes_all_entities_or_the_one_that_is_named(world, send):
    send("POST", body=GOOD)
    endpoint = world.store.find_serving("default", "split")
    world.inbox.wait(5)
    assert send("POST", "/split/prewarm", {}) == (200, {})
    assert world.inbox.wait(5) == [Wake(endpoint.id, "a.1"), Wake(endpoint.id, "b.1")]
    assert send("POST", "/split/prewarm", {"served_model_name": "b"}) == (200, {})
    assert world.inbox.wait(5) == [Wake(endpoint.id, "b.1")]
    for body, status, said in [
        ({"served_model_name": "c"}, 404, "has no entity 'c'"),
        ({"served_model_name": []}, 400, "served_model_name: must be a text"),
        ({"name": "b"}, 400, "name: is not a field"),
    ]:
        code, answer = send("POST", "/split/prewarm", body)
        assert (code, said in answer["message"]) == (status, True), answer
    assert send("POST", "/nothing/prewarm", {})[0] == 404


def test_rate_limits_are_replaced_as_a_whole(world, send):
    limits = [{"calls": 9, "key": "endpoint", "renewal_period": "minute"}, {"calls": 0, "key": "user"}]
    assert send("POST", body={**GOOD, "rate_limits": limits[:1]})[1]["rate_limits"] == limits[:1]
    shown = [limits[0], {**limits[1], "renewal_period": "minute"}]
    assert send("PUT", "/split/rate-limits", {"rate_limits": limits}) == (200, {"rate_limits": shown})
    config = world.store.find_serving("default", "split").spec.config
    assert (config.calls_per_minute, config.calls_per_minute_per_user) == (9, 0)
    assert send("PUT", "/split/rate-limits", {"rate_limits": [{"key": "user"}]})[0] == 400
    assert send("GET", "/split")[1]["rate_limits"] == shown
    assert send("PUT", "/split/rate-limits", {"rate_limits": []})[1] == {"rate_limits": []}
    assert "rate_limits" not in send("GET", "/split")[1]
    gateway = {"rate_limits": limits[:1], "usage_tracking_config": {"enabled": False}}
    assert send("PUT", "/split/ai-gateway", gateway) == (200, {"rate_limits": limits[:1]})
    for name in ("guardrails", "usage_tracking_config", "fallback_config"):
        status, answer = send("PUT", "/split/ai-gateway", {name: {"enabled": True}})
        assert (status, answer["message"].startswith(f"{name}: this server has no ")) == (400, True)
    assert send("GET", "/split")[1]["rate_limits"] == limits[:1]


def test_the_ai_gateway_has_the_rate_limits_and_turns_the_request_log_on(world, send):
    def log():
        return dict(world.store.find_serving("default", "split").spec.config.request_log)

    limits = [{"calls": 9, "key": "user", "renewal_period": "minute"}]
    table = {"catalog_name": "main", "schema_name": "default", "table_name_prefix": "x", "enabled": True}
    gateway = {"rate_limits": limits, "inference_table_config": table}
    body = {**GOOD, "config": {**GOOD["config"], "request_log": {"sampling_fraction": 0.5}}, "ai_gateway": gateway}
    twice = send("POST", body={**body, "rate_limits": limits})
    assert (twice[0], "ai_gateway.rate_limits: give the limits once" in twice[1]["message"]) == (400, True)
    _, made = send("POST", body=body)
    assert (made["ai_gateway"], made["rate_limits"]) == (gateway, limits)
    assert log() == {"sampling_fraction": 0.5, "enabled": True}
    off = {"inference_table_config": {"enabled": False}}
    assert send("PUT", "/split/ai-gateway", off) == (200, {"rate_limits": [], **off})
    assert log() == {"sampling_fraction": 0.5}
    assert send("PUT", "/split/ai-gateway", {}) == (200, {"rate_limits": []})
    assert "ai_gateway" not in send("GET", "/split")[1]


def test_a_version_with_zeros_in_front_is_that_version(send):
    _, made = send("POST", body={"name": "zero", "config": {"served_entities": [{**ENTITY, "entity_version": "01"}]}})
    (entity,) = made["pending_config"]["served_entities"]
    assert (entity["name"], entity["entity_version"]) == ("iris-1", "1")


def test_what_was_read_can_be_sent_back(world, send):
    send("POST", body=GOOD)
    endpoint = world.store.find_serving("default", "split")
    world.store.settle(endpoint, lambda spec: spec.succeed(5), "ENDPOINT_UPDATED", "It is served.")
    config = send("GET", "/split")[1]["config"]
    status, updated = send("PUT", "/split/config", config)
    assert (status, updated["pending_config"]["traffic_config"]) == (200, config["traffic_config"])
    spec = world.store.find_serving("default", "split").spec
    assert spec.pending.entities == spec.active.entities


def test_what_was_read_of_a_followed_alias_can_be_sent_back(world, send):
    world.registry.put(replace(world.registry.models["default", "iris"], aliases={"champion": 2}))
    send("POST", body={"name": "one", "config": {"served_entities": [{**ENTITY, "entity_version": "@champion"}]}})
    endpoint = world.store.find_serving("default", "one")
    world.store.settle(endpoint, lambda spec: spec.succeed(5), "ENDPOINT_UPDATED", "It is served.")
    (entity,) = world.store.find_serving("default", "one").spec.active.entities
    route = replace(an_entity(2), key=EntityKey(endpoint.id, entity.key_name))
    described = endpoint_of(route, endpoint_id=endpoint.id, name="one")
    snapshot = Routes(endpoints={serving_key("default", "one"): described}, entities={str(route.key): route})
    publish(world.paths.routes, snapshot)
    config = send("GET", "/one")[1]["config"]
    assert config["served_entities"][0]["model_version_now"] == "2"
    assert send("PUT", "/one/config", config)[0] == 200


def test_values_of_variables_are_kept_by_their_placeholder_and_never_shown(world, send):
    entity = {**ENTITY, "environment_vars": {"KEY": "secret"}}
    _, made = send("POST", body={"name": "env", "config": {"served_entities": [entity]}})
    assert "secret" not in str(made)
    endpoint = world.store.find_serving("default", "env")
    world.store.settle(endpoint, lambda spec: spec.succeed(5), "ENDPOINT_UPDATED", "It is served.")
    assert send("PUT", "/env/config", {"served_entities": made["pending_config"]["served_entities"]})[0] == 200
    assert world.store.find_serving("default", "env").spec.pending.entities[0].config.environment == {"KEY": "secret"}


def test_reading_all_models_queries_and_managing_all_or_having_created_manages(world, send):
    world.access.users = {f"as {name}": name for name in ("maker", "reader", "manager", "half")}
    grants = {"maker": (1, 1), "reader": (1, 1), "manager": (2, 2), "half": (2, 0)}
    for name, (iris, wine) in grants.items():
        world.access.permissions |= {(name, "iris"): Permission(iris), (name, "wine"): Permission(wine)}

    def ask(name, method, path="", body=None):
        return send(method, path, body, headers={"Authorization": f"as {name}"})[0]

    wine = {"entity_name": "wine", "entity_version": "1"}
    traffic = {"routes": [{"served_model_name": "iris-1", "traffic_percentage": 100}]}
    body = {"name": "both", "config": {"served_entities": [ENTITY, wine], "traffic_config": traffic}}
    assert ask("half", "POST", body=body) == 404
    assert ask("maker", "POST", body=body) == 200
    assert ask("half", "POST", body={**body, "name": "other"}) == 404
    tags = {"add_tags": [{"key": "x"}]}
    assert [ask(name, "GET", "/both") for name in grants] == [200, 200, 200, 404]
    assert [ask(name, "PATCH", "/both/tags", tags) for name in grants] == [200, 403, 200, 404]
    assert [ask(name, "DELETE", "/both") for name in ("reader", "half", "maker")] == [403, 404, 200]
    own = {"name": "own", "config": {"served_entities": [{**ENTITY, "config": {"sandbox": "on"}}]}}
    assert [ask(name, "POST", body=own) for name in ("reader", "manager")] == [403, 200]


def test_who_may_not_read_a_model_of_the_next_configuration_keeps_the_present_one(world, send):
    world.access.users = {"as reader": "reader", "as maker": "maker"}
    grants = {("reader", "iris"): 1, ("reader", "wine"): 0, ("maker", "iris"): 2, ("maker", "wine"): 2}
    world.access.permissions |= {key: Permission(level) for key, level in grants.items()}
    maker, reader = {"Authorization": "as maker"}, {"Authorization": "as reader"}
    send("POST", body={"name": "one", "config": {"served_entities": [ENTITY]}}, headers=maker)
    endpoint = world.store.find_serving("default", "one")
    world.store.settle(endpoint, lambda spec: spec.succeed(5), "ENDPOINT_UPDATED", "It is served.")
    wine = {"entity_name": "wine", "entity_version": "1"}
    assert send("PUT", "/one/config", {"served_entities": [wine]}, headers=maker)[0] == 200
    assert send("GET", "/one", headers=maker)[1]["pending_config"]["served_entities"]
    status, seen = send("GET", "/one", headers=reader)
    assert (status, seen["state"]["config_update"], "pending_config" in seen) == (200, "IN_PROGRESS", False)
    assert send("GET", "/one/served-models/wine-1/logs", headers=reader)[0] == 404
    world.store.settle(endpoint, lambda spec: spec.succeed(6), "ENDPOINT_UPDATED", "It is served.")
    assert send("GET", "/one", headers=reader)[0] == 404


def test_a_shadow_is_shown_with_its_agreement_and_the_pairs_that_differ(world, send):
    shadow = {"served_model_name": "b", "percentage": 25, "tolerance": 0.5}
    assert send("POST", body=changed(["config", "shadow"], shadow))[1]["pending_config"]["shadow"] == shadow
    endpoint = world.store.find_serving("default", "split")
    for result, count in (("equal", 5), ("differs", 2), ("error", 1), ("dropped", 3)):
        world.deps.metrics.add(SHADOW_REQUESTS, (endpoint.id, "b.1", result), count)
    for took_s in (0.003, 0.004, 0.2):
        world.deps.metrics.observe(SHADOW_SECONDS, took_s, endpoint.id, "b.1", "shadow")
    status, found = send("GET", "/split/shadow")
    assert status == 200
    latency = found.pop("latency")
    assert found == {
        **{"served_model_name": "b", "percentage": 25, "requests": 8, "equal": 5, "within_tolerance": 0},
        **{"differs": 2, "errors": 1, "dropped": 3},
    }
    assert latency["primary"] == {"p50_ms": None, "p95_ms": None}
    assert 2.5 < latency["shadow"]["p50_ms"] <= 5
    assert 100 < latency["shadow"]["p95_ms"] <= 250
    assert send("GET", "/split/shadow/differences") == (200, {"differences": []})
    keep(world.deps.paths.shadow, endpoint.id, [{"request_id": "1"}, {"request_id": "2"}])
    assert send("GET", "/split/shadow/differences")[1]["differences"] == [{"request_id": "2"}, {"request_id": "1"}]
    send("DELETE", "/split")
    send("POST", body=GOOD)
    assert send("GET", "/split/shadow")[0] == 404


def test_permissions_are_those_of_the_models_and_everybody_may_ask_the_well_known(world, send):
    _, made = send("POST", body=GOOD)
    url = f"/api/2.0/permissions/serving-endpoints/{made['id']}"
    (entry,) = world.client.get(url).get_json()["access_control_list"]
    assert entry["all_permissions"][0]["permission_level"] == "CAN_MANAGE"
    refused = world.client.put(url, json={"access_control_list": []})
    assert (refused.status_code, "access_control_list" in refused.get_json()["message"]) == (400, True)
    world.access.users = {}
    assert world.client.get(url).status_code == 401
    assert world.client.get("/.well-known/databricks-config").get_json() == {}
