"""``/serving/diagnosis``: for admins alone, with what the request looked like when the request arrived."""

from dataclasses import replace

from mlflow_serving_plugin.api.app import create_api
from mlflow_serving_plugin.diagnosis.base import OK, Finding

PATH = "/serving/diagnosis"
FOUND = Finding("database", "connection", OK, "sqlite", "")


def test_an_admin_gets_the_findings_and_how_the_request_arrived(world):
    world.access.admins = {None}
    client = create_api(replace(world.deps, diagnose=lambda: [FOUND])).test_client()
    headers = {"Host": "mlflow.example.org", "X-Forwarded-Proto": "https"}
    answer = client.get(PATH, headers=headers).get_json()
    assert answer["checks"] == [FOUND._asdict()]
    assert answer["arrived"]["host"] == "mlflow.example.org"
    assert answer["arrived"]["x_forwarded_proto"] == "https"
    assert answer["arrived"]["x_forwarded_for"] is None


def test_others_are_refused_before_anything_is_looked_at(world):
    world.access.admins = set()
    looked = []
    client = create_api(replace(world.deps, diagnose=lambda: looked.append(1) or [])).test_client()
    assert client.get(PATH).status_code == 403
    assert looked == []
