"""Metrics of several processes: summed, merged once a process has ended, and never in the way of serving."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import eventually

from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import IN_FLIGHT, REQUEST_SECONDS, REQUESTS, RESTARTS
from mlflow_serving_plugin.metrics.files import _owner_has_ended, merge_ended, read_totals
from mlflow_serving_plugin.worker.counts import BATCH_ROWS, BATCH_ROWS_BOUNDS, Counts, Histogram, key_of

ONE, TWO = (REQUESTS, "e1", "1", 200), (REQUESTS, "e2", "1", 200)


def everything(_: object) -> bool:
    return True


class Process:
    """Another process that counts requests of ``e1``: as many as it is told to, one of them still in flight."""

    def __init__(self, directory: Path) -> None:
        program = f"""
            import sys
            from pathlib import Path
            from mlflow_serving_plugin.metrics.families import IN_FLIGHT
            from mlflow_serving_plugin.metrics.counting import Metrics
            metrics = Metrics(Path({str(directory)!r}))
            metrics.gauge(IN_FLIGHT, lambda: {{("e1", 1): 1}})
            for line in sys.stdin:
                for _ in range(int(line)):
                    metrics.request("e1", 1, 200, 0.004, 0.001)
                metrics.flush()
                print("counted", flush=True)
        """
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def count(self, requests: int) -> None:
        self._process.stdin.write(f"{requests}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "counted\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def three(tmp_path: Path):
    processes = [Process(tmp_path) for _ in range(3)]
    for number, process in enumerate(processes):
        process.count(10**number)
    yield processes
    for process in processes:
        process.kill()


def test_all_processes_are_summed(tmp_path: Path, three: list[Process]) -> None:
    totals = read_totals(tmp_path)
    assert totals[ONE] == [111]
    assert totals[IN_FLIGHT, "e1", "1"] == [3]
    *buckets, total = totals[REQUEST_SECONDS, "e1", "1"]
    assert sum(buckets) == buckets[2] == 111
    assert total == pytest.approx(111 * 0.004)


def test_a_killed_process_keeps_its_counts_and_nothing_in_flight(tmp_path: Path, three: list[Process]) -> None:
    three[1].kill()
    for _ in range(2):
        totals = read_totals(tmp_path)
        assert totals[ONE] == [111]
        assert totals[IN_FLIGHT, "e1", "1"] == [2]
        merge_ended(tmp_path, everything)
    assert len(list(tmp_path.glob("*.counts"))) == 2
    three[2].kill()
    three[0].count(1000)
    merge_ended(tmp_path, everything)
    assert read_totals(tmp_path)[ONE] == [1111]
    three[0].kill()
    merge_ended(tmp_path, everything)
    assert list(tmp_path.glob("*.counts")) == []
    totals = read_totals(tmp_path)
    assert totals[ONE] == [1111]
    assert (IN_FLIGHT, "e1", 1) not in totals


def test_a_file_that_was_merged_but_not_removed_is_not_counted_twice(tmp_path: Path, three: list[Process]) -> None:
    """As when the controller is killed between the two."""
    three[2].kill()
    (path,) = filter(_owner_has_ended, tmp_path.glob("*.counts"))
    kept = path.read_bytes()
    merge_ended(tmp_path, everything)
    path.write_bytes(kept)
    assert read_totals(tmp_path)[ONE] == [111]
    merge_ended(tmp_path, everything)
    assert not path.exists()
    assert read_totals(tmp_path)[ONE] == [111]


def test_what_is_not_wanted_any_more_is_dropped_when_it_is_merged(tmp_path: Path) -> None:
    _of_an_ended_process(tmp_path, {ONE: 3, TWO: 4})
    assert read_totals(tmp_path)[TWO] == [4]
    merge_ended(tmp_path, lambda series: series != TWO)
    assert read_totals(tmp_path) == {ONE: [3]}
    merge_ended(tmp_path, lambda _: False)
    assert read_totals(tmp_path) == {}


def test_what_a_new_process_left_half_made_is_removed(tmp_path: Path) -> None:
    (tmp_path / "web-1-a.counts.tmp").write_bytes(b"")
    merge_ended(tmp_path, everything)
    assert list(tmp_path.glob("*.tmp")) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"taken_in": [], "series": [[["requests"], ["x"]]]}', b"null"])
def test_damaged_merged_metrics_begin_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "merged.json").write_bytes(content)
    _of_an_ended_process(tmp_path, {ONE: 3})
    assert read_totals(tmp_path) == {ONE: [3]}
    merge_ended(tmp_path, everything)
    assert json.loads((tmp_path / "merged.json").read_bytes())["series"] == [[list(ONE), [3.0]]]


def test_of_a_model_worker_only_its_batches_are_believed(tmp_path: Path) -> None:
    """Its process runs somebody else's code, which can write anything into the file."""
    counts = Counts(str(tmp_path / "worker-w1.counts"))
    Histogram(counts, key_of(BATCH_ROWS, "e1", "1"), BATCH_ROWS_BOUNDS).observe(3)
    counts.values[counts.allot(key_of(*ONE), 1)] = 1000
    counts.values[counts.allot(key_of(BATCH_ROWS, "e1", "2"), 1)] = 1
    bad = counts.allot(key_of(BATCH_ROWS, "e1", "3"), len(BATCH_ROWS_BOUNDS) + 2)
    counts.values[bad] = float("nan")
    for key in ('["requests"', "17", '["nosuch","e1"]', '[["requests"],1,2,3]', '["batch_rows",{},1]'):
        counts.allot(key, 1)
    counts.flush()
    os.mkfifo(tmp_path / "worker-w2.counts")
    (tmp_path / "worker-w3.counts").symlink_to("/dev/zero")
    (tmp_path / "worker-w4.counts").mkdir()
    assert read_totals(tmp_path) == {(BATCH_ROWS, "e1", "1"): [0, 0, 1, *[0] * (len(BATCH_ROWS_BOUNDS) - 2), 3]}
    assert read_totals(tmp_path, workers=False) == {}


