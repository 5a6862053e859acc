"""The Token API: whose tokens, what is told of them, and what is refused."""

from __future__ import annotations

import time

import pytest
from support.cells import table

from mlflow_serving_plugin.access.base import Permission
from mlflow_serving_plugin.access.tokens import digest_of
from mlflow_serving_plugin.gateway.addresses import PREFIXES
from mlflow_serving_plugin.testing import MemoryAccess

BASE = "/api/2.0/token"
ALICE, BOB, ROOT = ({"Authorization": name} for name in ("alice", "bob", "root"))


@pytest.fixture(autouse=True)
def people(world):
    access: MemoryAccess = world.access
    access.users = {name: name for name in ("alice", "bob", "root")}
    access.admins = {"root"}


def create(call, headers=ALICE, **fields):
    return call("POST", "create", base=BASE, headers=headers, **fields)


def test_a_value_is_shown_once_and_kept_as_a_digest(world, call):
    status, body = create(call, comment="for the notebook")
    assert status == 200
    value = body["token_value"]
    assert value.startswith("mlsp_")
    assert world.tokens.find_token(digest_of(value)) is not None
    assert value not in repr(vars(world.tokens))
    assert value not in str(call("GET", "list", base=BASE, headers=ALICE))


def test_the_reply_is_that_of_databricks(call):
    _, body = create(call, comment="c", lifetime_seconds=60)
    info = body["token_info"]
    assert info["comment"] == "c"
    assert info["expiry_time"] - info["creation_time"] == 60_000
    assert abs(info["creation_time"] / 1000 - time.time()) < 60
    assert create(call)[1]["token_info"]["expiry_time"] == -1


def test_a_user_sees_and_revokes_their_own_and_an_admin_everybody_s(call):
    token_id = create(call)[1]["token_info"]["token_id"]
    assert call("GET", "list", base=BASE, headers=BOB)[1] == {"token_infos": []}
    assert call("POST", "delete", base=BASE, headers=BOB, token_id=token_id)[0] == 404
    assert [info["token_id"] for info in call("GET", "list", base=BASE, headers=ROOT)[1]["token_infos"]] == [token_id]
    assert call("POST", "delete", base=BASE, headers=ROOT, token_id=token_id) == (200, {})
    assert call("POST", "delete", base=BASE, headers=ALICE, token_id=token_id)[0] == 404


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"lifetime_seconds": 0}, "lifetime_seconds"),
        ({"lifetime_seconds": "soon"}, "lifetime_seconds"),
        ({"comment": 7}, "comment"),
        ({"comment": "x" * 1001}, "comment"),
        ({"scope": {"registered_model_name": "iris", "permission": "MANAGE"}}, "scope"),
        ({"scope": {}}, "scope"),
    ],
)
def test_a_wrong_field_is_named(call, fields, named):
    status, body = create(call, **fields)
    assert (status, body["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert f"'{named}'" in body["message"]


def test_a_scope_needs_a_model_that_the_owner_may_read(world, call):
    world.access.permissions[("alice", "wine")] = Permission.NONE
    assert create(call, scope={"registered_model_name": "wine"})[0] == 404
    _, body = create(call, scope={"registered_model_name": "iris"})
    assert body["token_info"]["scope"] == {"registered_model_name": "iris", "permission": "READ"}


def test_a_server_without_users_says_that_it_needs_no_tokens(world, call):
    world.access.users = None
    status, body = create(call)
    assert status == 400
    assert "has no users" in body["message"]


@pytest.mark.parametrize("route", ["create", "delete"])
def test_tokens_are_changed_by_json_alone(world, route):
    answer = world.client.post(f"{BASE}/{route}", data={"token_id": "x"}, headers=ALICE)
    assert answer.status_code == 415


@pytest.mark.parametrize("path", ["list", "create"])
def test_a_stranger_is_asked_who_they_are(call, path):
    method = "POST" if path == "create" else "GET"
    assert call(method, path, base=BASE, headers={"Authorization": "mallory"})[0] == 401


def test_the_audit_is_for_admins(world, call):
    assert call("GET", "audit", base="/serving", headers=ALICE)[0] == 403
    assert call("GET", "audit", base="/serving", headers=ROOT) == (200, {"events": []})


def test_a_workspace_is_refused_by_a_server_that_has_none(world, call):
    headers = ALICE | {"X-MLFLOW-WORKSPACE": "team"}
    status, body = call("GET", "list", headers=headers)
    assert (status, body["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    world.app.config["SERVING_WORKSPACES"] = True
    assert call("GET", "list", headers=headers) == (200, {"endpoints": []})


def test_the_table_of_the_acceptance_tests_has_every_route_that_there_is(world):
    there = {
        (method, rule.rule)
        for rule in world.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if "not-yet" not in rule.endpoint
    }
    ours = {(route.method, route.path) for route in table()}
    assert there == {(method, path) for method, path in ours if not path.startswith(PREFIXES)}
