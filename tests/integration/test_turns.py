"""Turns among the processes of a host."""

from __future__ import annotations

import multiprocessing
import os
import signal

from support import eventually

from mlflow_serving_plugin.host.turns import Turns

_PROCESSES = multiprocessing.get_context("spawn")


def hold(path, started):
    with Turns(path).take("iris"):
        started.set()
        signal.pause()


def test_one_holder_at_a_time_in_a_process(tmp_path):
    for turns in (Turns(), Turns(tmp_path / "lock")):
        with turns.take("iris"):
            assert turns.take("iris") is None
            with turns.take("wine"):
                assert turns.take("wine") is None
        with turns.take("iris"):
            pass


def test_another_process_holds_it_until_it_is_killed(tmp_path):
    started = _PROCESSES.Event()
    other = _PROCESSES.Process(target=hold, args=(tmp_path / "lock", started))
    other.start()
    try:
        assert started.wait(60)
        turns = Turns(tmp_path / "lock")
        assert turns.take("iris") is None
        with turns.take("wine"):
            pass
        assert turns.take("iris") is None
        os.kill(other.pid, signal.SIGKILL)
        with eventually(lambda: turns.take("iris")):
            pass
    finally:
        other.kill()
        other.join()


def test_without_the_file_turns_count_in_the_process(tmp_path):
    turns = Turns(tmp_path / "nowhere" / "lock")
    with turns.take("iris"):
        assert turns.take("iris") is None
