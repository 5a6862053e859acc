"""Who may do what on a real ``basic-auth`` server with two web workers, by password and by token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import requests
from support import again_and_again
from support.auth import ADMIN, Cast, basic, bearer
from support.cells import IRIS, KINDS, SERVED, SPARE, wrong_cells


@pytest.mark.parametrize("kind", KINDS)
def test_every_route_by_password(cast: Cast, kind: str) -> None:
    assert wrong_cells(cast.server, kind, cast.passwords[kind]) == []


# Without credentials there is no token either.
@pytest.mark.parametrize("kind", KINDS[1:])
def test_every_route_by_token(cast: Cast, kind: str) -> None:
    assert wrong_cells(cast.server, kind, cast.tokens[kind]) == []


def test_list_has_only_what_the_caller_may_read(cast: Cast) -> None:
    def listed(kind: str) -> list[str]:
        url = f"{cast.server.url}/api/2.0/mlflow/endpoints/list"
        found = requests.get(url, headers=cast.passwords[kind], timeout=60).json()["endpoints"]
        return [endpoint["registered_model_name"] for endpoint in found]

    assert listed("none") == []
    assert listed("read") == [SERVED, SPARE]
    assert {SERVED, SPARE} <= set(listed("admin"))


def test_a_denied_version_tier_is_not_scored(cast: Cast) -> None:
    """MLflow 3.17 can deny the versions of a model to somebody who may read the model."""
    headers = cast.server.add_user("denied")
    cast.server.grant("denied", SERVED, "READ")
    cast.everywhere(headers, 200)
    cast.server.mlflow(
        "POST",
        "/api/3.0/mlflow/users/permissions/grant",
        username="denied",
        resource_type="registered_model_version",
        resource_id="*",
        permission="DENY",
    )
    cast.everywhere(headers, 404)


def test_a_granted_permission_and_a_new_password_count_within_seconds(cast: Cast) -> None:
    headers = cast.server.add_user("late", "the first password")
    assert cast.score(headers) == 404
    cast.server.grant("late", SERVED, "READ")
    cast.everywhere(headers, 200)
    cast.server.mlflow(
        "PATCH", "/api/2.0/mlflow/users/update-password", username="late", password="the second password"
    )
    cast.everywhere(headers, 401)
    assert cast.score(basic("late", "the second password")) == 200


def test_a_revoked_token_is_refused_by_every_web_worker_within_a_second(cast: Cast) -> None:
    server = cast.server
    made = server.mlflow("POST", "/api/2.0/token/create", cast.passwords["read"], comment="short-lived")
    headers = bearer(made["token_value"])
    cast.everywhere(headers, 200)
    server.mlflow("POST", "/api/2.0/token/delete", cast.passwords["read"], token_id=made["token_info"]["token_id"])
    statuses = [(after_s, cast.score(headers)) for after_s in again_and_again(2.5, pause_s=0.03)]
    late = [status for after_s, status in statuses if after_s > 1.0]
    assert late, "nothing was asked after a second"
    assert set(late) == {401}, statuses


def test_a_token_expires(cast: Cast) -> None:
    headers = bearer(cast.server.token(cast.passwords["read"], lifetime_seconds=2))
    assert cast.score(headers) == 200
    cast.everywhere(headers, 401)


def test_a_token_as_the_password_of_the_user_name_token_counts_as_bearer(cast: Cast) -> None:
    """As ``curl -u token:$TOKEN`` and Power BI send a token."""
    server, owner = cast.server, cast.passwords["manage"]

    def answers(headers: Mapping[str, str]) -> list[tuple[int, Any]]:
        control = f"{server.url}/api/2.0/mlflow/endpoints/get-status?registered_model_name={SERVED}"
        scored = requests.post(f"{server.url}/model/{SERVED}/1/invocations", json=IRIS, headers=headers, timeout=60)
        asked = requests.get(control, headers=headers, timeout=60)
        measured_anew = {"memory_bytes": None, "last_request": None}
        state = asked.json().get("endpoint_status", asked.json())
        return [(scored.status_code, scored.json()), (asked.status_code, {**state, **measured_anew})]

    def token(**fields: object) -> tuple[str, str]:
        made = server.mlflow("POST", "/api/2.0/token/create", owner, **fields)
        return made["token_value"], made["token_info"]["token_id"]

    (good, _), (revoked, revoked_id), (expired, _) = token(), token(), token(lifetime_seconds=1)
    server.mlflow("POST", "/api/2.0/token/delete", owner, token_id=revoked_id)
    cast.everywhere(bearer(expired), 401)
    for value, words in ((good, ""), (revoked, "revoked"), (expired, "has expired")):
        found = answers(basic("token", value))
        assert found == answers(bearer(value))
        assert {status for status, _ in found} == ({401} if words else {200})
        assert all(words in str(body) for _, body in found)
    cast.everywhere(basic("someone", good), 401)


def test_a_real_user_may_have_the_name_token(cast: Cast) -> None:
    headers = cast.server.add_user("token")
    cast.server.grant("token", SERVED, "READ")
    cast.everywhere(headers, 200)
    cast.everywhere(basic("token", "mlsp_wrong"), 401)


def test_a_token_for_one_model_scores_that_and_nothing_else(cast: Cast) -> None:
    server = cast.server
    headers = bearer(server.token(cast.passwords["manage"], scope={"registered_model_name": SERVED}))
    assert cast.score(headers) == 200

    def status(method: str, path: str, **fields: object) -> int:
        return requests.request(method, server.url + path, headers=headers, json=fields, timeout=60).status_code

    base = "/api/2.0/mlflow/endpoints"
    for action in ("ping", "schema"):
        assert status("GET", f"/model/{SERVED}/1/{action}") == 200
        assert status("GET", f"/model/{SPARE}/1/{action}") == 404
    version = {"registered_model_name": SERVED, "endpoint_version_name": "1"}
    for route in ("get-status", "get-version-logs", "get-event-history", "list"):
        assert status("GET", f"{base}/{route}", **version) == 403
    assert status("GET", "/ajax-api/2.0/mlflow/endpoints/get-input-example", **version) == 403
    assert status("POST", f"{base}/disable", registered_model_name=SERVED) == 403
    assert status("POST", "/api/2.0/token/create") == 403
    assert status("GET", "/api/2.0/token/list") == 403
    # For a model that its owner may not read there is none.
    hidden = server.mlflow("GET", "/api/2.0/token/list", cast.passwords["none"])
    assert hidden["token_infos"][0]["created_by_username"] == "none"
    refused = requests.post(
        f"{server.url}/api/2.0/token/create",
        headers=cast.passwords["none"],
        json={"scope": {"registered_model_name": SERVED}},
        timeout=60,
    )
    assert refused.status_code == 404, refused.text


def test_the_tokens_of_a_deleted_user_are_dead_and_stay_dead(cast: Cast) -> None:
    server = cast.server
    headers = server.add_user("gone")
    server.grant("gone", SERVED, "READ")
    token = bearer(server.token(headers))
    cast.everywhere(token, 200)
    server.mlflow("DELETE", "/api/2.0/mlflow/users/delete", username="gone")
    cast.everywhere(token, 401)
    # Somebody else gets the name, and on SQLite the number too.
    server.add_user("gone")
    server.grant("gone", SERVED, "READ")
    assert cast.score(token) == 401


def test_people_see_their_own_tokens_admins_all_and_nobody_a_value(cast: Cast) -> None:
    server = cast.server
    token = server.token(cast.passwords["edit"], comment="mine")
    assert cast.score(bearer(token)) == 200
    own = server.mlflow("GET", "/api/2.0/token/list", cast.passwords["edit"])["token_infos"]
    assert {info["created_by_username"] for info in own} == {"edit"}
    everybody = server.mlflow("GET", "/api/2.0/token/list")["token_infos"]
    assert {info["created_by_username"] for info in everybody} >= {"edit", "read", ADMIN}
    found = next(info for info in own if info["comment"] == "mine")
    assert found["last_used_time"] and found["expiry_time"] == -1
    database = b"".join(path.read_bytes() for path in server.root.glob("*.db*"))
    assert found["token_id"].encode() in database
    for place in (database, server.log.read_bytes(), repr(everybody).encode()):
        assert token.encode() not in place


def test_the_audit_tells_who_did_what(cast: Cast) -> None:
    server = cast.server
    server.api("POST", "disable", registered_model_name=SPARE)
    manage = cast.passwords["manage"]
    server.mlflow("POST", "/api/2.0/mlflow/endpoints/enable", manage, registered_model_name=SPARE)
    made = server.mlflow("POST", "/api/2.0/token/create", manage)["token_info"]["token_id"]
    server.mlflow("POST", "/api/2.0/token/delete", token_id=made)
    events = server.mlflow("GET", "/serving/audit")["events"][:4]
    assert [(event["event_type"], event["registered_model_name"]) for event in events] == [
        ("TOKEN_REVOKED", None),
        ("TOKEN_CREATED", None),
        ("ENDPOINT_ENABLED", SPARE),
        ("ENDPOINT_DISABLED", SPARE),
    ]
    assert [event["message"].split(" by ")[-1] for event in events] == ["admin.", "manage.", "manage.", "admin."]


def test_mlflow_s_own_pages_and_permissions_work_as_before(cast: Cast) -> None:
    server = cast.server
    assert requests.get(server.url, timeout=60).status_code == 401
    page = requests.get(server.url, headers=cast.passwords["read"], timeout=60)
    assert page.status_code == 200 and "<html" in page.text
    assert requests.get(f"{server.url}/signup", headers=server.credentials, timeout=60).status_code == 200
    models = f"{server.url}/api/2.0/mlflow/registered-models/get"
    for kind, status in {"read": 200, "none": 403, "wrong": 401}.items():
        answer = requests.get(models, params={"name": SERVED}, headers=cast.passwords[kind], timeout=60)
        assert answer.status_code == status, (kind, answer.text)
