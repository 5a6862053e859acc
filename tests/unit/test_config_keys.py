"""Each configuration key is described once, and reaches everyone who uses it."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace

import pytest
from support.controller import TIMEOUT_S, an_endpoint

from mlflow_serving_plugin.backends.base import fingerprint, worker_arguments
from mlflow_serving_plugin.controller.desired import worker_settings
from mlflow_serving_plugin.domain.config import (
    CONTROLLER,
    GATEWAY,
    WORKER,
    EndpointConfig,
    GatewayConfig,
    WorkerSettings,
    part_of,
)
from mlflow_serving_plugin.domain.config_rules import ServerRules
from mlflow_serving_plugin.domain.config_schema import CONFIG_SCHEMA
from mlflow_serving_plugin.domain.routes import EndpointRoute, Routes
from mlflow_serving_plugin.domain.routes_text import dump_routes, load_routes
from mlflow_serving_plugin.domain.states import EndpointState

HIDDEN = "tracking_owner"
"""Who lends a model's code the own rights: no caller writes or reads that, and it stands on no command line."""

KEYS = {item.name: item for item in fields(EndpointConfig) if item.name != HIDDEN}
UNCHANGED_BY = {("native", "request_timeout_s")}
"""A native worker is told the timeout with each request."""

# What only another key decides is shown with that key set so that it does not.
BASE = EndpointConfig(sandbox="on")
OTHER = {"environment": {"A": "1"}, "request_timeout_s": 2.5, "cpus": 1.5, "memory_limit_mb": 512, "sandbox": "off"}
OTHER["request_log"] = {"enabled": True}
OTHER |= {"trace_experiment": "agents", "context_headers": "x-tenant"}
OTHER |= {"gpus": 0.5, "node_labels": "zone=eu"}


def other_value(name):
    """A good value of the key that is not the one in BASE."""
    rule = CONFIG_SCHEMA["properties"][name]
    if name in OTHER:
        return OTHER[name]
    return next(v for v in rule["enum"] if v != getattr(BASE, name)) if "enum" in rule else rule["minimum"]


def keys_of(user):
    return [name for name, item in KEYS.items() if user in item.metadata["for_"]]


@pytest.mark.parametrize("name", KEYS)
def test_each_key_has_a_title_a_help_limits_and_a_user(name):
    rule = CONFIG_SCHEMA["properties"][name]
    assert rule["title"]
    assert rule["description"].endswith(".")
    assert rule.keys() & {"enum", "maximum", "maxLength", "maxProperties"}
    assert {*KEYS[name].metadata["for_"]} <= {CONTROLLER, WORKER, GATEWAY}
    assert KEYS[name].metadata["for_"]


def test_the_schema_has_each_key_and_no_other_in_the_order_of_the_fields():
    assert list(CONFIG_SCHEMA["properties"]) == list(KEYS)


@pytest.mark.parametrize("runtime", ["native", "mlflow"])
@pytest.mark.parametrize("name", keys_of(WORKER))
def test_each_key_of_a_worker_changes_its_fingerprint(name, runtime):
    before = part_of(replace(BASE, runtime=runtime), WorkerSettings)
    value = {"native": "mlflow", "mlflow": "native"}[runtime] if name == "runtime" else other_value(name)
    changed = fingerprint("s3://a", replace(before, **{name: value})) != fingerprint("s3://a", before)
    assert changed is ((runtime, name) not in UNCHANGED_BY)


@pytest.mark.parametrize("name", keys_of(WORKER))
def test_each_key_of_a_worker_reaches_the_worker(name):
    config = an_endpoint(**{"sandbox": "on", name: other_value(name)}).config
    settings = worker_settings(config, TIMEOUT_S, ServerRules(sandbox_optional=True))
    assert getattr(settings, name) == other_value(name)
    if name != "environment":  # A command line is public: variables go another way.
        assert json.loads(json.dumps(worker_arguments(settings)))[name] == other_value(name)


def test_no_variable_of_an_endpoint_and_no_user_stands_on_a_command_line():
    settings = WorkerSettings(environment={"TOKEN": "hunter2"}, tracking_owner={"name": "ada", "account": "7"})
    assert not {"hunter2", "ada"} & set(json.dumps(worker_arguments(settings)).split('"'))


def test_a_worker_is_replaced_when_another_user_lends_the_rights():
    ada, ben = (WorkerSettings(tracking="on", tracking_owner={"name": name, "account": "7"}) for name in ("ada", "ben"))
    assert fingerprint("s3://a", ada) != fingerprint("s3://a", ben)


@pytest.mark.parametrize("name", keys_of(GATEWAY))
def test_each_key_of_the_gateway_reaches_it_through_the_snapshot(name):
    config = part_of(replace(BASE, **{name: other_value(name)}), GatewayConfig)
    route = EndpointRoute("e", "default", "iris", EndpointState.READY, "", config)
    read = load_routes(dump_routes(Routes(endpoints={"default/iris": route}))).endpoints["default/iris"]
    assert getattr(read.config, name) == other_value(name)


def test_the_parts_hold_no_key_of_others():
    assert list(asdict(WorkerSettings())) == [*keys_of(WORKER), HIDDEN]
    assert list(asdict(GatewayConfig())) == keys_of(GATEWAY)
