"""What the controller is told after a request to MLflow's own API."""

import flask
import pytest

from mlflow_serving_plugin.host.messages import Changed
from mlflow_serving_plugin.registry.signal import watch_deleted_users, watch_registry

CREATE = "/api/2.0/mlflow/model-versions/create"
IRIS = {"name": "iris"}


def told(method, path, *, workspaces=True, answer=200, **request):
    """What is sent after a request to MLflow."""
    app, sent = flask.Flask("mlflow"), []
    for rule in (CREATE, "/api/2.0/mlflow/model-versions/search", "/api/2.0/mlflow/runs/create"):
        app.add_url_rule(rule, rule, lambda: ("", answer), methods=["GET", "POST", "DELETE"])
    watch_registry(app, sent.append, workspaces=workspaces)
    app.test_client().open(path, method=method, **request)
    return sent


def test_a_change_of_the_registry_names_the_model_in_the_body_or_the_query():
    assert told("POST", CREATE, json=IRIS) == [Changed("default", "iris")]
    assert told("DELETE", f"{CREATE}?name=iris") == [Changed("default", "iris")]
    assert told("POST", CREATE) == [Changed("default", None)]


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", CREATE, 200),
        ("POST", CREATE, 400),
        ("POST", "/api/2.0/mlflow/model-versions/search", 200),
        ("POST", "/api/2.0/mlflow/runs/create", 200),
    ],
)
def test_what_changes_nothing_in_the_registry_is_not_told(method, path, answer):
    assert told(method, path, answer=answer, json=IRIS if method == "POST" else None) == []


def test_the_workspace_is_the_one_that_all_other_requests_mean_by_the_header():
    header = {"X-MLFLOW-WORKSPACE": " team-a "}
    assert told("POST", CREATE, json=IRIS, headers=header) == [Changed("team-a", "iris")]


def test_a_header_that_names_no_workspace_makes_the_controller_look_at_everything():
    assert told("POST", CREATE, json=IRIS, headers={"X-MLFLOW-WORKSPACE": "Not One"}) == [Changed()]
    assert told("POST", CREATE, json=IRIS, headers={"X-MLFLOW-WORKSPACE": "a"}, workspaces=False) == [Changed()]


@pytest.mark.parametrize(("answer", "forgotten"), [(200, ["alice"]), (403, [])])
def test_only_a_user_who_was_deleted_is_forgotten(answer, forgotten):
    app, names = flask.Flask("mlflow"), []
    rule = "/api/2.0/mlflow/users/delete"
    app.add_url_rule(rule, rule, lambda: ("", answer), methods=["DELETE"])
    watch_deleted_users(app, names.append)
    app.test_client().delete(rule, json={"username": "alice"})
    app.test_client().delete(rule, json=["alice"])
    assert names == forgotten
