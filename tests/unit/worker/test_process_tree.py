"""Whose processes are whose."""

from __future__ import annotations

import os

import pytest

from mlflow_serving_plugin.worker import process_tree
from mlflow_serving_plugin.worker.process_tree import CountThrottle, Process, members

INIT, SERVER, ZYGOTE, ONE, TWO = 1, 10, 20, 30, 40
FOUND = {
    INIT: Process(0, 1),
    SERVER: Process(INIT, 10),
    ZYGOTE: Process(INIT, 20),
    ONE: Process(ZYGOTE, 30),
    31: Process(ONE, 30),
    32: Process(31, 32),  # left the session
    33: Process(32, 32),
    34: Process(INIT, 30),  # left its parent, not the session
    35: Process(34, 35),
    TWO: Process(ZYGOTE, 40),
    41: Process(TWO, 40),
}


def test_a_worker_s_are_those_below_it_and_those_of_its_session_and_those_below_them():
    assert members(FOUND, ONE) == {ONE, 31, 32, 33, 34, 35}
    assert members(FOUND, TWO) == {TWO, 41}


def test_of_a_worker_that_is_gone_its_session_is_left():
    assert members({pid: process for pid, process in FOUND.items() if pid != ONE}, ONE) == {31, 32, 33, 34, 35}


def test_several_are_asked_for_at_once_and_nobody_has_none():
    assert members(FOUND, ONE, TWO) == members(FOUND, ONE) | members(FOUND, TWO)
    assert members(FOUND) == members(FOUND, 999) == members({}, ONE) == set()


def test_a_process_that_is_its_own_parent_is_found_once():
    assert members({5: Process(5, 5)}, 5) == {5}


def test_this_very_process_is_counted_with_its_parent_and_session():
    assert process_tree.processes()[os.getpid()] == Process(os.getppid(), os.getsid(0))


@pytest.fixture
def machine(monkeypatch):
    class Machine:
        tasks, now = 500, 1000.0

    monkeypatch.setattr(process_tree, "_tasks", lambda: Machine.tasks)
    monkeypatch.setattr(process_tree.time, "monotonic", lambda: Machine.now)
    return Machine


def test_the_first_count_is_due_at_once_and_the_next_after_ten_seconds(machine):
    throttle = CountThrottle()
    assert throttle.due()
    assert not throttle.due()
    machine.now += 9.9
    assert not throttle.due()
    machine.now += 0.2
    assert throttle.due()


def test_a_count_is_due_sooner_when_there_are_many_more_tasks(machine):
    throttle = CountThrottle()
    throttle.due()
    machine.tasks += 31
    assert not throttle.due()
    machine.tasks += 1
    assert throttle.due()
    assert not throttle.due()


def test_many_more_means_more_than_at_the_fewest_since_the_last_count(machine):
    throttle = CountThrottle()
    throttle.due()
    machine.tasks = 400
    assert not throttle.due()
    machine.tasks = 432
    assert throttle.due()


def test_whoever_has_reason_to_may_count_sooner(machine):
    throttle = CountThrottle()
    throttle.due()
    machine.now += 1.0
    assert throttle.due(1.0)
