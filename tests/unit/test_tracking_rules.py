"""``tracking: on``: who may switch it on, by which address workers come, and what their tokens are good for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.api import ApiWorld

from mlflow_serving_plugin.access.base import Permission, User
from mlflow_serving_plugin.access.forgery import BrowserRules
from mlflow_serving_plugin.access.tokens import digest_of, token_in
from mlflow_serving_plugin.access.worker_tokens import WorkerTokens, is_open, new_worker_token, worker_token_in
from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.serving import ServedConfig, ServedEntity
from mlflow_serving_plugin.domain.tracking import (
    LOOPBACK,
    NO_ADDRESS,
    NO_TOKENS,
    TrackingRules,
    WorkerToken,
    claim,
    is_loopback,
    refuse_unowned,
    variables,
    without_owner,
)
from mlflow_serving_plugin.errors import (
    ConflictError,
    InvalidParameterError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from mlflow_serving_plugin.operations.config import merge_config, show_config
from mlflow_serving_plugin.operator_rules import tracking_rules
from mlflow_serving_plugin.registry.mlflow_server import address_in
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.testing import MemoryAccess
from mlflow_serving_plugin.tracking_door import AsgiTrackingDoor, WsgiTrackingDoor

OPEN, USERS = TrackingRules("http://127.0.0.1:5000"), TrackingRules("http://10.0.0.1:5000", has_users=True)
ADA = {"name": "ada", "account": "7"}
ON = {"tracking": "on"}
LENT = EndpointConfig(tracking="on", tracking_owner=ADA)


# Who may switch it on


def test_who_switches_tracking_on_becomes_the_owner_and_who_changes_other_keys_does_not():
    assert claim(USERS, EndpointConfig(tracking="on"), ON, ADA) == LENT
    assert claim(USERS, LENT, {"replicas": 2}, {"name": "ben", "account": "8"}) == LENT
    assert claim(USERS, LENT, ON, {"name": "ben", "account": "8"}).tracking_owner["name"] == "ben"


def test_an_owner_is_forgotten_with_the_setting():
    assert claim(USERS, merge_config(LENT, {"tracking": "off"}), {"tracking": "off"}, ADA) == EndpointConfig()
    assert without_owner(LENT) == EndpointConfig()


def test_without_users_nobody_is_the_owner():
    assert claim(OPEN, EndpointConfig(tracking="on"), ON, None) == EndpointConfig(tracking="on")


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (TrackingRules(refusal=NO_ADDRESS), "MLFLOW_SERVING_TRACKING_URI"),
        (TrackingRules(has_users=True, refusal=NO_TOKENS), "basic-auth"),
        (USERS, "user name and password only"),
    ],
    ids=["no address", "another auth app", "by token"],
)
def test_a_refusal_says_why(rules: TrackingRules, sentence: str):
    with pytest.raises(InvalidParameterError, match=rf"^served_entities\[0\]\.config\.tracking .*{sentence}"):
        claim(rules, EndpointConfig(tracking="on"), ON, None, "served_entities[0].")
    if rules.refusal:
        with pytest.raises(ConflictError):
            refuse_unowned(rules, {})


def test_a_configuration_that_nobody_owns_starts_no_worker_on_a_server_with_users():
    refuse_unowned(OPEN, {})
    refuse_unowned(USERS, ADA)
    with pytest.raises(ConflictError, match="set it to on again"):
        refuse_unowned(USERS, {})


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"network": "off"}, "network"), ({"environment": {"MLFLOW_TRACKING_URI": "http://x"}}, "MLFLOW_TRACKING_URI")],
)
def test_keys_that_leave_nothing_of_tracking_are_named_both(changes: dict[str, object], named: str):
    for before, change in ((LENT, changes), (merge_config(EndpointConfig(), changes), ON)):
        with pytest.raises(InvalidParameterError, match=rf"config\.tracking.*{named}|{named}.*config\.tracking"):
            merge_config(before, change)


def test_the_owner_is_neither_shown_nor_set():
    assert "tracking_owner" not in show_config(LENT)
    with pytest.raises(InvalidParameterError, match="tracking_owner is not a setting"):
        merge_config(LENT, {"tracking_owner": {"name": "root"}})


def test_workers_that_ray_places_need_an_address_that_nodes_reach():
    on_ray = EndpointConfig(tracking="on", placement="ray")
    with pytest.raises(InvalidParameterError) as refused:
        claim(OPEN, on_ray, ON, None)
    assert refused.value.message == LOOPBACK.format(uri=OPEN.uri)
    assert claim(USERS, on_ray, ON, ADA).tracking_owner == ADA


def test_both_kinds_of_endpoints_refuse_tracking_where_the_address_is_not_known(tmp_path):
    api = ApiWorld(tmp_path)
    api.registry.add("iris", 1, created_ms=1000)
    body = {"registered_model_name": "iris", "config": ON}
    enabled = api.client.post("/api/2.0/mlflow/endpoints/enable", json=body)
    entity = {"entity_name": "iris", "entity_version": "1", "config": ON}
    made = api.client.post("/api/2.0/serving-endpoints", json={"name": "a", "config": {"served_entities": [entity]}})
    api.close()
    assert enabled.status_code == 400 and NO_ADDRESS in enabled.json["message"]
    assert made.status_code == 400 and f"config.served_entities[0].{NO_ADDRESS}" in made.json["message"]


def test_a_change_of_the_traffic_alone_leaves_rights_with_whoever_lent_them():
    known = ServedEntity("a", "iris", "1", 1, LENT, creator="ada")
    before = ServedConfig(1, (known,), (("a", 100),))
    again = ServedEntity("a", "iris", "1", 1, EndpointConfig(tracking="on"), creator="ben")
    assert again.as_lent(before).config == LENT
    for other in (replace(again, version="2"), replace(again, model_created_ms=2), replace(again, name="b")):
        assert other.as_lent(before) is None
    assert replace(again, config=EndpointConfig(tracking="on", environment={"A": "1"})).as_lent(before) is None
    assert replace(again, config=EndpointConfig()).as_lent(before) is None
    assert again.as_lent(None) is None


# By which address


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ({"host": "127.0.0.1", "port": 5000}, "http://127.0.0.1:5000"),
        ({"host": "0.0.0.0", "port": 8000, "gunicorn_opts": "--threads 8 --timeout 120"}, "http://127.0.0.1:8000"),
        ({"host": "::", "port": 5000, "waitress_opts": "--threads=8"}, "http://[::1]:5000"),
        ({"host": "10.0.0.1", "port": 5000, "uvicorn_opts": "--reload --log-level debug"}, "http://10.0.0.1:5000"),
        ({"host": "127.0.0.1", "port": 5000, "uvicorn_opts": "--ssl-keyfile=key.pem"}, ""),
        ({"host": "127.0.0.1", "port": 5000, "uvicorn_opts": "--uds /run/mlflow"}, ""),
        ({"host": "127.0.0.1", "port": 5000, "gunicorn_opts": "-b 0.0.0.0:80"}, ""),
        ({"host": "127.0.0.1", "port": 5000, "waitress_opts": "--listen=*:80"}, ""),
        ({"host": "127.0.0.1", "port": 0}, ""),
        ({}, ""),
    ],
)
def test_the_options_of_mlflow_server_tell_where_it_listens(options: dict[str, object], address: str):
    assert address_in(options, {}) == address


def test_variables_of_the_web_server_hide_where_it_listens():
    assert address_in({"host": "127.0.0.1", "port": 5000}, {"UVICORN_UDS": "/run/mlflow"}) == ""


def test_a_set_address_goes_before_the_known_one_and_a_host_that_is_not_allowed_is_none():
    known, nobody = "http://127.0.0.1:5000/ml", BrowserRules(lambda host: False, lambda origin: False, True)
    assert tracking_rules(Settings(), known, None, tokens=False) == TrackingRules(known)
    assert tracking_rules(Settings(), known, nobody, tokens=False).refusal == NO_ADDRESS
    given = Settings(tracking_uri="https://mlflow.example/ml/")
    assert tracking_rules(given, known, nobody, tokens=False).uri == "https://mlflow.example/ml"
    with_users = Settings(base_app="oidc-auth")
    assert tracking_rules(with_users, known, None, tokens=False).refusal == NO_TOKENS
    assert tracking_rules(with_users, known, None, tokens=True) == TrackingRules(known, has_users=True)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "http://localhost/ml", "http://[::1]:5000"])
def test_loopback_addresses_are_known(uri: str):
    assert is_loopback(uri) and not is_loopback("http://10.0.0.1:5000") and not is_loopback("")


def test_a_worker_is_given_what_mlflow_s_client_goes_by():
    assert variables(OPEN, "", "") == {"MLFLOW_TRACKING_URI": OPEN.uri}
    assert variables(USERS, "red", "t") == {
        "MLFLOW_TRACKING_URI": USERS.uri,
        "MLFLOW_TRACKING_TOKEN": "t",
        "MLFLOW_WORKSPACE": "red",
    }


# What a token is good for


def test_a_worker_s_token_is_no_token_of_a_user():
    value = new_worker_token()
    assert worker_token_in(f"Bearer {value}") == value
    assert token_in(f"Bearer {value}") is None
    assert worker_token_in("Bearer mlsp_" + "a" * 43) is None


@pytest.mark.parametrize(
    "path",
    [
        *("/api/2.0/mlflow/runs/log-metric", "/api/2.0/mlflow/runs/log-batch", "/api/2.0/mlflow/experiments/search"),
        *("/api/2.0/mlflow/registered-models/get", "/api/2.0/mlflow/model-versions/get-download-uri", "/version"),
        *("/api/2.0/mlflow-artifacts/artifacts/1/a", "/api/3.0/mlflow/traces", "/ajax-api/2.0/mlflow/metrics/get"),
    ],
)
def test_what_models_log_to_and_load_from_is_open(path: str):
    assert is_open(path)


@pytest.mark.parametrize(
    "path",
    [
        *("/api/2.0/mlflow/users/create", "/api/3.0/mlflow/users/permissions/grant", "/api/3.0/mlflow/roles/create"),
        *("/api/2.0/mlflow/experiments/permissions/create", "/api/2.0/mlflow/registered-models/permissions/update"),
        *("/graphql", "/signup", "/", "/gateway/chat", "/ajax-api/3.0/mlflow/gateway/secrets/create"),
        *("/api/2.0/mlflow/webhooks", "/api/3.0/mlflow/workspaces", "/api/3.0/mlflow/jobs", "/api/2.0/token/create"),
        *("/api/2.0/mlflow/endpoints/enable", "/api/2.0/serving-endpoints", "/api/2.0/mlflow/runs\n", "/versions"),
    ],
)
def test_users_permissions_secrets_and_unknown_paths_are_closed(path: str):
    assert not is_open(path)


class Kept:
    """One token that was kept, and what was told of its refusals."""

    def __init__(self, **changed: object) -> None:
        self.value = new_worker_token()
        self.told: list[str] = []
        facts = {"id": "t", "endpoint_id": "e", "entity": "1", "owner": "ada", "account": "account of ada"}
        self.token = WorkerToken(**{**facts, "expiry_ms": 10_000, "workspace": "default", "model": "iris", **changed})

    def find_worker_token(self, digest: str) -> WorkerToken | None:
        return self.token if digest == digest_of(self.value) else None

    def worker_token_refused(self, token: WorkerToken, reason: str) -> None:
        self.told.append(reason)


def let_in(kept: Kept, held: Permission = Permission.MANAGE, *, now_s: float = 1.0) -> WorkerTokens:
    access = MemoryAccess(default=held)
    return WorkerTokens(
        kept, access, lambda name: access.account(User(name)), lambda name: f"Basic {name}", lambda: now_s
    )


RUNS = "/api/2.0/mlflow/runs/get"


def test_a_token_stands_for_its_owner():
    kept = Kept()
    assert let_in(kept).credentials_for(kept.value, RUNS) == "Basic ada"
    with pytest.raises(PermissionDeniedError):
        let_in(kept).credentials_for(kept.value, "/api/2.0/mlflow/users/create")


@pytest.mark.parametrize(
    ("kept", "options", "told"),
    [
        (Kept(account="of an earlier ada"), {}, ["User ada does not exist any more."]),
        (Kept(), {"held": Permission.READ}, ["User ada may not manage registered model 'iris' any more."]),
        (Kept(), {"now_s": 10.0}, []),
    ],
    ids=["deleted user", "lost MANAGE", "expired"],
)
def test_a_token_fails_with_the_rights_that_it_stands_for(kept: Kept, options: dict[str, object], told: list[str]):
    tokens = let_in(kept, **options)
    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            tokens.credentials_for(kept.value, RUNS)
    assert kept.told == told


def test_an_unknown_token_is_refused():
    with pytest.raises(UnauthenticatedError):
        let_in(Kept()).credentials_for(new_worker_token(), RUNS)


# The door


def by_wsgi(kept: Kept, path: str, authorization: str, prefix: str = "") -> tuple[list[str], list[dict[str, str]]]:
    seen, started = [], []

    def inner(environ, start_response):
        seen.append(environ)
        start_response("200 OK", [])
        return []

    environ = {"PATH_INFO": path, "HTTP_AUTHORIZATION": authorization, "HTTP_COOKIE": "session=1"}
    WsgiTrackingDoor(inner, let_in(kept), prefix)(environ, lambda status, headers: started.append(status))
    return started, seen


def by_asgi(kept: Kept, path: str, authorization: str, prefix: str = "") -> tuple[list[int], list[dict[str, object]]]:
    seen, sent = [], []

    async def inner(scope, receive, send):
        seen.append(dict(scope["headers"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    headers = [(b"authorization", authorization.encode()), (b"cookie", b"session=1")]
    scope = {"type": "http", "path": path, "headers": headers}
    asyncio.run(AsgiTrackingDoor(inner, let_in(kept), prefix)(scope, None, send))
    return [message["status"] for message in sent if "status" in message], seen


def test_a_worker_s_request_becomes_its_owner_s_and_any_other_passes_untouched():
    kept = Kept()
    started, (environ,) = by_wsgi(kept, "/ml" + RUNS, f"Bearer {kept.value}", "/ml")
    assert (started, environ["HTTP_AUTHORIZATION"], "HTTP_COOKIE" in environ) == (["200 OK"], "Basic ada", False)
    status, (headers,) = by_asgi(kept, "/ml" + RUNS, f"Bearer {kept.value}", "/ml")
    assert (status, headers) == ([200], {b"authorization": b"Basic ada"})
    _, (environ,) = by_wsgi(kept, "/anything", "Bearer other")
    assert (environ["HTTP_AUTHORIZATION"], environ["HTTP_COOKIE"]) == ("Bearer other", "session=1")
    _, (headers,) = by_asgi(kept, "/anything", "Bearer other")
    assert headers == {b"authorization": b"Bearer other", b"cookie": b"session=1"}


def test_a_refusal_ends_at_the_door():
    kept = Kept()
    assert by_wsgi(kept, "/graphql", f"Bearer {kept.value}") == (["403 Forbidden"], [])
    assert by_wsgi(kept, RUNS, f"Bearer {kept.value}", "/ml") == (["403 Forbidden"], [])
    assert by_wsgi(kept, RUNS, f"Bearer {new_worker_token()}") == (["401 Unauthorized"], [])
    assert by_asgi(kept, "/graphql", f"Bearer {kept.value}") == ([403], [])
    assert by_asgi(kept, RUNS, f"Bearer {new_worker_token()}") == ([401], [])
