import os
import time
from dataclasses import replace

import pytest
from support.api import version, worker

from mlflow_serving_plugin.api import logs as log_pieces
from mlflow_serving_plugin.api.logs import read_log
from mlflow_serving_plugin.backends.isolation import levels
from mlflow_serving_plugin.domain.states import EntityState


def logs(call, **fields):
    return call("GET", "get-version-logs", registered_model_name="iris", endpoint_version_name="1", **fields)


@pytest.fixture
def served(world):
    world.enable()
    world.publish(version(1, workers=[worker("w1")]))
    return world


def test_a_log_is_followed_by_its_offset(served, call):
    path = served.write_log("iris", 1, b"one\n")
    assert logs(call) == (200, {"logs": "one\n", "offset": 0, "next_offset": 4, "total_bytes": 4})
    with path.open("ab") as file:
        file.write(b"two\n")
    assert logs(call, offset=4) == (200, {"logs": "two\n", "offset": 4, "next_offset": 8, "total_bytes": 8})
    assert logs(call, offset=8) == (200, {"logs": "", "offset": 8, "next_offset": 8, "total_bytes": 8})


def test_an_offset_beyond_the_end_starts_the_rotated_log_again(served, call):
    served.write_log("iris", 1, b"new\n")
    assert logs(call, offset=1000) == (200, {"logs": "new\n", "offset": 0, "next_offset": 4, "total_bytes": 4})


