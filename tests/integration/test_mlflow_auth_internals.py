"""Every internal of MLflow's auth and security that ``access`` touches is there and shaped as it is relied upon.

When one of these fails after an upgrade, its message names what moved; the place that uses it is in the heading.
mlflow-oidc-auth's internals are looked at by ``acceptance/test_access_oidc.py``, in an environment of its own.
"""

from __future__ import annotations

import inspect
from importlib import metadata

import flask
import pytest
from test_mlflow_internals import internal, python, takes

# access/wrapped_app.py


def test_the_launcher_treats_basic_auth_apart_by_what_is_done_for_it_here():
    source = inspect.getsource(internal("mlflow.server:_run_server"))
    for part in ('app_name == "basic-auth"', "_bootstrap_basic_auth()", "_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED"):
        assert part in source, f"mlflow.server._run_server has no {part}"
    takes("mlflow.server:_bootstrap_basic_auth")
    assert internal("mlflow.environment_variables:_MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN").name, "the variable moved"


def test_what_else_the_launcher_does_for_basic_auth_is_known():
    """A new special case is a new thing to do here."""
    source = inspect.getsource(internal("mlflow.server:_run_server"))
    assert source.count("basic-auth") <= 4, "mlflow.server._run_server has a new special case for basic-auth"


def test_web_workers_are_started_by_a_function_that_takes_their_environment():
    takes("mlflow.server:_exec_cmd", ["command"], extra_env={}, synchronous=False)
    assert "_exec_cmd(" in inspect.getsource(internal("mlflow.server:_run_server")), "_run_server starts otherwise"


def test_an_app_is_found_by_its_name():
    apps = {entry.name: entry.value for entry in metadata.entry_points(group="mlflow.app")}
    assert apps["basic-auth"] == "mlflow.server.auth:create_app", "basic-auth is another function"
    assert apps["serving"].startswith("mlflow_serving_plugin.")


def test_a_flask_app_is_made_asgi_by_this_function():
    takes("mlflow.server.fastapi_app:create_fastapi_app", flask.Flask("ours"))


# access/basic_auth.py and registry/signal.py

_BASIC_AUTH = """
import base64, contextlib, inspect
from mlflow.server import app, auth
from mlflow.server.auth.requirements import Requirement
from mlflow.server.handlers import _get_model_registry_store
auth.create_app(app)
from mlflow_serving_plugin.access.base import User
from mlflow_serving_plugin.access.basic_auth import _OWN_FUNCTION, BasicAuth, accept_owners
from starlette.requests import Request
from mlflow_serving_plugin.errors import UnauthenticatedError
_get_model_registry_store().create_registered_model("iris")
auth.store.create_user("reader", "a long enough password")
provider = BasicAuth(app, lambda name: contextlib.nullcontext())
def headers(password):
    return {"authorization": "Basic " + base64.b64encode(f"reader:{password}".encode()).decode()}
print(auth.auth_config.authorization_function == _OWN_FUNCTION)
print(provider.authenticate(headers("a long enough password")).name)
for wrong in (headers("another"), {}, {"authorization": "Bearer x"}):
    try:
        print(provider.authenticate(wrong))
    except UnauthenticatedError:
        print("refused")
print(provider.permission(User("reader"), "default", "iris").name)
print(provider.permission(User("admin"), "default", "iris").name)
print(provider.permission(User("nobody"), "default", "iris").name)
print(provider.is_admin(User("admin")), provider.is_admin(User("reader")))
print(provider.account("reader") is not None, provider.account("nobody"))
held = auth._graphql_get_permission_for_model("iris", "reader")
print(held.can_read, held.can_manage)
print("/api/2.0/mlflow/users/delete" in {rule.rule for rule in app.url_map.iter_rules() if "DELETE" in rule.methods})
print(list(inspect.signature(auth.authorize).parameters)[:3])
Requirement("registered_model_version", "*", "read", fallback_if_no_grant=(("registered_model", "iris"),))
credentials_of = accept_owners()
reader = app.test_client()
def who(credentials):
    asked = reader.get("/api/2.0/mlflow/users/current", headers={"Authorization": credentials})
    told = asked.get_json(silent=True) or {}
    return told.get("user", told).get("username", asked.status_code)
print(who(credentials_of("reader")), who(credentials_of("nobody")), who(credentials_of("reader").upper()))
print(who(headers("a long enough password")["authorization"]), who(headers("another")["authorization"]))
native = getattr(auth, "_authenticate_fastapi_request", None)
scope = {"type": "http", "path": "/v1/traces", "root_path": "", "query_string": b"",
         "headers": [(b"authorization", credentials_of("reader").encode())]}
print(native is None or native(Request(scope)).username)
"""


