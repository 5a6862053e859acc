import json
import os
import socket
from dataclasses import replace

import pytest
import yaml
from support.api import version, worker

from mlflow_serving_plugin.domain.library import Library
from mlflow_serving_plugin.domain.states import EntityState

V2 = "/api/2.0/mlflow/endpoints-v2"
AJAX = "/ajax-api/2.0/mlflow/endpoints"


def test_versions_are_listed_newest_first_in_both_shapes(world, call):
    world.enable()
    world.publish(version(2, EntityState.FAILED, "No module named 'x'"), version(10), version(1))
    ready = {
        "placement": "",
        "libraries": [],
        "retry_at": None,
        "label": "Ready",
        "tone": "ready",
        "settled": True,
        "asleep": False,
    }
    ready |= {"memory_bytes": 0, "last_request": None}
    assert call("GET", "list-versions", registered_model_name="iris") == (
        200,
        {
            "endpoint_versions": [
                {"endpoint_version_name": "10", "state": "VERSION_STATE_READY", "state_message": "", **ready},
                {
                    "endpoint_version_name": "2",
                    "state": "VERSION_STATE_FAILED",
                    "state_message": "No module named 'x'",
                    **ready,
                    **{"label": "Failed", "tone": "failed"},
                },
                {"endpoint_version_name": "1", "state": "VERSION_STATE_READY", "state_message": "", **ready},
            ]
        },
    )
    _, body = call("GET", "list-versions", base=V2, registered_model_name="iris")
    assert body["endpoint_statuses"][1] == {
        "endpoint_version_name": "2",
        "service_status": {"state": "SERVICE_STATE_FAILED", "message": "No module named 'x'"},
    }


@pytest.mark.parametrize(
    "state, old, service",
    [
        (EntityState.PENDING, "VERSION_STATE_PENDING", "SERVICE_STATE_PENDING"),
        (EntityState.BUILDING, "VERSION_STATE_PENDING", "SERVICE_STATE_PENDING"),
        (EntityState.LAUNCHING, "VERSION_STATE_LAUNCHING", "SERVICE_STATE_PENDING"),
        (EntityState.READY, "VERSION_STATE_READY", "SERVICE_STATE_READY"),
        (EntityState.DRAINING, "VERSION_STATE_DRAINING", "SERVICE_STATE_UNKNOWN"),
        (EntityState.FAILED, "VERSION_STATE_FAILED", "SERVICE_STATE_FAILED"),
    ],
)
def test_states_have_the_old_products_names(world, call, state, old, service):
    world.enable()
    world.publish(version(1, state, "why"))
    _, body = call("GET", "list-versions", registered_model_name="iris")
    assert body["endpoint_versions"][0]["state"] == old
    _, body = call("GET", "get-version-status", registered_model_name="iris", endpoint_version_name="1")
    assert body == {
        "endpoint_status": {"endpoint_version_name": "1", "service_status": {"state": service, "message": "why"}}
    }


