"""``list-requests`` and ``get-request``: what was asked and answered, for who may manage the model."""

from __future__ import annotations

import time

import pytest
from support.api import version

from mlflow_serving_plugin.access.base import Permission
from mlflow_serving_plugin.domain.request_log import LogRoots
from mlflow_serving_plugin.request_log.record import Record, dump
from mlflow_serving_plugin.request_log.segments import Label, Segment
from mlflow_serving_plugin.request_log.writer import Writer

BASE = "/api/2.0/mlflow/endpoints-v2"
ANN = {"Authorization": "Basic ann"}


@pytest.fixture
def logged(world, call):
    """Five requests of two versions; the call of a route."""
    world.enable()
    world.publish(version(1), version(2))
    assert call("PUT", "update-compute-config", registered_model_name="iris", config={"request_log": {"enabled": True}})
    place = LogRoots.of("", str(world.paths.request_logs)).place_of("", "default", "iris", serving=False)
    directory = world.paths.request_log_segments
    directory.mkdir()
    segment = Segment(directory, Label("id-iris", place, "parquet", (), 30.0, 2**30))
    now_us = int(time.time()) * 1_000_000
    for number in range(5):
        status, entity = 200 + 300 * (number % 2), str(1 + number % 2)
        bodies = b'{"inputs": [1]}', b'{"predictions": [0]}'
        times = now_us + number * 1000, number * 10
        record = Record(f"r{number}", *times, status, 1.0, entity, "ann", *bodies)
        segment.append([dump(record)])
    segment.close()
    assert Writer(directory, lambda *_: None).run_once() == 0
    return lambda route, **fields: call("GET", route, base=BASE, registered_model_name="iris", **fields)


def ids(reply) -> list[str]:
    return [one["request_id"] for one in reply[1]["requests"]]


def test_requests_are_listed_without_bodies_newest_first_by_pages(logged) -> None:
    status, reply = logged("list-requests", max_results=2)
    assert (status, reply["enabled"]) == (200, True)
    first = reply["requests"][0]
    assert {**first, "request_time": 0} == {
        "request_id": "r4",
        "client_request_id": None,
        "request_time": 0,
        "status_code": 200,
        "execution_duration_ms": 40,
        "endpoint_version_name": "1",
        "requester": "ann",
    }
    assert abs(first["request_time"] / 1000 - time.time()) < 600
    second = logged("list-requests", max_results=2, page_token=reply["next_page_token"])
    last = logged("list-requests", max_results=2, page_token=second[1]["next_page_token"])
    assert (ids(second), ids(last), "next_page_token" in last[1]) == (["r2", "r1"], ["r0"], False)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"status": "5xx"}, ["r3", "r1"]),
        ({"status": "200", "min_ms": 20}, ["r4", "r2"]),
        ({"endpoint_version_name": 2}, ["r3", "r1"]),
        ({"to": 1000}, []),
        ({"from": 1000, "max_results": 1}, ["r4"]),
    ],
)
def test_requests_are_filtered_by_status_version_time_and_duration(logged, fields, found) -> None:
    assert ids(logged("list-requests", **fields)) == found


def test_one_request_has_its_bodies(logged) -> None:
    status, reply = logged("get-request", request_id="r3")
    assert (status, reply["request"], reply["response"]) == (200, '{"inputs": [1]}', '{"predictions": [0]}')
    assert reply["logging_error_codes"] == []
    again = logged("get-request", request_id="r3", request_time=reply["request_time"])
    assert again == (200, reply)
    assert logged("get-request", request_id="r3", request_time=1)[0] == 404
    assert logged("get-request", request_id="r9")[0] == 404
    assert logged("list-requests", status="6xx")[0] == logged("list-requests", page_token="x")[0] == 400


