"""When a prediction has run for too long."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import eventually

from mlflow_serving_plugin.worker.watchdog import RunningPredictions


def test_a_prediction_within_its_time_is_not_overdue() -> None:
    running = RunningPredictions(grace_s=0.0)
    assert not running.overdue()
    with running.during(60_000):
        assert not running.overdue()


def test_a_prediction_is_overdue_after_its_timeout_and_the_grace_until_it_ends() -> None:
    running = RunningPredictions(grace_s=0.05)
    with running.during(50):
        assert not running.overdue()
        eventually(running.overdue)
    assert not running.overdue()


def test_the_worker_drains_once_and_only_where_the_event_loop_is_free() -> None:
    running, asked = RunningPredictions(grace_s=0.0), []
    with ThreadPoolExecutor(1) as loop:
        loop.submit(running.drain_by, lambda: asked.append("drain")).result()
        with running.during(0):
            eventually(running.overdue)
            assert not running.in_time()
            assert running.drain()
            assert running.drain()
        assert asked == ["drain"]
        with ThreadPoolExecutor(1) as other:
            inside, go = threading.Event(), threading.Event()

            def predict() -> None:
                with running.during(0):
                    inside.set()
                    go.wait(30)

            hung = loop.submit(predict)
            inside.wait(30)
            assert not other.submit(running.drain).result()
            go.set()
            hung.result()


def test_a_prediction_in_time_beside_an_overdue_one_is_seen() -> None:
    running = RunningPredictions(grace_s=0.0)
    with ThreadPoolExecutor(1) as other, running.during(0):
        eventually(running.overdue)
        inside, go = threading.Event(), threading.Event()

        def predict() -> None:
            with running.during(60_000):
                inside.set()
                go.wait(30)

        neighbour = other.submit(predict)
        inside.wait(30)
        assert (running.overdue(), running.in_time()) == (1, True)
        go.set()
        neighbour.result()
        assert (running.overdue(), running.in_time()) == (1, False)


def test_an_error_of_the_model_ends_it_too() -> None:
    running = RunningPredictions(grace_s=0.0)
    with pytest.raises(RuntimeError), running.during(0):
        raise RuntimeError
    assert not running.overdue()