def test_basic_auth_answers_what_it_is_asked_and_can_deny_the_versions_of_a_model(tmp_path):
    config = tmp_path / "auth.ini"
    config.write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{tmp_path}/auth.db\n"
        "admin_username = admin\nadmin_password = a long enough password\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    said = python(
        _BASIC_AUTH,
        MLFLOW_AUTH_CONFIG_PATH=str(config),
        MLFLOW_FLASK_SERVER_SECRET_KEY="a key for tests",
        _MLFLOW_SERVER_FILE_STORE=f"sqlite:///{tmp_path}/mlflow.db",
        _MLFLOW_SERVER_ARTIFACT_ROOT=str(tmp_path),
    )
    refusals = ["refused", "refused", "refused"]
    permissions = ["READ", "MANAGE", "NONE", "True False", "True None", "True False"]
    *answers, authorize, vouched, checked, native = said
    assert answers == ["True", "reader", *refusals, *permissions, "True"]
    assert authorize.count("'") == 6, authorize
    assert vouched == "reader 401 401", "basic-auth does not take a user for whom this process vouches, or takes others"
    assert checked == "reader 401", "basic-auth does not check passwords any more"
    assert native == "reader", "MLflow's FastAPI routes do not take a user for whom this process vouches"


# access/other_app.py


@pytest.mark.parametrize(
    ("path", "method"),
    [("registered-models/search", "GET"), ("registered-models/get", "GET"), ("registered-models/alias", "DELETE")],
)
def test_an_unknown_app_is_asked_by_routes_of_mlflow_s_own(path, method):
    rules = internal("mlflow.server:app").url_map.iter_rules()
    assert [r for r in rules if r.rule == f"/api/2.0/mlflow/{path}" and method in r.methods], f"no {method} {path}"


def test_what_an_unknown_app_is_asked_is_no_alias():
    from mlflow_serving_plugin.access.other_app import _NO_ALIAS

    with pytest.raises(internal("mlflow.exceptions:MlflowException")) as refused:
        internal("mlflow.utils.validation:_validate_model_alias_name")(_NO_ALIAS)
    assert refused.value.get_http_status_code() == 400


# access/server_rules.py


def test_the_server_s_own_rules_for_hosts_and_origins_are_there(monkeypatch):
    monkeypatch.setenv("MLFLOW_SERVER_ALLOWED_HOSTS", "mlflow.example,*.inner.example")
    monkeypatch.setenv("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", "https://app.example")
    assert internal("mlflow.environment_variables:MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE").get() != "true"
    from mlflow_serving_plugin.access.server_rules import browser_rules

    rules = browser_rules(authenticated=True)
    assert rules.allowed_host("mlflow.example") and rules.allowed_host("a.inner.example")
    assert not rules.allowed_host("evil.example")
    assert rules.allowed_origin("https://app.example") and not rules.allowed_origin("http://localhost:3000")


# registry/workspaces.py


def test_mlflow_s_stores_are_shown_a_workspace_by_this_context():
    scope = internal("mlflow.utils.workspace_context:ServerWorkspaceContext")
    with scope("red"):
        assert internal("mlflow.utils.workspace_context:get_request_workspace")() == "red"
