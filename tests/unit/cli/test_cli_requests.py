import json
import time

import pytest
from support.api import version

from mlflow_serving_plugin.request_log.record import Record, dump
from mlflow_serving_plugin.request_log.segments import Label, Segment
from mlflow_serving_plugin.request_log.writer import Writer


@pytest.fixture
def logged(world):
    world.enable()
    world.publish(version(1))
    directory, place = world.paths.request_log_segments, str(world.paths.request_logs / "default" / "iris")
    directory.mkdir()
    segment = Segment(directory, Label("id-iris", place, "parquet", (), 30.0, 2**30))
    now_us = int(time.time() * 1e6)
    for number, status in enumerate((200, 503, 200)):
        response = None if status == 503 else b'{"predictions": [0]}'
        codes = ("MAX_RESPONSE_SIZE_EXCEEDED",) if response is None else ()
        record = Record(f"r{number}", now_us + number, 12, status, 1.0, "1", "ann", b'{"inputs": [1]}', response, codes)
        segment.append([dump(record)])
    segment.close()
    Writer(directory, lambda *_: None).run_once()


def test_tail_shows_the_last_requests_the_newest_at_the_end(run, logged):
    lines = run("requests", "tail", "iris", "--limit", "2").stdout.splitlines()
    assert [line.split()[2:] for line in lines] == [
        ["503", "12", "ms", "1", "r1", "ann"],
        ["200", "12", "ms", "1", "r2", "ann"],
    ]
    found = json.loads(run("requests", "tail", "iris", "--status", "5xx", "--json").stdout)
    assert [one["request_id"] for one in found["requests"]] == ["r1"]


def test_tail_and_export_say_how_to_turn_the_log_on(run, world):
    world.enable()
    assert "request_log.enabled=true" in run("requests", "tail", "iris").stderr
    assert "request_log.enabled=true" in run("requests", "export", "iris").stderr


def test_tail_says_so_when_no_request_of_the_log_is_meant(run, logged):
    run("enable", "iris", "--config", "request_log.enabled=true")
    result = run("requests", "tail", "iris", "--min-ms", "99999")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No such request" in result.stderr


def test_a_name_that_only_a_serving_endpoint_has_is_taken_for_that_endpoint(run, world):
    world.registry.add("iris", 1, created_ms=1000)
    created = run("endpoints", "create", "flowers", "--entity", "one=iris/1")
    assert created.exit_code == 0, created.output
    assert "request_log.enabled=true" in run("requests", "tail", "flowers").stderr
    assert "no serving endpoint" not in run("requests", "tail", "flowers").output
    assert "rose" in run("requests", "tail", "rose").stderr


def test_show_prints_both_bodies_or_why_one_is_missing(run, logged):
    out = run("requests", "show", "iris", "r1").stdout
    assert '{"inputs": [1]}' in out
    assert "MAX_RESPONSE_SIZE_EXCEEDED" in out
    assert run("requests", "show", "iris", "r9").exit_code == 1


def test_export_writes_a_line_of_json_a_request(run, logged, tmp_path):
    result = run("requests", "export", "iris", "--status", "200", "-o", str(tmp_path / "out.jsonl"))
    assert (result.exit_code, result.stderr) == (0, "2 requests were written.\n")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(line["request_id"], line["response"]) for line in lines] == [
        ("r2", '{"predictions": [0]}'),
        ("r0", '{"predictions": [0]}'),
    ]


def test_one_key_of_the_log_can_be_set(run, world):
    run("enable", "iris", "--config", "request_log.enabled=true", "--config", 'request_log.redact=["name"]')
    assert world.store.find("default", "iris").config.request_log == {"enabled": True, "redact": ["name"]}


def test_drift_is_a_line_for_each_column(run, logged):
    lines = run("requests", "drift", "iris").stdout.splitlines()
    assert lines[0].startswith("2 rows, beside nothing")
    assert lines[-1].split()[:3] == ["0", "number", "0.0%"]
    assert json.loads(run("requests", "drift", "iris", "--version", "1", "--json").stdout)["rows"] == 2
    assert "No requests are logged" in run("requests", "drift", "iris", "--version", "2").stderr
    run("enable", "iris", "--config", "request_log.enabled=true")
    assert "No table" in run("requests", "drift", "iris", "--version", "2").stderr
