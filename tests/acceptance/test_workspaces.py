"""One server with server: models of the same name in two of them are two models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
import requests
from support import eventually
from support.auth import BasicAuthServer
from support.cells import IRIS
from support.models import Models
from support.server import READY_S, TrackingServer

pytestmark = pytest.mark.xdist_group("workspaces")

RED = {"X-MLFLOW-WORKSPACE": "red"}
API = "/api/2.0/mlflow"


def call(server: TrackingServer, method: str, path: str, workspace: Mapping[str, str], **fields: object) -> dict:
    answer = asked(server, method, path, workspace, **fields)
    assert answer.status_code == 200, f"{path}: {answer.text}\n{server.tail()}"
    return answer.json()


def asked(
    server: TrackingServer, method: str, path: str, workspace: Mapping[str, str], **fields: object
) -> requests.Response:
    headers = {**server.credentials, **workspace}
    return requests.request(method, f"{server.url}{path}", json=fields, headers=headers, timeout=60)


def add_version(server: TrackingServer, models: Models, workspace: Mapping[str, str], model: str) -> None:
    """Register a version of ``iris`` in a workspace, from a run of that workspace."""
    call(server, "POST", f"{API}/registered-models/create", workspace, name="iris")
    experiment = call(server, "POST", f"{API}/experiments/create", workspace, name="of the test")["experiment_id"]
    run = call(server, "POST", f"{API}/runs/create", workspace, experiment_id=experiment)["run"]["info"]
    root = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    for path in models.path(model).rglob("*"):
        if path.is_file():
            url = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{root}/model/{path.relative_to(models.path(model))}"
            done = requests.put(url, data=path.read_bytes(), headers={**server.credentials, **workspace}, timeout=60)
            assert done.status_code == 200, done.text
    source = f"{run['artifact_uri']}/model"
    call(server, "POST", f"{API}/model-versions/create", workspace, name="iris", source=source, run_id=run["run_id"])


@pytest.fixture(
    scope="module", params=[pytest.param("without authentication", marks=pytest.mark.matrix), "with basic-auth"]
)
def server(request: pytest.FixtureRequest, models: Models) -> Iterator[TrackingServer]:
    """``iris`` in the default workspace is one model, ``iris`` in ``red`` another."""
    guarded = request.param == "with basic-auth"
    with (BasicAuthServer if guarded else TrackingServer)(extra_args=("--enable-workspaces",)) as server:
        made = asked(server, "POST", "/api/3.0/mlflow/workspaces", {}, name="red")
        assert made.status_code in {200, 201}, made.text
        add_version(server, models, {}, "iris-1")
        add_version(server, models, RED, "iris-2")
        yield server


def ready(server: TrackingServer, workspace: Mapping[str, str]) -> bool:
    versions = call(server, "GET", f"{API}/endpoints/list-versions", workspace, registered_model_name="iris")
    return [v["state"] for v in versions["endpoint_versions"]] == ["VERSION_STATE_READY"]


def test_a_model_is_served_in_its_own_workspace_alone(server: TrackingServer, models: Models) -> None:
    name = {"registered_model_name": "iris"}
    call(server, "POST", f"{API}/endpoints/disable", {}, **name)
    call(server, "POST", f"{API}/endpoints/enable", RED, **name)
    eventually(lambda: ready(server, RED), within_s=READY_S, tail=server.tail)
    assert call(server, "GET", f"{API}/endpoints/list", {})["endpoints"] == []
    assert asked(server, "POST", "/model/iris/1/invocations", {}, **IRIS).status_code == 404

    call(server, "POST", f"{API}/endpoints/enable", {}, **name)
    eventually(lambda: ready(server, {}), within_s=READY_S, tail=server.tail)
    rows = models.iris.head(150)
    body = {"dataframe_split": rows.to_dict(orient="split")}
    for workspace, number in (({}, 1), (RED, 2)):
        found = call(server, "POST", "/model/iris/1/invocations", workspace, **body)["predictions"]
        assert found == models.iris_predictions(number, rows)
    assert models.iris_predictions(1, rows) != models.iris_predictions(2, rows)

    call(server, "POST", f"{API}/endpoints/disable", {}, **name)
    assert asked(server, "POST", "/model/iris/1/invocations", RED, **IRIS).status_code == 200


def test_a_workspace_that_does_not_exist_has_no_models(server: TrackingServer) -> None:
    nowhere = {"X-MLFLOW-WORKSPACE": "nowhere"}
    name = {"registered_model_name": "iris"}
    enabled = asked(server, "POST", f"{API}/endpoints/enable", nowhere, **name)
    assert enabled.status_code == 404, enabled.text
    assert "iris" in enabled.json()["message"] or "nowhere" in enabled.json()["message"]
    assert asked(server, "POST", "/model/iris/1/invocations", nowhere, **IRIS).status_code == 404
    assert call(server, "GET", f"{API}/endpoints/list", nowhere)["endpoints"] == []


def test_a_name_that_no_workspace_can_have_is_an_error(server: TrackingServer) -> None:
    bad = {"X-MLFLOW-WORKSPACE": "Not A Name"}
    for method, path in (("GET", f"{API}/endpoints/list"), ("POST", "/model/iris/1/invocations")):
        answer = asked(server, method, path, bad)
        assert answer.status_code == 400, answer.text
        assert "X-MLFLOW-WORKSPACE" in answer.json()["message"]


@pytest.mark.parametrize("server", ["with basic-auth"], indirect=True)
def test_a_permission_in_one_workspace_is_none_in_the_other(server: BasicAuthServer) -> None:
    reader = server.add_user("reader")
    grant = {"username": "reader", "resource_type": "registered_model", "resource_id": "iris", "permission": "READ"}
    call(server, "POST", "/api/3.0/mlflow/users/permissions/grant", RED, **grant)
    name = {"registered_model_name": "iris"}
    for workspace in ({}, RED):
        call(server, "POST", f"{API}/endpoints/enable", workspace, **name)
        eventually(lambda where=workspace: ready(server, where), within_s=READY_S, tail=server.tail)
    for workspace, scoring, looking in ((RED, 200, 200), ({}, 404, 400)):
        headers = {**reader, **workspace}
        scored = requests.post(f"{server.url}/model/iris/1/invocations", json=IRIS, headers=headers, timeout=60)
        assert scored.status_code == scoring, (workspace, scored.text)
        looked = requests.get(f"{server.url}{API}/endpoints/get-status", json=name, headers=headers, timeout=60)
        assert looked.status_code == looking, (workspace, looked.text)
