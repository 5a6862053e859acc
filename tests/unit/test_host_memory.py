from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from mlflow_serving_plugin.host.memory import Taken, machine_memory_bytes, stalled_percent, taken_by, taken_by_one

MB = 2**20


def _hold(size, ready, done):
    os.setsid()
    mine = bytearray(os.urandom(MB) * size)
    ready.set()
    done.wait(60)
    del mine


@pytest.fixture
def child():
    """A forked process that shares this one's pages and has 50 MB of its own."""
    fork = multiprocessing.get_context("fork")
    ready, done = fork.Event(), fork.Event()
    process = fork.Process(target=_hold, args=(50, ready, done))
    process.start()
    assert ready.wait(30)
    yield process
    done.set()
    process.join(30)


def test_a_forked_process_takes_its_own_pages_and_a_share_of_the_common_ones(child):
    common = bytearray(os.urandom(MB) * 50)
    taken = taken_by({"child": child.pid, "ended": 2**22 + 1})
    assert taken.keys() == {"child"}
    assert taken["child"].total >= taken["child"].own >= 50 * MB
    assert taken_by_one(os.getpid()).own >= len(common)
    assert taken_by_one(2**22 + 1) == Taken()


def test_a_head_that_hides_from_its_user_does_not_count_the_pages_that_it_shares(child, monkeypatch):
    def refuse(path):
        raise PermissionError(path)

    # As for every user but root.
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert 0 < taken_by({"child": child.pid})["child"].own <= 8 * MB
    assert taken_by_one(child.pid).own > 50 * MB


def test_the_machine_s_memory_is_known():
    assert machine_memory_bytes() > 2**28


def test_the_memory_of_a_control_group_above_this_one_limits_too(tmp_path):
    group = tmp_path / "cgroup" / "unit.slice" / "serving.service"
    group.mkdir(parents=True)
    (group.parent / "memory.max").write_text("123456789\n")
    (group / "memory.max").write_text("max\n")
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text("0::/unit.slice/serving.service\n")
    (proc / "mountinfo").write_text(f"30 23 0:26 / {tmp_path / 'cgroup'} rw shared:4 - cgroup2 cgroup2 rw\n")
    assert machine_memory_bytes(proc) == 123456789


def test_the_machine_stalls_for_as_long_as_the_kernel_says(tmp_path):
    assert stalled_percent(tmp_path) == 0.0
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure" / "memory").write_text(
        "some avg10=40.00 avg60=1.00 avg300=0.10 total=9\nfull avg10=12.50 avg60=0.50 avg300=0.05 total=5\n"
    )
    assert stalled_percent(tmp_path) == 12.5