def test_who_may_only_read_a_model_sees_charts_and_no_request(world, logged) -> None:
    world.access.users = {"Basic ann": "ann"}
    world.access.permissions = {("ann", "iris"): Permission.READ}
    assert logged("get-history", headers=ANN)[0] == 200
    assert logged("list-requests", headers=ANN)[0] == 403
    assert logged("get-request", headers=ANN, request_id="r1")[0] == 403
    world.access.permissions = {("ann", "iris"): Permission.MANAGE}
    assert logged("list-requests", headers=ANN)[0] == 200


def test_a_log_that_cannot_be_read_is_told_without_its_place(world, logged) -> None:
    (day,) = (world.paths.request_logs / "default" / "iris").iterdir()
    (file,) = day.iterdir()
    file.write_bytes(b"torn")
    status, reply = logged("list-requests")
    assert (status, str(world.paths.root) in reply["message"]) == (503, False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"location": "/etc"}, "MLFLOW_SERVING_REQUEST_LOG_ROOTS"),
        ({"location": "s3://a?b"}, "without ?"),
        ({"location": "s3://a\n"}, "without ?"),
        ({"location": "s3://key:secret@bucket/logs"}, "without @"),
        ({"location": "abfss://logs:secret@account.dfs.core.windows.net"}, "without @"),
        ({"location": "abfss://logs@account.dfs.core.windows.net"}, "MLFLOW_SERVING_REQUEST_LOG_ROOTS"),
        ({"sampling_fraction": 2}, "a number from 0 to 1"),
        ({"max_payload_bytes": -1}, "a whole number from 0"),
        ({"enabled": "yes"}, "true or false"),
        ({"redact": "name"}, "a list of names"),
        ({"nosuch": 1}, "must be an object of enabled"),
        ({"format": "csv"}, "one of parquet, delta"),
    ],
)
def test_a_configuration_that_makes_no_sense_names_the_key(world, call, given, message) -> None:
    world.enable()
    fields = {"registered_model_name": "iris", "config": {"request_log": given}}
    status, reply = call("PUT", "update-compute-config", **fields)
    assert (status, message in reply["message"]) == (400, True), reply


def test_keys_of_the_log_are_merged_and_null_resets_one(world, call) -> None:
    world.enable()

    def configure(given) -> dict:
        return call("PUT", "update-compute-config", registered_model_name="iris", config={"request_log": given})[1]

    configure({"enabled": True, "redact": ["name"]})
    assert configure({"enabled": False})["config"]["request_log"] == {"enabled": False, "redact": ["name"]}
    assert configure({"redact": None})["config"]["request_log"] == {"enabled": False}


def test_drift_is_told_by_column_beside_the_input_example(world, logged, tmp_path) -> None:
    status, reply = logged("get-drift", endpoint_version_name=1)
    (column,) = reply["columns"]
    assert (status, reply["enabled"], reply["rows"], reply["baseline"]) == (200, True, 3, None)
    assert (column["name"], column["minimum"], column["baseline_shares"]) == ("0", 1, None)
    (tmp_path / "MLmodel").write_text("saved_input_example_info: {artifact_path: e.json, type: ndarray}")
    (tmp_path / "e.json").write_text('{"inputs": [1, 2]}')
    world.publish(version(1, model_dir=str(tmp_path)), version(2))
    reply = logged("get-drift", endpoint_version_name=1)[1]
    assert (reply["baseline"], reply["columns"][0]["baseline_maximum"]) == ("input_example", 2)
    # Version 2 has only failed.
    nothing = {"enabled": True, "rows": 0, "baseline": None, "columns": []}
    assert logged("get-drift", endpoint_version_name=2) == (200, nothing)
    assert logged("get-drift", endpoint_version_name=1, to=1000) == (200, nothing)
    assert logged("get-drift")[0] == logged("get-drift", endpoint_version_name=1, **{"from": 9, "to": 9})[0] == 400
    world.access.users = {"Basic ann": "ann"}
    world.access.permissions = {("ann", "iris"): Permission.READ}
    assert logged("get-drift", headers=ANN, endpoint_version_name=1)[0] == 403
