"""The target ``serving://`` of ``mlflow.deployments``, as a client and as a command, and shadows on a real server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException
from support import eventually
from support.forked import mlflow_command
from support.models import Models, register
from support.server import HTTP_S, TrackingServer

MODEL, TELLER, BROKEN = "lilies", "teller of lilies", "lilies that do not load"
ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


@pytest.fixture(scope="module")
def server(plain: TrackingServer, models: Models) -> TrackingServer:
    """``MODEL`` has two versions, of which the second adds 10 to each class."""
    register(plain.client, MODEL, models.path("iris-1"))
    register(plain.client, MODEL, models.path("iris-2"))
    register(plain.client, TELLER, models.path("streaming"))
    register(plain.client, BROKEN, models.path("unloadable"))
    return plain


@pytest.fixture
def target(server: TrackingServer) -> str:
    return server.url.replace("http://", "serving://")


def test_a_deployment_lives_by_the_client_of_the_target(target: str) -> None:
    client = get_deploy_client(target)
    made = client.create_deployment("lily", f"models:/{MODEL}/1", config={"scale_to_zero_enabled": "true"})
    assert (made["name"], made["state"]["ready"], made["flavor"]) == ("lily", "READY", "python_function")
    assert made["config"]["served_entities"][0]["scale_to_zero_enabled"] is True
    frame = pd.DataFrame([ROW])
    assert client.predict("lily", frame).get_predictions().iloc[0, 0] == 0
    of_numpy = [{name: np.float64(value) for name, value in ROW.items()}]
    assert client.predict(endpoint="lily", inputs={"dataframe_records": of_numpy})["predictions"] == [0]
    assert client.predict(endpoint="lily", inputs={"inputs": {name: np.array([v]) for name, v in ROW.items()}})
    with pytest.raises(MlflowException, match="Give the name of the endpoint"):
        client.get_endpoint(None)
    client.update_deployment("lily", f"models:/{MODEL}/2")
    eventually(lambda: client.predict("lily", frame)["predictions"] == [10])
    with pytest.raises(MlflowException, match="could not be updated"):
        client.update_deployment("lily", f"models:/{BROKEN}/1")
    assert client.get_deployment("lily")["config"]["served_entities"][0]["entity_version"] == "2"
    assert "lily" in [found["name"] for found in client.list_deployments()]
    with pytest.raises(MlflowException, match="exists already") as caught:
        client.create_deployment("lily", f"models:/{MODEL}/1")
    assert caught.value.error_code == "RESOURCE_ALREADY_EXISTS"
    client.delete_deployment("lily")
    with pytest.raises(MlflowException, match="There is no serving endpoint 'lily'"):
        client.get_endpoint("lily")


def test_a_model_that_streams_is_read_event_by_event(target: str) -> None:
    client = get_deploy_client(target)
    client.create_endpoint("told", {"served_entities": [{"entity_name": TELLER, "entity_version": "1"}]})
    asked = {"inputs": {"prompt": "once", "number": 3}}
    assert [event["text"] for event in client.predict_stream(endpoint="told", inputs=asked)] == [
        "once 0",
        "once 1",
        "once 2",
    ]
    with pytest.raises(MlflowException, match="no more words"):
        list(client.predict_stream(endpoint="told", inputs={"inputs": {**asked["inputs"], "at": 1, "do": "raise"}}))
    client.delete_endpoint("told")


def test_the_command_mlflow_deployments_creates_predicts_and_deletes(target: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([ROW]))
    for arguments, said in (
        (["create", "--name", "shell", "-m", f"models:/{MODEL}/1"], "python_function deployment shell is created"),
        (["predict", "--name", "shell", "-I", str(rows)], '{"predictions": [0]}'),
        (["delete", "--name", "shell"], "Deployment shell is deleted"),
    ):
        log = tmp_path / arguments[0]
        words = ("deployments", arguments[0], "-t", target, *arguments[1:])
        command = mlflow_command(words, log=log, env=os.environ, cwd=tmp_path)
        eventually(lambda command=command: command.poll() is not None, within_s=HTTP_S)
        assert said in log.read_text()


def test_a_shadow_scores_what_callers_were_answered_and_tells_what_differs(server: TrackingServer) -> None:
    url = f"{server.url}/api/2.0/serving-endpoints"
    entities = [
        {"name": name, "entity_name": MODEL, "entity_version": version}
        for name, version in (("now", "1"), ("next", "2"))
    ]
    traffic = {"routes": [{"served_model_name": "now", "traffic_percentage": 100}]}
    shadow = {"served_model_name": "next", "percentage": 100}
    config = {"served_entities": entities, "traffic_config": traffic, "shadow": shadow}
    made = requests.post(url, json={"name": "shaded", "config": config}, timeout=HTTP_S)
    assert made.status_code == 200, made.text
    eventually(lambda: requests.get(f"{url}/shaded", timeout=HTTP_S).json()["state"]["ready"] == "READY")
    answered = 0

    def agreement() -> dict[str, Any]:
        nonlocal answered
        answer = requests.post(
            f"{server.url}/serving-endpoints/shaded/invocations", json={"dataframe_records": [ROW]}, timeout=HTTP_S
        )
        assert (answer.status_code, answer.headers["Served-Model-Name"]) == (200, "now"), answer.text
        assert answer.json() == {"predictions": [0]}
        answered += 1
        return requests.get(f"{url}/shaded/shadow", timeout=HTTP_S).json()

    eventually(lambda: agreement()["differs"] >= 5)
    eventually(lambda: requests.get(f"{url}/shaded/shadow/differences", timeout=HTTP_S).json()["differences"])
    found = agreement()
    assert found["equal"] == found["within_tolerance"] == found["errors"] == 0
    assert found["requests"] + found["dropped"] <= answered
    assert found["latency"]["shadow"]["p50_ms"] > 0
    newest = requests.get(f"{url}/shaded/shadow/differences", timeout=HTTP_S).json()["differences"][0]
    assert (newest["served_model_name"], newest["shadow_model_name"]) == ("now", "next")
    assert json.loads(newest["response"]) == {"predictions": [0]}
    assert json.loads(newest["shadow_response"]) == {"predictions": [10]}
    assert "sepal_length" in newest["request"]
    page = requests.get(f"{url}/shaded/metrics", timeout=HTTP_S).text
    assert 'result="differs"' in page
    requests.delete(f"{url}/shaded", timeout=HTTP_S)
