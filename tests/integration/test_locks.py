"""Locks among the processes of a host."""

from __future__ import annotations

import multiprocessing
import os
import signal

from support import eventually

from mlflow_serving_plugin.host.locks import KeyedLocks

_PROCESSES = multiprocessing.get_context("spawn")


def hold(path, started):
    with KeyedLocks(path).try_acquire("iris"):
        started.set()
        signal.pause()


def test_one_holder_at_a_time_in_a_process(tmp_path):
    for locks in (KeyedLocks(), KeyedLocks(tmp_path / "lock")):
        with locks.try_acquire("iris"):
            assert locks.try_acquire("iris") is None
            with locks.try_acquire("wine"):
                assert locks.try_acquire("wine") is None
        with locks.try_acquire("iris"):
            pass


def test_another_process_holds_it_until_it_is_killed(tmp_path):
    started = _PROCESSES.Event()
    other = _PROCESSES.Process(target=hold, args=(tmp_path / "lock", started))
    other.start()
    try:
        assert started.wait(60)
        locks = KeyedLocks(tmp_path / "lock")
        assert locks.try_acquire("iris") is None
        with locks.try_acquire("wine"):
            pass
        assert locks.try_acquire("iris") is None
        os.kill(other.pid, signal.SIGKILL)
        with eventually(lambda: locks.try_acquire("iris")):
            pass
    finally:
        other.kill()
        other.join()


def test_without_the_file_turns_count_in_the_process(tmp_path):
    locks = KeyedLocks(tmp_path / "nowhere" / "lock")
    with locks.try_acquire("iris"):
        assert locks.try_acquire("iris") is None
