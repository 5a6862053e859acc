"""The table of requests on a real ``mlflow server``, and MLflow's own client of a scoring server."""

from __future__ import annotations

import pandas as pd
import pytest
from mlflow.version import VERSION
from support.auth import BasicAuthServer, client_of
from support.matrix import Place, put_up, wrong_answers
from support.models import Models
from support.server import TrackingServer


def test_every_request_of_the_table_is_answered_as_it_must_be(basic: BasicAuthServer, models: Models) -> None:
    with client_of(basic) as client:
        put_up(basic, client, models)
    place = Place(basic.kind, basic.port, basic.prefix, basic.credentials, basic.add_user("nobody"))
    assert wrong_answers(place) == []


@pytest.mark.filterwarnings("ignore:.*AnyType:UserWarning")
def test_mlflow_s_client_of_a_scoring_server_works_on_the_url_of_a_version(plain: TrackingServer) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    client = ScoringServerClient("127.0.0.1", f"{plain.port}/model/iris/1")
    client.ping()
    assert client.get_version() == VERSION
    rows = pd.DataFrame({name: [1.0] for name in ("sepal_length", "sepal_width", "petal_length", "petal_width")})
    assert len(client.invoke(rows).get_predictions()) == 1
