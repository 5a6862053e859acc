"""What should run: enabled endpoints and their active versions."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from support.controller import TIMEOUT_S, a_model, a_version, a_view, an_endpoint

from mlflow_serving_plugin.backends.base import fingerprint
from mlflow_serving_plugin.controller.desired import View, desire, worker_settings
from mlflow_serving_plugin.controller.scale import scale
from mlflow_serving_plugin.domain.config import EndpointConfig, WorkerSettings
from mlflow_serving_plugin.domain.config_rules import ServerRules
from mlflow_serving_plugin.domain.serving import ServedConfig, ServedEntity, ServingSpec
from mlflow_serving_plugin.domain.traffic import Shadow


def numbers(*versions, **config):
    return [int(key.name) for key in desire(a_view((an_endpoint(**config), a_model("iris", *versions))), TIMEOUT_S)]


def test_every_active_version_is_desired_newest_first():
    assert numbers(a_version(1), a_version(2, "Staging"), a_version(10, "Production")) == [10, 2, 1]


@pytest.mark.parametrize("stage", ["Archived", "archived", "Deleted_Internal"])
def test_a_version_that_is_archived_or_deleted_is_not(stage):
    assert numbers(a_version(1), a_version(2, stage)) == [1]


@pytest.mark.parametrize("status", ["PENDING_REGISTRATION", "FAILED_REGISTRATION"])
def test_a_version_that_is_not_registered_completely_is_not(status):
    assert numbers(a_version(1), a_version(2, status=status)) == [1]


def test_an_endpoint_whose_model_was_not_read_yet_desires_nothing():
    endpoint = an_endpoint()
    assert desire(View({endpoint.id: endpoint}, {}), TIMEOUT_S) == {}


def test_an_endpoint_without_active_versions_desires_nothing():
    assert numbers(a_version(1, "Archived")) == []


def test_two_endpoints_keep_to_themselves():
    view = a_view(
        (an_endpoint("a", replicas=2), a_model("a", a_version(1))),
        (an_endpoint("b", replicas=3), a_model("b", a_version(1))),
    )
    assert {str(key): replicas for key, replicas in scale(desire(view, TIMEOUT_S)).items()} == {"e-a/1": 2, "e-b/1": 3}


def test_the_server_s_timeout_counts_unless_the_endpoint_has_its_own():
    assert worker_settings(an_endpoint().config, 60.0).request_timeout_s == 60.0
    assert worker_settings(an_endpoint(request_timeout_s=1.5).config, 60.0).request_timeout_s == 1.5


@pytest.mark.parametrize(
    ("config", "rules", "sandboxed"),
    [
        ({}, {}, "auto"),
        ({}, {"sandbox_by_default": False}, "off"),
        ({"sandbox": "on"}, {"sandbox_by_default": False}, "on"),
        ({"sandbox": "off"}, {}, "auto"),
        ({"sandbox": "off"}, {"sandbox_optional": True}, "off"),
        ({"sandbox": "off", "network": "off"}, {}, "on"),
        ({"network": "off"}, {"sandbox_by_default": False}, "on"),
    ],
)
def test_the_sandbox_is_the_server_s_choice_and_the_endpoint_s_where_the_server_lets_it(config, rules, sandboxed):
    settings = worker_settings(an_endpoint(**config).config, TIMEOUT_S, ServerRules(**rules))
    assert settings.sandbox == sandboxed
    assert settings.network == config.get("network", "on")
    view = a_view((an_endpoint("a", **config), a_model("a", a_version(1))))
    (wanted,) = desire(view, TIMEOUT_S, ServerRules(**rules)).values()
    assert wanted.settings.sandbox == sandboxed


def test_a_fingerprint_names_the_source_too():
    settings = worker_settings(an_endpoint().config, TIMEOUT_S)
    assert fingerprint("s3://a", settings) != fingerprint("s3://b", settings)


def test_a_fingerprint_does_not_depend_on_the_order_of_variables():
    one = worker_settings(an_endpoint(environment={"A": "1", "B": "2"}).config, TIMEOUT_S)
    other = worker_settings(an_endpoint(environment={"B": "2", "A": "1"}).config, TIMEOUT_S)
    assert fingerprint("s3://a", one) == fingerprint("s3://a", other)


def test_a_fingerprint_is_the_same_in_the_next_process():
    # Written into worker records: one that differed would have every adopted worker replaced.
    code = (
        "from mlflow_serving_plugin.backends.base import fingerprint;"
        "from mlflow_serving_plugin.domain.config import EndpointConfig, WorkerSettings;"
        "print(fingerprint('s3://a', WorkerSettings(environment={'A': '1', 'B': '2'})))"
    )
    there = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    here = WorkerSettings(environment={"B": "2", "A": "1"})
    assert fingerprint("s3://a", here) == there


def test_how_long_a_request_may_take_is_no_reason_to_replace_a_native_worker():
    def with_timeout(runtime: str, seconds: float) -> str:
        return fingerprint(
            "s3://a", worker_settings(an_endpoint(runtime=runtime, request_timeout_s=seconds).config, 60.0)
        )

    assert with_timeout("native", 1.0) == with_timeout("native", 2.0)
    assert with_timeout("mlflow", 1.0) != with_timeout("mlflow", 2.0)


def served(shares, shadow="", **config):
    """A configuration of version 1 as ``a`` and as ``b``."""
    entities = tuple(ServedEntity(name, "iris", "1", 1, EndpointConfig(**config)) for name in ("a", "b"))
    traffic = tuple(zip(("a", "b"), shares, strict=True))
    return ServedConfig(0, entities, traffic, shadow=Shadow(shadow, 100.0) if shadow else None)


def priorities(*configs):
    """Of ``a`` and ``b``: all configurations but the last one have become the present one."""
    spec = ServingSpec("alice", 1, 1)
    for one in configs[:-1]:
        spec = spec.begin(one, 1).succeed(1)
    endpoint = replace(an_endpoint("split"), spec=spec.begin(configs[-1], 2))
    found = desire(a_view((endpoint, a_model("iris", a_version(1)))), TIMEOUT_S).values()
    return [wanted.settings.priority for wanted in sorted(found, key=lambda one: one.entity.served_name)]


def test_a_shadow_without_traffic_works_in_the_background():
    assert priorities(served((100, 0), "b")) == ["normal", "background"]
    assert priorities(served((90, 10), "b")) == ["normal", "normal"]
    assert priorities(served((100, 0))) == ["normal", "normal"]
    assert priorities(served((100, 0), "b", priority="normal")) == ["normal", "normal"]


def test_a_shadow_leaves_the_background_before_the_update_that_gives_the_shadow_traffic_ends():
    before, after = served((100, 0), "b"), served((50, 50), "b")
    assert priorities(before, after) == priorities(after, before) == ["normal", "normal"]
    assert priorities(before, before) == ["normal", "background"]
