"""Tokens while the database that knows them is away."""

from __future__ import annotations

import pytest
import requests
from support import again_and_again, eventually
from support.auth import BasicAuthServer, bearer, client_of
from support.cells import IRIS
from support.models import Models, register
from support.postgres import Postgres, postgres_binaries

LIST = "/api/2.0/mlflow/endpoints/list"
AWAY_S = 6.0
"""Longer than anything is believed without a look."""


def test_who_was_known_scores_on_while_the_database_is_away_or_hangs(models: Models) -> None:
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL on this machine")
    with Postgres(binaries) as postgres, BasicAuthServer(backend=postgres.new_database()) as server:
        with client_of(server) as client:
            register(client, "iris", models.path("iris-1"))
        server.enable("iris")
        server.wait_ready("iris", 1)
        reader = server.add_user("reader")
        server.grant("reader", "iris", "READ")
        known, unused, late = (bearer(server.token(reader)) for _ in range(3))

        def score(headers: dict[str, str]) -> requests.Response:
            return requests.post(f"{server.url}/model/iris/1/invocations", json=IRIS, headers=headers, timeout=60)

        assert score(known).status_code == 200
        postgres.stop()
        for _ in again_and_again(AWAY_S):
            assert score(known).status_code == 200, server.tail()
        refused = score(unused)
        assert (refused.status_code, "Retry-After" in refused.headers) == (503, True), refused.text
        assert "postgres" not in refused.text.lower()
        postgres.start()
        eventually(lambda: score(unused).status_code == 200, tail=server.tail)
        with postgres.hung():
            for _ in again_and_again(AWAY_S):
                assert score(known).status_code == 200, server.tail()
            assert requests.get(f"{server.url}/serving/health", timeout=60).status_code == 200
            for refused in (score(late), requests.get(f"{server.url}{LIST}", headers=known, timeout=60)):
                assert (refused.status_code, "Retry-After" in refused.headers) == (503, True), refused.text
        eventually(lambda: score(late).status_code == 200, tail=server.tail)
        assert requests.get(f"{server.url}{LIST}", headers=known, timeout=60).status_code == 200
