"""The clients that the old product's documentation gave its users, against a real server."""

from __future__ import annotations

import json

import pandas as pd
import requests
from support.clients import FLOWER, score_model
from support.models import Models
from support.server import TrackingServer, curl

CHUNK = 256
"""Rows that the Power BI query sends at a time."""


def test_score_model_with_a_list(plain: TrackingServer) -> None:
    assert score_model(f"{plain.url}/model/iris/1/invocations", "token", FLOWER) == [0]


def test_score_model_with_a_data_frame(plain: TrackingServer, models: Models) -> None:
    uri = f"{plain.url}/model/iris/latest/invocations"
    assert score_model(uri, "token", pd.DataFrame(FLOWER)) == [0]
    assert score_model(uri, "token", models.iris) == models.iris_predictions(1, models.iris)


def test_curl(plain: TrackingServer) -> None:
    done = curl(
        f"-X POST -H 'Authorization: Bearer token' -H 'Content-Type: application/json; format=pandas-records' "
        f"-d '{json.dumps(FLOWER)}' {plain.url}/model/iris/1/invocations"
    )
    assert (done.returncode, done.stdout) == (0, "[0]"), done


def test_power_bi_gets_one_prediction_a_row_in_order(plain: TrackingServer, models: Models) -> None:
    table = models.iris.sample(600, replace=True, random_state=4)
    predictions: list[int] = []
    for start in range(0, len(table), CHUNK):
        # Json.FromValue writes whole numbers without a fraction, and Power BI puts a mark before its text.
        records = [
            {name: int(value) if value == int(value) else value for name, value in row.items()}
            for row in table.iloc[start : start + CHUNK].to_dict(orient="records")
        ]
        response = requests.post(
            f"{plain.url}/model/iris/1/invocations",
            data=b"\xef\xbb\xbf" + json.dumps(records).encode(),
            headers={"Content-Type": "application/json; format=pandas-records", "Authorization": "Bearer token"},
        )
        assert response.status_code == 200, response.text
        reply = response.json()
        assert isinstance(reply, list)
        predictions += reply
    assert len(predictions) == 600
    assert predictions == models.iris_predictions(1, table)


def test_the_old_products_other_paths_answer_too(plain: TrackingServer) -> None:
    for root in ("model-endpoint", "ajax-model"):
        assert score_model(f"{plain.url}/{root}/iris/1/invocations", "token", FLOWER) == [0]
