"""When a prediction has run for too long."""

from __future__ import annotations

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


def test_an_error_of_the_model_ends_it_too() -> None:
    running = RunningPredictions(grace_s=0.0)
    with pytest.raises(RuntimeError), running.during(0):
        raise RuntimeError
    assert not running.overdue()
