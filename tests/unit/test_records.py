"""Worker records: found again after an upgrade, whatever another version wrote into them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mlflow_serving_plugin.backends.records import WorkerRecord, read_records, write_record
from mlflow_serving_plugin.domain.entity import EntityKey

RECORD = WorkerRecord(
    worker_id="3f2a",
    key=EntityKey("e1", "7"),
    fingerprint="0123456789abcdef",
    pid=4711,
    stamp="99 boot",
    protocol="frames",
    address="/s/3f2a.sock",
    log="/logs/e1/7.log",
    started_ms=1000,
    ready_since_ms=2000,
    scored_example=False,
)

WRITTEN_BY_1_0 = {
    "worker_id": "3f2a",
    "endpoint_id": "e1",
    "version": 7,
    "fingerprint": "0123456789abcdef",
    "pid": 4711,
    "stamp": "99 boot",
    "protocol": "frames",
    "address": "/s/3f2a.sock",
    "log": "/logs/e1/7.log",
    "started_ms": 1000,
    "ready_since_ms": 2000,
    "scored_example": False,
}


def test_a_record_comes_back_as_it_was_written(tmp_path):
    record = replace(RECORD, token_id="t1", node="n1")
    write_record(tmp_path, record)
    assert read_records(tmp_path) == [record]


@pytest.mark.parametrize("more", [{}, {"host": "b", "anything": [1]}], ids=["as is", "with unknown keys"])
def test_a_record_of_another_version_of_the_package_is_read(tmp_path, more):
    (tmp_path / "3f2a.json").write_text(json.dumps(WRITTEN_BY_1_0 | more))
    assert read_records(tmp_path) == [RECORD]


@pytest.mark.parametrize("missing", ["pid", "endpoint_id", "address"])
def test_a_record_without_what_finds_the_worker_is_set_aside(tmp_path, missing):
    (tmp_path / "3f2a.json").write_text(json.dumps({k: v for k, v in WRITTEN_BY_1_0.items() if k != missing}))
    assert read_records(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["3f2a.damaged"]
