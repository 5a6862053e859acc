"""The counts of calls that web workers share: exact over processes, and of a minute."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from mlflow_serving_plugin.host.call_counts import MINUTE_S, CallCounts

_COUNTER = """
import sys
from pathlib import Path
from mlflow_serving_plugin.host.call_counts import CallCounts

counts, made = CallCounts(Path(sys.argv[1])), 0
sys.stdin.read(1)
for _ in range(int(sys.argv[2])):
    while (wait_s := counts.count([("endpoint", 1000), ("endpoint user", 10**6)])) is None:
        pass
    made += wait_s == 0
print(made)
"""


class Clock:
    now = 5.0

    def __call__(self):
        return self.now


def made(counts, calls, *limits):
    return sum(counts.count(limits) == 0 for _ in range(calls))


def test_of_four_processes_that_count_together_exactly_the_limit_is_let_through(tmp_path):
    command = [sys.executable, "-c", _COUNTER, str(tmp_path / "calls"), "400"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for process in processes:
        process.stdin.write("!")
        process.stdin.flush()
    assert sum(int(process.communicate()[0]) for process in processes) == 1000


def test_a_call_over_one_of_two_limits_counts_under_neither_until_the_minute_is_over(tmp_path):
    clock = Clock()
    counts = CallCounts(tmp_path / "calls", clock)
    assert made(counts, 5, ("e", 10), ("e alice", 3)) == 3
    clock.now += 20
    assert counts.count([("e", 10), ("e alice", 3)]) == MINUTE_S - 20
    assert made(counts, 20, ("e", 10), ("e bob", 100)) == 7
    clock.now += 40
    assert made(counts, 5, ("e", 10), ("e alice", 3)) == 3


@pytest.mark.parametrize("path", ["no/such/directory", None])
def test_without_a_file_calls_count_in_this_process(path, tmp_path):
    counts = CallCounts(path and tmp_path / path)
    assert made(counts, 20, ("e", 10)) == 10


def test_a_limit_of_zero_lets_nothing_through_and_other_keys_keep_their_counts(tmp_path):
    counts = CallCounts(tmp_path / "calls", Clock())
    assert counts.count([("none", 0)]) == MINUTE_S
    for number in range(5000):
        assert counts.count([(f"user {number}", 1)]) == 0
    assert all(counts.count([(f"user {number}", 1)]) for number in range(5000))


def test_counts_of_before_a_start_of_the_machine_and_a_damaged_file_do_not_matter(tmp_path):
    clock = Clock()
    clock.now = 1e6
    assert made(CallCounts(tmp_path / "calls", clock), 5, ("e", 3)) == 3
    clock.now = 1.0
    assert made(CallCounts(tmp_path / "calls", clock), 5, ("e", 3)) == 3
    (tmp_path / "calls").write_bytes(b"\xff" * 999)
    assert made(CallCounts(tmp_path / "calls", clock), 5, ("e", 3)) == 3


def test_on_a_full_disk_calls_count_in_this_process(tmp_path, monkeypatch, caplog):
    counts = CallCounts(tmp_path / "calls")
    assert made(counts, 2, ("e", 10)) == 2
    monkeypatch.setattr(os, "pwrite", _full)
    assert made(counts, 20, ("e", 10)) == 10
    assert "No space left" in caplog.text


def _full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")
