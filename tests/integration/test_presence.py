"""Who is the last web worker to leave: real processes, because the locks are theirs."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlflow_serving_plugin.host.locks import Presence

_WEB_WORKER = """
import pathlib, subprocess, sys
from mlflow_serving_plugin.host.locks import Presence
presence = Presence(pathlib.Path(sys.argv[1]))
print("here", flush=True)
for order in sys.stdin:
    if order == "leave\\n":
        print(presence.leave(), flush=True)
    else:  # it ends with its standard input
        subprocess.Popen([sys.executable, "-c", "input()"], close_fds=False)
        print("started", flush=True)
"""


class WebWorker:
    """A process that is present, leaves when told, says what it found, and lives on until it is ended."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WEB_WORKER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def wait_here(self) -> WebWorker:
        assert self._process.stdout.readline() == "here\n"
        return self

    def begin_to_leave(self) -> None:
        self._process.stdin.write("leave\n")

    def start_child(self) -> None:
        self._process.stdin.write("child\n")
        assert self._process.stdout.readline() == "started\n"

    def was_last(self) -> bool:
        said = self._process.stdout.readline().strip()
        assert said in {"True", "False"}
        return said == "True"

    def leave(self) -> bool:
        self.begin_to_leave()
        return self.was_last()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def lock(tmp_path) -> Path:
    return tmp_path / "web.lock"


@pytest.fixture
def start(lock) -> Iterator:
    """Start so many web workers and wait until all are there."""
    all_of_them: list[WebWorker] = []

    def start_some(count: int) -> list[WebWorker]:
        some = [WebWorker(lock) for _ in range(count)]
        all_of_them.extend(some)
        return [worker.wait_here() for worker in some]

    yield start_some
    for worker in all_of_them:
        worker.close()


def test_one_that_is_alone_is_the_last(start):
    (worker,) = start(1)
    assert worker.leave()


def test_only_the_last_to_leave_knows_that_it_is(start):
    workers = start(3)
    assert [worker.leave() for worker in workers] == [False, False, True]


def test_one_that_was_killed_has_left(start):
    survivor, killed = start(2)
    killed.kill()
    assert survivor.leave()


def test_one_that_came_later_counts_too(start):
    (first,) = start(1)
    (second,) = start(1)
    assert not first.leave()
    (third,) = start(1)
    assert not second.leave()
    assert third.leave()


def test_after_the_last_has_left_a_new_one_is_alone_again(start):
    for _ in range(2):
        (worker,) = start(1)
        assert worker.leave()


def test_of_those_that_leave_at_once_exactly_one_is_the_last(start):
    for _ in range(3):
        workers = start(6)
        for worker in workers:
            worker.begin_to_leave()
        assert sorted(worker.was_last() for worker in workers) == [False] * 5 + [True]


def test_one_that_is_overtaken_while_it_leaves_is_not_the_last_as_well(lock, monkeypatch):
    """The narrow moment that real processes hardly ever hit: its lock is gone, and it has not looked yet."""
    slow, fast = Presence(lock), Presence(lock)
    between, overtaken = threading.Event(), threading.Event()
    flock = fcntl.flock

    def flock_and_pause(fd: int, operation: int) -> None:
        flock(fd, operation)
        if operation == fcntl.LOCK_UN and not between.is_set():
            between.set()
            overtaken.wait(0.3)

    monkeypatch.setattr(fcntl, "flock", flock_and_pause)
    with ThreadPoolExecutor(1) as threads:
        slow_was_last = threads.submit(slow.leave)
        between.wait(10)
        fast_was_last = fast.leave()
        overtaken.set()
        assert sorted([slow_was_last.result(10), fast_was_last]) == [False, True]


def test_a_child_of_a_killed_web_worker_does_not_stay_present_in_its_place(start):
    """Model workers outlive web workers; none may hold the lock that it was started under."""
    survivor, killed = start(2)
    killed.start_child()
    killed.kill()
    assert survivor.leave()


def test_the_lock_file_stays_so_that_all_lock_the_same_one(start, lock):
    (worker,) = start(1)
    before = lock.stat().st_ino
    worker.leave()
    assert lock.stat().st_ino == before
