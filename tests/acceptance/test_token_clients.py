"""Clients that know nothing of this server but its address and a token, on a server with authentication."""

from __future__ import annotations

import json
import time

import pandas as pd
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import DatabricksError, NotFound, Unauthenticated
from support import eventually
from support.auth import NO_TOKEN, BasicAuthServer, bearer
from support.auth import basic as with_password
from support.clients import FLOWER, score_model
from support.models import Models
from support.server import TrackingServer, curl


@pytest.fixture(scope="module")
def guarded(basic: BasicAuthServer) -> BasicAuthServer:
    """``reader`` may read ``iris``, ``stranger`` may not."""
    for name in ("reader", "stranger"):
        basic.add_user(name, f"the password of {name}")
    basic.grant("reader", "iris", "READ")
    return basic


def password(name: str) -> dict[str, str]:
    return with_password(name, f"the password of {name}")


@pytest.fixture(scope="module")
def token(guarded: BasicAuthServer) -> str:
    return guarded.token(password("reader"))


@pytest.fixture
def databricks(guarded: BasicAuthServer, token: str) -> WorkspaceClient:
    return workspace_client(guarded, token)


def workspace_client(server: TrackingServer, token: str) -> WorkspaceClient:
    return WorkspaceClient(host=server.url, token=token, auth_type="pat")


def test_score_model_with_a_token(guarded: BasicAuthServer, models: Models, token: str) -> None:
    uri = f"{guarded.url}/model/iris/1/invocations"
    assert score_model(uri, token, FLOWER) == [0]
    assert score_model(uri, token, models.iris) == models.iris_predictions(1, models.iris)
    assert score_model(uri, token, pd.DataFrame(FLOWER)) == [0]


@pytest.mark.parametrize("kind", ["none", "stranger"])
def test_score_model_without_a_right_is_told_so(guarded: BasicAuthServer, kind: str) -> None:
    held, status = (NO_TOKEN, 401) if kind == "none" else (guarded.token(password(kind)), 404)
    with pytest.raises(Exception, match=f"status {status}"):
        score_model(f"{guarded.url}/model/iris/1/invocations", held, FLOWER)


def test_curl_with_a_token(guarded: BasicAuthServer, token: str) -> None:
    done = curl(
        f"-X POST -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json; format=pandas-records' "
        f"-d '{json.dumps(FLOWER)}' {guarded.url}/model/iris/1/invocations"
    )
    assert (done.returncode, done.stdout) == (0, "[0]"), done


def test_databricks_sdk_creates_lists_and_deletes_tokens(guarded: BasicAuthServer, databricks: WorkspaceClient) -> None:
    before_ms = int(time.time() * 1000)
    made = databricks.tokens.create(comment="by the sdk", lifetime_seconds=600)
    assert made.token_info.comment == "by the sdk"
    assert before_ms <= made.token_info.creation_time <= int(time.time() * 1000)
    assert made.token_info.expiry_time - made.token_info.creation_time == 600_000
    assert score_model(f"{guarded.url}/model/iris/1/invocations", made.token_value, FLOWER) == [0]

    listed = {info.token_id: info for info in databricks.tokens.list()}
    assert listed[made.token_info.token_id] == made.token_info

    databricks.tokens.delete(made.token_info.token_id)
    assert made.token_info.token_id not in {info.token_id for info in databricks.tokens.list()}
    eventually(lambda: refused(guarded, made.token_value), tail=guarded.tail)


def test_databricks_sdk_makes_a_token_that_does_not_expire(databricks: WorkspaceClient) -> None:
    made = databricks.tokens.create()
    assert made.token_info.expiry_time == -1
    databricks.tokens.delete(made.token_info.token_id)


def test_databricks_sdk_raises_its_own_errors(guarded: BasicAuthServer, databricks: WorkspaceClient) -> None:
    with pytest.raises(NotFound, match="no token with this token_id"):
        databricks.tokens.delete("no such token")
    with pytest.raises(Unauthenticated):
        list(workspace_client(guarded, NO_TOKEN).tokens.list())


def refused(server: TrackingServer, token: str) -> bool:
    return server.score("iris/1", FLOWER, **bearer(token)).status_code == 401


def test_databricks_sdk_on_a_server_without_users_gets_a_sentence(plain: TrackingServer) -> None:
    with pytest.raises(DatabricksError, match="no users that tokens could belong to"):
        workspace_client(plain, NO_TOKEN).tokens.create()