def test_a_forked_child_counts_for_itself(tmp_path: Path) -> None:
    """gunicorn --preload makes the app in its master."""
    metrics = Metrics(tmp_path)
    metrics.request(*ONE[1:], 0.1, 0.0)
    assert metrics.flush()
    child = os.fork()
    if child == 0:
        metrics.request(*ONE[1:], 0.1, 0.0)
        metrics.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    metrics.request(*ONE[1:], 0.1, 0.0)
    assert metrics.flush()
    assert read_totals(tmp_path)[ONE] == [3]
    assert len(list(tmp_path.glob("*.counts"))) == 2
    merge_ended(tmp_path, everything)
    assert read_totals(tmp_path)[ONE] == [3]
    assert len(list(tmp_path.glob("*.counts"))) == 1


def test_counts_are_written_by_themselves(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    for expected in (1, 2):
        metrics.count(RESTARTS, "e1", "1")
        eventually(lambda expected=expected: read_totals(tmp_path).get((RESTARTS, "e1", "1")) == [expected])


def test_where_nothing_can_be_written_counting_goes_on_is_told_once_and_recovers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "metrics"
    directory.write_text("a file where the directory should be")
    metrics = Metrics(directory)
    for _ in range(3):
        metrics.request(*ONE[1:], 0.1, 0.0)
        assert not metrics.flush()
    assert caplog.text.count("Metrics cannot be written") == 1
    assert read_totals(directory) == {}
    directory.unlink()
    eventually(lambda: read_totals(directory).get(ONE) == [3])


def test_where_no_thread_can_be_had_requests_are_counted_and_a_later_one_gets_them_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    metrics = Metrics(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        metrics.request(*ONE[1:], 0.1, 0.0)
    metrics.request(*ONE[1:], 0.1, 0.0)
    eventually(lambda: read_totals(tmp_path).get(ONE) == [2])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    point = tmp_path / "disk"
    point.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", point], check=False, capture_output=True)
    if made.returncode != 0:
        pytest.skip("this user may not mount a file system")
    yield point
    # Lazily: metrics hold their file for as long as their process lives.
    subprocess.run(["umount", "-l", point], check=True)


def test_on_a_full_disk_nothing_is_lost_and_nobody_is_killed(small_disk: Path) -> None:
    _of_an_ended_process(small_disk, {TWO: 4})
    metrics = Metrics(small_disk)
    metrics.request(*ONE[1:], 0.1, 0.0)
    assert metrics.flush()
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    for number in range(100):
        metrics.request(f"more-{number}", 1, 200, 0.1, 0.0)
    metrics.request(*ONE[1:], 0.1, 0.0)
    assert not metrics.flush()
    with pytest.raises(OSError, match="No space left"):
        merge_ended(small_disk, everything)
    assert read_totals(small_disk)[TWO] == [4]
    filler.unlink()
    eventually(lambda: read_totals(small_disk).get((REQUESTS, "more-99", "1", 200)) == [1])
    merge_ended(small_disk, everything)
    totals = read_totals(small_disk)
    assert (totals[ONE], totals[TWO]) == ([2], [4])
    assert len(list(small_disk.glob("*.counts"))) == 1
    assert list(small_disk.glob("*.tmp")) == []


def _of_an_ended_process(directory: Path, requests: dict[tuple, int]) -> None:
    counts = Counts(str(directory / "web-1-a.counts"))
    for series, number in requests.items():
        counts.values[counts.allot(key_of(*series), 1)] = number
    counts.flush()
    counts.close()
