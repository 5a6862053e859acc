"""What is the same on every path of the control APIs: CORS, the health check's host, and APIs that are not there."""

from __future__ import annotations

import pytest
from support.api import ApiWorld

from mlflow_serving_plugin.access.forgery import BrowserRules

APP = "http://app.example:3000"
PREFLIGHT = {"Origin": APP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
RULES = BrowserRules(
    allowed_host=lambda host: host == "localhost", allowed_origin=lambda origin: origin == APP, bearer_exempt=False
)
LIST = "/api/2.0/mlflow/endpoints/list"


@pytest.fixture(params=["", "/tracking"])
def guarded(request, tmp_path):
    """With MLflow's own middleware, which would let pages on localhost read answers."""
    from flask_cors import CORS

    def secure(app):
        CORS(app, origins=[r"http://localhost:[0-9]+", APP], supports_credentials=True)
        app.before_request(lambda: None)

    made = ApiWorld(tmp_path / "state", static_prefix=request.param, secure=secure, rules=RULES)
    yield made.client, request.param
    made.close()


@pytest.mark.parametrize("path", [LIST, "/api/2.0/mlflow/endpoints/nothing", "/serving/health"])
def test_an_allowed_page_may_ask_and_read_every_answer(guarded, path):
    client, prefix = guarded
    asked = client.options(prefix + path, headers=PREFLIGHT)
    assert asked.status_code in {200, 204}
    assert asked.headers["Access-Control-Allow-Headers"] == "content-type"
    answered = client.get(prefix + path, headers={"Origin": APP})
    assert answered.headers.getlist("Access-Control-Allow-Origin") == [APP]
    assert "X-Request-Id" in answered.headers["Access-Control-Expose-Headers"]
    assert answered.headers.getlist("Vary") == ["Origin"]


def test_a_page_on_the_visitor_s_own_machine_has_to_be_allowed_by_name(guarded):
    client, prefix = guarded
    answered = client.get(prefix + LIST, headers={"Origin": "http://localhost:3000"})
    assert [name for name, _ in answered.headers if name.startswith("Access-Control")] == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_answers_a_load_balancer_under_any_host_and_no_other_path_does(guarded, method):
    client, prefix = guarded
    host = {"Host": "10.0.3.7:5000"}
    # 503: there is no controller here.
    assert client.open(f"{prefix}/serving/health", method=method, headers=host).status_code == 503
    for path in ("/serving/metrics", "/serving/health/more", LIST, "/v2/health/live"):
        assert client.open(prefix + path, method=method, headers=host).status_code == 403