@pytest.mark.parametrize("route", ["get-version-status", "get-version-replicas", "get-version-logs"])
def test_a_version_that_is_not_served_is_404(world, call, route):
    world.enable()
    world.publish(version(1))
    status, body = call("GET", route, registered_model_name="iris", endpoint_version_name="7")
    assert (status, body["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "7" in body["message"]


def test_aliases_are_stages_and_registry_aliases_with_the_version_that_answers(world, call):
    world.enable()
    world.publish(
        version(1, stage="Production"),
        version(2, stage="Production"),
        version(3, stage="Staging"),
        version(4),
        aliases={"champion": 1},
    )
    _, body = call("GET", "list-version-aliases", registered_model_name="iris")
    assert body == {
        "aliases": [
            {"alias": "Production", "endpoint_version_name": "2"},
            {"alias": "Staging", "endpoint_version_name": "3"},
            {"alias": "champion", "endpoint_version_name": "1"},
        ]
    }


def test_replicas_are_the_workers_with_their_nodes_and_memory(world, call):
    world.enable()
    gone = 2**22 + 1
    far = replace(worker("c", None), node="a00ee0ba")
    world.publish(version(1, workers=[worker("a", os.getpid()), worker("b", gone, ready=False), far]))
    _, body = call("GET", "get-version-replicas", registered_model_name="iris", endpoint_version_name="1")
    first, second, third = body["replicas"]
    assert first.pop("memory_bytes") > 1_000_000
    assert first == {
        "replica_id": "a",
        "state": "SERVICE_STATE_READY",
        "node": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": 1700000000000,
    }
    assert (second["state"], second["memory_bytes"]) == ("SERVICE_STATE_PENDING", None)
    assert (third["node"], third["pid"], third["memory_bytes"]) == ("a00ee0ba", None, None)


@pytest.fixture
def model_dir(tmp_path):
    directory = tmp_path / "model"
    directory.mkdir()
    info = {"saved_input_example_info": {"serving_input_path": "serving_input_example.json"}}
    (directory / "MLmodel").write_text(yaml.safe_dump(info))
    (directory / "serving_input_example.json").write_text('{"inputs": [[1, 2]]}')
    return directory


def example(call):
    return call("GET", "get-input-example", base=AJAX, registered_model_name="iris", endpoint_version_name="1")


def test_the_input_example_is_a_scoring_request(world, call, model_dir):
    world.enable()
    world.publish(version(1, model_dir=str(model_dir)))
    status, body = example(call)
    assert (status, body["content_type"]) == (200, "application/json")
    assert json.loads(body["input_example"]) == {"inputs": [[1, 2]]}


def test_no_input_example_is_404_with_the_reason(world, call, model_dir):
    world.enable()
    world.publish(version(1))
    status, body = example(call)
    assert status == 404
    assert "not been fetched" in body["message"]
    (model_dir / "MLmodel").write_text("flavors: {}")
    world.publish(version(1, model_dir=str(model_dir)))
    status, body = example(call)
    assert status == 404
    assert "no input example" in body["message"]


def test_what_a_model_was_logged_with_stands_beside_what_it_runs_with(world, call):
    world.enable()
    there = (Library("Python", "3.11.2", "3.11.7"), Library("scikit-learn", "1.4.2", "1.9.1"))
    world.publish(replace(version(1), libraries=there), replace(version(2), libraries=(Library("MLflow", "2.9", ""),)))
    _, body = call("GET", "list-versions", registered_model_name="iris")
    _, page = call("GET", "get-overview", base=AJAX, registered_model_name="iris")
    for versions in (body["endpoint_versions"], page["overview"]["versions"]):
        assert [one["libraries"] for one in versions] == [
            [{"name": "MLflow", "logged": "2.9", "running": "", "differs": False}],
            [
                {"name": "Python", "logged": "3.11.2", "running": "3.11.7", "differs": False},
                {"name": "scikit-learn", "logged": "1.4.2", "running": "1.9.1", "differs": True},
            ],
        ]


def test_a_sample_request_is_the_example_or_made_from_the_signature(world, call, tmp_path):
    world.enable()
    columns = json.dumps([{"type": "double", "name": "Age", "required": True}])
    for name, content in (("signed", {"signature": {"inputs": columns}}), ("bare", {})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "MLmodel").write_text(yaml.safe_dump({"flavors": {}, **content}))
    world.publish(
        version(1), version(2, model_dir=str(tmp_path / "bare")), version(3, model_dir=str(tmp_path / "signed"))
    )
    fields = {"base": AJAX, "registered_model_name": "iris"}
    found = [call("GET", "get-sample-request", endpoint_version_name=n, **fields)[1]["sample"] for n in (1, 2, 3)]
    assert found == [None, None, {"body": '{"dataframe_records": [{"Age": 0.0}]}', "source": "signature"}]
    (overview,) = call("GET", "list-overviews", base=AJAX)[1]["overviews"]
    assert [(one["sample"], one["fetched"]) for one in overview["versions"]] == [
        ("signature", True),
        (None, True),
        (None, False),
    ]
