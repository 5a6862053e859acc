"""Models that use the server's tracking API and Model Registry while they score, with ``tracking: on``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from support import eventually
from support.auth import BasicAuthServer, Cast, basic, bearer, client_of
from support.cells import SERVED, SPARE
from support.models import Models, register
from support.server import HTTP_S, TrackingServer

NAME = "lent"
PASSWORD = "a long enough password"


def ask(server: TrackingServer, **asked: Any) -> requests.Response:
    return server.score(f"{NAME}/1", {"prompt": "word", **asked})


@pytest.fixture(scope="module")
def server(plain: TrackingServer, models: Models) -> TrackingServer:
    register(plain.client, NAME, models.path("traced"))
    plain.enable(NAME, tracking="on")
    plain.wait_ready(NAME, 1)
    return plain


def test_a_model_logs_into_a_run_and_loads_another_model(server: TrackingServer) -> None:
    run = server.client.create_run("0").info.run_id
    logged = ask(server, do="log", run=run, client_request_id="logs")
    assert logged.status_code == 200, logged.text
    assert server.client.get_run(run).data.metrics == {"rows": 1.0}
    loaded = ask(server, do="load", model="iris")
    assert loaded.status_code == 200, loaded.text
    assert "mlflow.sklearn" in str(loaded.json())


def test_a_trace_of_such_a_model_is_stored_once(server: TrackingServer) -> None:
    prompt = "told in one trace"
    assert ask(server, prompt=prompt).status_code == 200

    def where() -> list[str]:
        """The experiments of all traces that have the prompt."""
        names = {one.experiment_id: one.name for one in server.client.search_experiments()}
        found = server.client.search_traces(list(names), max_results=100)
        return [names[trace.info.experiment_id] for trace in found if prompt in str(trace.to_dict())]

    eventually(where, tail=server.tail)
    assert where() == [f"serving/{NAME}"]


@pytest.mark.matrix
@pytest.mark.parametrize(("kind", "runtime"), [("plain", "mlflow"), ("prefixed", "native")])
def test_the_runtime_mlflow_and_a_server_below_a_prefix_work_too(
    kind: str, runtime: str, request: pytest.FixtureRequest, models: Models
) -> None:
    other: TrackingServer = request.getfixturevalue(kind)
    register(other.client, "lent-too", models.path("traced"))
    other.enable("lent-too", tracking="on", runtime=runtime)
    other.wait_ready("lent-too", 1)
    run = other.client.create_run("0").info.run_id
    logged = other.score("lent-too/1", {"prompt": "word", "do": "log", "run": run})
    assert logged.status_code == 200, logged.text
    assert other.client.get_run(run).data.metrics == {"rows": 1.0}


# With users


@pytest.fixture(scope="module")
def lender(basic: BasicAuthServer, models: Models) -> Iterator[dict[str, str]]:
    """The headers of a user who may manage the model ``lent`` and read ``iris``, and has switched tracking on."""
    with client_of(basic) as client:
        register(client, NAME, models.path("traced"))
    headers = basic.add_user("lender", PASSWORD)
    basic.grant("lender", NAME, "MANAGE")
    basic.grant("lender", SERVED, "READ")
    # A model's files are its run's, and so its experiment's.
    experiment = {"resource_type": "experiment", "resource_id": "0", "permission": "READ"}
    basic.mlflow("POST", "/api/3.0/mlflow/users/permissions/grant", username="lender", **experiment)
    body = {"registered_model_name": NAME, "config": {"tracking": "on"}}
    basic.mlflow("POST", "/api/2.0/mlflow/endpoints/enable", headers, **body)
    basic.wait_ready(NAME, 1)
    yield headers


def own_run(server: BasicAuthServer, headers: dict[str, str], name: str) -> str:
    made = server.mlflow("POST", "/api/2.0/mlflow/experiments/create", headers, name=name)
    run = server.mlflow("POST", "/api/2.0/mlflow/runs/create", headers, experiment_id=made["experiment_id"])
    return run["run"]["info"]["run_id"]


def test_the_model_may_do_what_its_owner_may_do_and_no_more(basic: BasicAuthServer, lender: dict[str, str]) -> None:
    run = own_run(basic, lender, "of the lender")
    logged = ask(basic, do="log", run=run)
    assert logged.status_code == 200, logged.text
    found = basic.mlflow("GET", f"/api/2.0/mlflow/runs/get?run_id={run}", lender)
    assert found["run"]["data"]["metrics"][0]["key"] == "rows"
    loaded = ask(basic, do="load", model=SERVED)
    assert loaded.status_code == 200, loaded.text
    of_admin = own_run(basic, basic.credentials, "of the admin")
    for refused in (ask(basic, do="load", model=SPARE), ask(basic, do="log", run=of_admin)):
        assert refused.status_code >= 400
        assert "Permission denied" in refused.text, refused.text


def status(server: BasicAuthServer, token: str, method: str, path: str, **body: Any) -> int:
    return requests.request(method, server.url + path, json=body, headers=bearer(token), timeout=HTTP_S).status_code


def test_the_token_of_a_worker_is_good_for_nothing_else(cast: Cast, lender: dict[str, str]) -> None:
    server = cast.server
    token = ask(server, do="token").json()
    experiments = "/api/2.0/mlflow/experiments/search?max_results=1"
    assert status(server, token, "GET", experiments) == 200
    enabling = {"registered_model_name": NAME, "config": {"tracking": "off"}}
    assert status(server, token, "POST", "/api/2.0/mlflow/endpoints/enable", **enabling) == 401
    assert status(server, token, "POST", "/api/2.0/token/create") == 401
    assert status(server, token, "POST", f"/model/{NAME}/1/invocations", prompt="word") == 401
    assert status(server, token, "GET", "/api/2.0/serving-endpoints") == 401
    assert status(server, token, "POST", "/api/2.0/mlflow/users/create", username="x", password=PASSWORD) == 403
    assert status(server, token, "PATCH", "/api/2.0/mlflow/users/update-password", username="lender") == 403
    assert status(server, token, "POST", "/graphql") == 403
    assert status(server, "mlst_" + "A" * 43, "GET", experiments) == 401
    as_password = requests.get(server.url + experiments, headers=basic("lender", token), timeout=HTTP_S)
    assert as_password.status_code == 401
    told = [
        server.log.read_text(errors="replace"),
        *(log.read_text() for log in (server.state / "logs").rglob("*.log")),
    ]
    assert not [text for text in told if token in text]
    shown = [server.api("GET", action, registered_model_name=NAME) for action in ("get-config", "list-versions")]
    assert token not in str(shown) and "lender" not in str(shown)


def test_nobody_lends_rights_by_a_token(cast: Cast, lender: dict[str, str]) -> None:
    token = cast.server.token(lender)
    body = {"registered_model_name": NAME, "config": {"tracking": "on"}}
    url = f"{cast.server.url}/api/2.0/mlflow/endpoints/update-compute-config"
    refused = requests.put(url, json=body, headers=bearer(token), timeout=HTTP_S)
    assert refused.status_code == 400 and "user name and password" in refused.text


def test_the_token_fails_when_its_owner_loses_manage_and_when_tracking_is_off(
    basic: BasicAuthServer, lender: dict[str, str]
) -> None:
    token = ask(basic, do="token").json()
    experiments = "/api/2.0/mlflow/experiments/search?max_results=1"

    def everywhere(wanted: int) -> bool:
        return all(status(basic, token, "GET", experiments) == wanted for _ in range(12))

    grants = "/api/3.0/mlflow/users/permissions"
    one = {"username": "lender", "resource_type": "registered_model", "resource_id": NAME}
    basic.mlflow("POST", f"{grants}/revoke", **one, permission="MANAGE")
    eventually(lambda: everywhere(401), tail=basic.tail)
    audit = basic.mlflow("GET", "/serving/audit")
    assert "TRACKING_ENDED" in str(audit) and "TRACKING_ON" in str(audit)
    basic.mlflow("POST", f"{grants}/grant", **one, permission="MANAGE")
    eventually(lambda: everywhere(200), tail=basic.tail)
    off = {"registered_model_name": NAME, "config": {"tracking": "off"}}
    basic.mlflow("PUT", "/api/2.0/mlflow/endpoints/update-compute-config", lender, **off)
    eventually(lambda: everywhere(401), tail=basic.tail)
    eventually(lambda: "tracking: on" in ask(basic, do="log").text, tail=basic.tail)


@pytest.mark.matrix
@pytest.mark.parametrize("kind", ["gunicorn", "waitress"])
def test_a_worker_s_token_is_taken_under_other_web_servers_too(kind: str, models: Models) -> None:
    with BasicAuthServer(kind, workers=1) as server:
        with client_of(server) as client:
            register(client, NAME, models.path("traced"))
        server.enable(NAME, tracking="on")
        server.wait_ready(NAME, 1)
        run = own_run(server, server.credentials, "of the admin")
        logged = ask(server, do="log", run=run)
        assert logged.status_code == 200, logged.text
        token = ask(server, do="token").json()
        assert status(server, token, "GET", f"/api/2.0/mlflow/runs/get?run_id={run}") == 200
        assert status(server, token, "POST", "/api/2.0/mlflow/users/create", username="x", password=PASSWORD) == 403
        assert status(server, token, "POST", "/api/2.0/token/create") == 401