@pytest.mark.parametrize("offset", ["-1", "x", "1.5", "9" * 40])
def test_a_bad_offset_is_400(served, call, offset):
    status, body = logs(call, offset=offset)
    assert (status, body["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "offset" in body["message"]


def test_no_log_yet_is_empty(served, call):
    nothing = {"logs": "", "offset": 0, "next_offset": 0, "total_bytes": 0}
    assert logs(call) == (200, nothing)
    fields = {"registered_model_name": "iris", "endpoint_version_name": "1"}
    assert call("GET", "get-version-build-logs", **fields) == (200, nothing)


def test_the_build_log_is_that_of_the_version_s_environment(served, call, tmp_path):
    log = tmp_path / "0123.log"
    log.write_bytes(b"Resolved 3 packages\n")
    served.publish(replace(version(1), build_log=str(log)))
    fields = {"registered_model_name": "iris", "endpoint_version_name": "1"}
    whole = {"logs": "Resolved 3 packages\n", "offset": 0, "next_offset": 20, "total_bytes": 20}
    assert call("POST", "get-version-build-logs", **fields) == (200, whole)
    log.write_bytes(b"Resolved 3 packages\nDone\n")
    assert call("POST", "get-version-build-logs", **fields, offset=20)[1]["logs"] == "Done\n"


def test_a_version_in_the_server_s_own_environment_says_so_instead_of_a_build_log(served, call):
    served.publish(replace(version(1), environment="the server's own, Python 3.11.7; it has all"))
    fields = {"registered_model_name": "iris", "endpoint_version_name": "1"}
    logs = call("POST", "get-version-build-logs", **fields)[1]["logs"]
    assert logs == "No environment was built: the version runs in the server's own, Python 3.11.7; it has all.\n"


def test_a_replica_is_a_worker(served, call):
    served.write_log("iris", 1, b"x")
    assert logs(call, replica_id="w1")[1]["logs"] == "x"
    assert logs(call, replica_id="nosuch")[0] == 404


def test_without_an_offset_only_the_end_is_read_and_the_reply_says_what_is_left_out(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"a" * 300_000 + b"end")
    piece = read_log(path, None)
    assert (len(piece.logs), piece.next_offset, piece.total_bytes) == (log_pieces.TAIL_BYTES, 300_003, 300_003)
    assert piece.offset == 300_003 - log_pieces.TAIL_BYTES
    assert piece.logs.endswith("end")


def test_the_end_of_a_log_begins_with_a_whole_line(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"first line\nsecond\nthird\n")
    piece = read_log(path, None, tail_bytes=15)
    assert (piece.logs, piece.offset) == ("second\nthird\n", 11)
    assert read_log(path, None, tail_bytes=4).logs == "ird\n"


def test_one_call_reads_a_megabyte_at_most(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"b" * (log_pieces.LONGEST_READ_BYTES + 5))
    piece = read_log(path, 0)
    assert (len(piece.logs), piece.next_offset) == (log_pieces.LONGEST_READ_BYTES, log_pieces.LONGEST_READ_BYTES)
    assert piece.total_bytes == log_pieces.LONGEST_READ_BYTES + 5
    rest = read_log(path, piece.next_offset)
    assert (rest.logs, rest.next_offset) == ("bbbbb", piece.next_offset + 5)


def test_pieces_never_split_a_character_and_bad_bytes_are_replaced(tmp_path, monkeypatch):
    path = tmp_path / "log"
    content = "zwölf €uro ✓ 🎉" * 20
    path.write_bytes(content.encode())
    monkeypatch.setattr(log_pieces, "LONGEST_READ_BYTES", 7)
    pieces, offset = [], 0
    while offset < path.stat().st_size:
        piece = read_log(path, offset)
        offset = piece.next_offset
        pieces.append(piece.logs)
    assert "".join(pieces) == content
    path.write_bytes(b"ok\xff")
    assert (read_log(path, 0).logs, read_log(path, 0).next_offset) == ("ok\ufffd", 3)
    path.write_bytes("€€".encode())
    assert (read_log(path, None, tail_bytes=4).logs, read_log(path, None, tail_bytes=4).next_offset) == ("€", 6)


def test_events_come_in_pages_and_by_version(world, call):
    world.enable()
    for entity, moment in (("1", 20), ("2", 30)):
        world.add_event(moment, entity, f"at {moment}")
    status, body = call("GET", "get-event-history", registered_model_name="iris", max_results=2)
    assert status == 200
    assert body["events"][0] == {
        "timestamp": 30,
        "event_type": "VERSION_READY",
        "endpoint_version_name": "2",
        "message": "at 30",
        "hosts": [],
    }
    _, rest = call("GET", "get-event-history", registered_model_name="iris", page_token=body["next_page_token"])
    assert [e["endpoint_version_name"] for e in rest["events"]] == [None]
    assert "next_page_token" not in rest
    _, body = call("GET", "get-event-history", registered_model_name="iris", endpoint_version_name="1")
    assert [e["timestamp"] for e in body["events"]] == [20]


@pytest.mark.parametrize("fields", [{"page_token": "x"}, {"max_results": 0}, {"max_results": "1001"}])
def test_bad_paging_is_400(world, call, fields):
    world.enable()
    assert call("GET", "get-event-history", registered_model_name="iris", **fields)[0] == 400


def test_health_is_200_while_the_controller_ticks(world):
    world.publish(version(1, workers=[worker(), worker("w2", ready=False)]), version(2, EntityState.FAILED))
    world.paths.lease.touch()
    response = world.client.get("/serving/health")
    assert response.status_code == 200
    body = response.get_json()
    assert body["controller"]["alive"] is True
    assert body["controller"]["last_tick_age_s"] < 10
    assert body["endpoints"] == {"DEGRADED": 1}
    assert body["versions"] == {"READY": 1, "FAILED": 1}
    assert body["workers"] == {"ready": 1, "starting": 1}
    assert body["sandbox"] == str(levels())


def test_health_counts_workers_that_drain_apart_from_workers_that_start(world):
    world.publish(version(1), version(2, EntityState.DRAINING, workers=[worker(ready=False)]))
    assert world.client.get("/serving/health").get_json()["workers"] == {"draining": 1}


def test_health_is_503_when_it_stopped_or_never_began(world):
    assert world.client.get("/serving/health").status_code == 503
    world.paths.lease.touch()
    old = time.time() - 11
    os.utime(world.paths.lease, (old, old))
    response = world.client.get("/serving/health")
    assert response.status_code == 503
    assert response.get_json()["status"] == "unavailable"
