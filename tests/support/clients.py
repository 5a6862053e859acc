"""Clients that published documentation gave people, word for word."""

from __future__ import annotations

import requests


def score_model(model_uri: str, databricks_token: str, data: object) -> object:
    """The documentation's own function."""
    headers = {
        "Authorization": f"Bearer {databricks_token}",
        "Content-Type": "application/json; format=pandas-records",
    }
    data_json = data if isinstance(data, list) else data.to_dict(orient="records")
    response = requests.request(method="POST", headers=headers, url=model_uri, json=data_json)
    if response.status_code != 200:
        raise Exception(f"Request failed with status {response.status_code}, {response.text}")  # noqa: TRY002
    return response.json()


FLOWER = [{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}]
