"""The zygotes of tests are forks that look like programs, and programs where a fork would differ."""

from __future__ import annotations

import json
import os
import signal
import sys

import psutil
import pytest
from support import eventually
from support.preloaded import Forked, as_in_production, start_session
from worker_processes import worker_config

from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE, worker_environment


@pytest.fixture
def command(short):
    """How a zygote is started."""
    config = worker_config(short, short) | {"log": str(short / "zygote.log")}
    return [sys.executable, str(WORKER_PACKAGE), "zygote", json.dumps(config)]


def test_a_fork_has_the_command_line_the_directory_and_the_session_of_a_program(short, command):
    started = start_session(command, cwd=short, env=worker_environment(os.environ, {}, {}))
    assert isinstance(started, Forked)
    assert os.getsid(started.pid) == started.pid
    eventually((short / "w1.sock").exists)
    zygote = psutil.Process(started.pid)
    assert [word for word in zygote.cmdline() if word] == command
    assert zygote.cwd() == str(short)
    assert started.poll() is None
    started.kill()
    assert started.wait(10) == -signal.SIGKILL


def test_with_a_variable_that_a_library_may_read_when_it_is_imported_a_program_is_started(short, command):
    env = worker_environment(os.environ, {}, {}) | {"OMP_NUM_THREADS": "7"}
    started = start_session(command, cwd=short, env=env)
    started.kill()
    started.wait()
    assert not isinstance(started, Forked)


def test_in_production_a_program_is_started(short, command):
    with as_in_production():
        started = start_session(command, cwd=short, env=worker_environment(os.environ, {}, {}))
    started.kill()
    started.wait()
    assert not isinstance(started, Forked)
