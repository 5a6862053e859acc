"""What notebooks written for the old product do: enable, poll, poll, score, disable."""

from __future__ import annotations

import json

import pytest
import requests
from support import eventually
from support.models import Models, register
from support.server import READY_S, TrackingServer

BASES = {"endpoints": "/api/2.0/mlflow/endpoints", "endpoints-v2": "/api/2.0/preview/mlflow/endpoints-v2"}


@pytest.mark.parametrize("family", list(BASES))
def test_enable_poll_score_and_disable(plain: TrackingServer, models: Models, family: str) -> None:
    v2 = family == "endpoints-v2"
    name = f"published-{family}"
    register(plain.client, name, models.path("iris-1"))

    def call(method: str, action: str, body: dict) -> requests.Response:
        return requests.request(method, f"{plain.url}{BASES[family]}/{action}", data=json.dumps(body), headers=headers)

    headers = {"Authorization": "Bearer token", "Content-Type": "application/json"}
    model = {"registered_model_name": name}
    absent = call("GET", "get-status", model)
    assert absent.status_code == (404 if v2 else 400)
    assert absent.json()["error_code"] == ("RESOURCE_DOES_NOT_EXIST" if v2 else "INVALID_PARAMETER_VALUE")

    assert call("POST", "enable", model).json() == {}
    assert call("POST", "enable", model).json() == {}

    def endpoint_ready() -> bool:
        response = call("GET", "get-status", model)
        assert response.status_code == 200, response.text
        status = response.json()["endpoint_status"]
        assert status["registered_model_name"] == name
        assert status["state"] in {"ENDPOINT_STATE_PENDING", "ENDPOINT_STATE_READY"}, status
        return status["state"] == "ENDPOINT_STATE_READY"

    def version_ready() -> bool:
        reply = call("GET", "list-versions", model).json()
        if v2:
            (version,) = reply["endpoint_statuses"]
            state = version["service_status"]["state"].removeprefix("SERVICE_STATE_")
        else:
            (version,) = reply["endpoint_versions"]
            state = version["state"].removeprefix("VERSION_STATE_")
        assert version["endpoint_version_name"] == "1"
        assert state in {"PENDING", "LAUNCHING", "READY"}, version
        return state == "READY"

    eventually(endpoint_ready, within_s=READY_S, tail=plain.tail)
    eventually(version_ready, within_s=READY_S, tail=plain.tail)
    listed = call("GET", "list", {}).json()["endpoint_statuses" if v2 else "endpoints"]
    (entry,) = [endpoint for endpoint in listed if endpoint["registered_model_name"] == name]

    response = requests.post(
        f"{plain.url}/model/{name}/1/invocations", headers=headers, json=models.iris.to_dict(orient="split")
    )
    assert response.status_code == 200, response.text
    assert response.json() == models.iris_predictions(1, models.iris)

    # The published client posts a whole entry of the list.
    assert call("POST", "disable", entry).json() == {}
    assert call("GET", "get-status", model).status_code == absent.status_code
    eventually(lambda: plain.score(f"{name}/1", FLOWERS).status_code == 404, tail=plain.tail)


FLOWERS = {"inputs": [{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}]}
