"""Services start in order, once in each process, and stop in reverse order."""

from __future__ import annotations

import os

import pytest

from mlflow_serving_plugin.background import AtStop, Background


class Recorder:
    def __init__(self, name: str, log: list[str], *, fails: bool = False) -> None:
        self._name, self._log, self._fails = name, log, fails

    def start(self) -> None:
        self._log.append(f"start {self._name}")
        if self._fails:
            raise RuntimeError(self._name)

    def stop(self) -> None:
        self._log.append(f"stop {self._name}")


def test_services_start_once_in_order_and_stop_once_in_reverse():
    log: list[str] = []
    background = Background([lambda: Recorder("a", log), lambda: AtStop(lambda: log.append("end"))])
    for _ in range(2):
        background.ensure_started()
    for _ in range(2):
        background.stop()
    assert log == ["start a", "end", "stop a"]


def test_nothing_is_stopped_that_was_not_started():
    log: list[str] = []
    Background([lambda: Recorder("a", log)]).stop()
    assert log == []


def test_a_service_that_cannot_start_stops_the_services_before_it_and_is_tried_again():
    log: list[str] = []
    made = iter([True, False])
    background = Background([lambda: Recorder("a", log), lambda: Recorder("b", log, fails=next(made))])
    with pytest.raises(RuntimeError, match="b"):
        background.ensure_started()
    assert log == ["start a", "start b", "stop a"]
    background.ensure_started()
    assert log[3:] == ["start a", "start b"]


def test_a_service_that_fails_to_stop_does_not_keep_the_others_from_stopping():
    log: list[str] = []

    def fail() -> None:
        raise RuntimeError("cannot stop")

    background = Background([lambda: Recorder("a", log), lambda: AtStop(fail)])
    background.ensure_started()
    with pytest.raises(RuntimeError, match="cannot stop"):
        background.stop()
    assert log == ["start a", "stop a"]


def test_a_forked_process_starts_services_of_its_own_and_leaves_its_parent_s_alone():
    log: list[str] = []
    background = Background([lambda: Recorder("a", log)])
    background.ensure_started()
    child = os.fork()
    if child == 0:
        background.stop()
        untouched = log == ["start a"]
        background.ensure_started()
        background.stop()
        os._exit(0 if untouched and log == ["start a", "start a", "stop a"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    background.stop()
    assert log == ["start a", "stop a"]
