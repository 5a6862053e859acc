"""The history of a host: what is recorded, what is read back, and what failures do to it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from support.api import worker
from support.routes import an_entity, routes_of

from mlflow_serving_plugin.domain.routes import Routes
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import IN_FLIGHT
from mlflow_serving_plugin.metrics.history import History, HistoryReader, Range
from mlflow_serving_plugin.metrics.history_file import HistoryFile
from mlflow_serving_plugin.metrics.recorder import Recorder
from mlflow_serving_plugin.metrics.sample import Sample, load_sample, quantile_ms
from mlflow_serving_plugin.worker.counts import BATCH_ROWS, BATCH_ROWS_BOUNDS, WORKER_CPU, Counts, Histogram, key_of

BEGIN = 1_700_000_100
"""A multiple of five minutes."""


class Host:
    """A host whose clock stands still until it is told to tick."""

    def __init__(self, root: Path, max_bytes: int = 2**29) -> None:
        self.metrics_dir, self.path = root / "metrics", root / "history.db"
        self.max_bytes = max_bytes
        self.now = BEGIN
        self.metrics = Metrics(self.metrics_dir)
        self.recorder = self.lead()
        self.routes = routes_of(an_entity(1, workers=(worker(),)))
        self.reader = HistoryReader(self.path, lambda: self.now)

    def lead(self) -> Recorder:
        return Recorder(self.metrics_dir, self.path, self.max_bytes, clock=lambda: self.now)

    def serve(self, *statuses: int, took_s: float = 0.004, version: str = "1") -> None:
        for status in statuses:
            self.metrics.request("e1", version, status, took_s, 0.001)
        self.metrics.flush()

    def tick(self, seconds: int = 10) -> None:
        self.now += seconds
        self.recorder.record(self.routes)

    def read(self, step: int = 10, begin: int = BEGIN, end: int | None = None) -> History:
        end = self.now if end is None else end
        return self.reader.read("e1", Range(begin, -(-end // step) * step, step))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def requests(history: History, version: str = "1") -> list[int | None]:
    return [None if sample is None else sample.requests for sample in history.samples[version]]


def test_a_step_has_what_was_counted_in_it_by_status_and_duration(host: Host) -> None:
    host.serve(200, 200, 503)
    host.tick()
    host.tick()
    host.serve(429, took_s=0.2)
    host.tick()
    found = host.read()
    assert requests(found) == [3, 0, 1]
    first, _, last = found.samples["1"]
    assert (first.statuses, last.statuses) == ({200: 2, 503: 1}, {429: 1})
    assert first.replicas == 1
    assert 2.5 < quantile_ms(first.durations, 0.5) < 5
    assert 100 < quantile_ms(last.durations, 0.5) < 250


def test_several_processes_are_added_up_and_workers_tell_their_batches_and_processor_time(host: Host) -> None:
    other = Metrics(host.metrics_dir)
    counts = Counts(str(host.metrics_dir / "worker-w1.counts"))
    rows = Histogram(counts, key_of(BATCH_ROWS, "e1", "1"), BATCH_ROWS_BOUNDS)
    cpu = counts.allot(key_of(WORKER_CPU, "e1", "1"), 1)
    host.serve(200)
    other.request("e1", "1", 200, 0.1, 0)
    other.flush()
    rows.observe(5)
    rows.observe(7)
    counts.values[cpu] = 1.5
    counts.flush()
    host.tick()
    counts.values[cpu] = 2.0
    counts.flush()
    host.tick()
    first, second = host.read().samples["1"]
    assert (first.requests, first.calls, first.rows, first.cpu_s) == (2, 2, 12, 1.5)
    assert (second.requests, second.calls, second.cpu_s) == (0, 0, 0.5)


def test_gauges_stay_as_they_are_until_they_change_and_end_with_the_version(host: Host) -> None:
    host.metrics.gauge(IN_FLIGHT, lambda: {("e1", "1"): 3})
    host.serve(200)
    host.tick()
    host.tick()
    host.routes = Routes(written_ms=1)
    host.tick()
    host.tick()
    assert [sample.in_hand for sample in host.read().samples["1"]] == [3, 3, 0, 0]
    assert [sample.replicas for sample in host.read().samples["1"]] == [1, 1, 0, 0]
    with sqlite3.connect(host.path) as connection:
        assert connection.execute("SELECT count(*) FROM steps").fetchone() == (2,)
    connection.close()


def test_what_was_not_measured_is_unknown_and_a_new_version_is_unknown_before_it_came(host: Host) -> None:
    host.tick()
    host.routes = routes_of(an_entity(1, workers=(worker(),)), an_entity(2))
    host.tick(seconds=30)
    host.tick()
    found = host.read()
    assert found.measured == [True, False, False, True, True]
    assert requests(found) == [0, None, None, 0, 0]
    assert requests(found, "2") == [None, None, None, 0, 0]


def test_the_next_controller_adds_to_the_step_that_the_last_one_left(host: Host) -> None:
    host.tick()
    host.serve(200)
    host.now += 4
    host.recorder.close(host.routes)
    host.recorder = host.lead()
    host.serve(200, 200)
    host.tick(seconds=6)
    assert requests(host.read()) == [0, 3]


def test_counts_from_before_a_restart_are_not_counted_again(host: Host) -> None:
    host.serve(200, 200)
    host.tick()
    host.recorder = host.lead()
    host.serve(200)
    host.tick()
    assert requests(host.read()) == [2, 1]


def test_counts_of_a_process_that_ends_are_taken_before_its_file_goes(host: Host) -> None:
    host.serve(200)
    host.recorder.look()
    for path in host.metrics_dir.glob("web-*"):
        path.unlink()
    host.tick()
    assert requests(host.read()) == [1]


def test_five_minutes_have_the_sums_and_the_highest_and_keep_the_last(host: Host) -> None:
    for number in range(31):
        host.serve(200)
        host.routes = routes_of(an_entity(1, workers=(worker("a"), worker("b"))[: 2 if number < 9 else 1]))
        host.tick()
    with sqlite3.connect(host.path) as connection:
        connection.execute("DELETE FROM steps WHERE step = 10 AND time < ?", (BEGIN + 300,))
        connection.execute("DELETE FROM measured WHERE step = 10 AND time < ?", (BEGIN + 300,))
    connection.close()
    for _ in range(30):
        host.tick()
    found = host.read(step=300)
    assert requests(found)[:2] == [30, 1]
    assert [sample.replicas for sample in found.samples["1"] if sample][:2] == [2, 1]


def test_old_steps_are_removed_and_the_file_keeps_to_its_limit(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "history.db", max_bytes=300_000)
    versions = {("e1", str(number)): Sample(statuses={200: 1}) for number in range(500)}
    for number in range(40):
        file.write(BEGIN + number * 10, versions)
        file.tidy(BEGIN + number * 10 + 10)
    with sqlite3.connect(tmp_path / "history.db") as connection:
        first, last = connection.execute("SELECT min(time), max(time) FROM steps WHERE step = 10").fetchone()
        assert last == BEGIN + 390
        assert first > BEGIN
        file.tidy(BEGIN + 25 * 3600)
        assert connection.execute("SELECT count(*) FROM steps WHERE step = 10").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM steps WHERE step = 300").fetchone()[0] > 0
        file.tidy(BEGIN + 31 * 24 * 3600)
        assert connection.execute("SELECT count(*) FROM entities").fetchone() == (0,)
    connection.close()
    file.close()


@pytest.mark.parametrize("damage", ["text", "rows", "other format", "removed"])
def test_a_damaged_file_begins_anew_and_reading_it_shows_nothing(host: Host, damage: str) -> None:
    host.serve(200)
    host.tick()
    host.recorder.close(host.routes)
    if damage == "text":
        host.path.write_bytes(b"no database" * 1000)
    elif damage == "removed":
        host.path.unlink()
    else:
        with sqlite3.connect(host.path) as connection:
            connection.execute("UPDATE steps SET sample = 'x'" if damage == "rows" else "PRAGMA user_version=99")
        connection.close()
    assert damage == "other format" or host.read().samples == {}
    for _ in range(32):
        host.serve(200)
        host.tick()
    assert requests(host.read())[-1] == 1


def test_while_the_disk_is_full_nothing_is_known_and_afterwards_it_goes_on(host: Host) -> None:
    host.tick()
    host.serve(200)
    host.recorder._file._open().execute("PRAGMA max_page_count=1")
    host.routes = routes_of(*(an_entity(number) for number in range(1, 2000)))
    host.tick()
    host.recorder._file.close()
    host.serve(200)
    host.tick()
    assert requests(host.read()) == [0, None, 1]


def test_the_last_hour_is_told_of_an_endpoint_and_of_a_version(host: Host) -> None:
    host.serve(200, 500)
    host.serve(200, version="2")
    host.tick()
    lately = host.reader.hour().lately([("e1", "1")])
    assert (lately.requests_per_second, lately.error_share) == (0.2, 0.5)
    assert 2.5 < lately.p95_ms < 5
    assert [count for count in lately.spark if count is not None] == [2]
    both = host.reader.hour().lately([("e1", "1"), ("e1", "2")])
    assert (sum(filter(None, both.spark)), both.requests_per_second) == (3, 0.3)
    host.tick(seconds=600)
    quiet = host.reader.hour().lately([("e1", "1")])
    assert (quiet.requests_per_second, quiet.p95_ms, quiet.error_share) == (0.0, None, None)


def test_without_a_history_nothing_is_written(tmp_path: Path) -> None:
    host = Host(tmp_path, max_bytes=0)
    host.serve(200)
    host.tick()
    host.recorder.close(host.routes)
    assert not host.path.exists()
    assert host.read().samples == {}
    assert host.reader.hour().lately([("e1", "1")]).spark == [None] * 30


def test_a_sample_survives_being_written() -> None:
    sample = Sample({200: 3}, {2: 3}, {1: 1}, 2, 9, 0.25, 1, 2, 3)
    sample.add(replace(sample, in_hand=0, statuses={}))
    assert load_sample(sample.dump()) == sample


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [({}, 0.5, None), ({0: 10}, 0.5, 0.5), ({1: 10}, 1, 2.5), ({0: 5, 2: 5}, 0.75, 3.75), ({15: 1}, 0.5, 60000)],
)
def test_a_quantile_lies_evenly_within_its_bucket(buckets: dict, share: float, expected: float | None) -> None:
    assert quantile_ms(buckets, share) == expected
