"""The request log of a real server with several web workers: each request once, within a minute."""

from __future__ import annotations

from support import eventually
from support.models import Models
from support.server import TrackingServer

IRIS = {"registered_model_name": "iris"}


def test_every_request_of_all_web_workers_is_in_the_log_within_a_minute(plain: TrackingServer, models: Models) -> None:
    row = {"dataframe_records": models.iris.head(1).to_dict(orient="records")}
    plain.api("PUT", "update-compute-config", **IRIS, config={"request_log": {"enabled": True}})
    try:
        eventually(lambda: plain.score("iris/1", row).ok and listed(plain), within_s=60, tail=plain.tail)
        before = {one["request_id"] for one in listed(plain)}
        sent = {plain.score("iris/1", row).headers["X-Request-Id"] for _ in range(30)}
        eventually(lambda: sent <= {one["request_id"] for one in listed(plain)}, within_s=60, tail=plain.tail)
        assert len(listed(plain)) >= len(sent | before)
        one = plain.api("GET", "get-request", **IRIS, request_id=sent.pop())
        assert (one["status_code"], one["logging_error_codes"]) == (200, [])
        assert "sepal" in one["request"]
        assert "predictions" in one["response"]
        drift = plain.api("GET", "get-drift", **IRIS, endpoint_version_name="1")
        assert drift["rows"] >= 31
        assert {column["name"] for column in drift["columns"]} == set(models.iris.columns)
    finally:
        plain.api("PUT", "update-compute-config", **IRIS, config={"request_log": None})


def listed(server: TrackingServer) -> list[dict]:
    return server.api("GET", "list-requests", **IRIS, max_results=1000)["requests"]
