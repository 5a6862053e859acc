"""Which processes run, as far as this process can tell."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow_serving_plugin.host.processes import runs, start_stamp


@contextmanager
def no_free_file_descriptor() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_that_cannot_be_looked_at_is_not_taken_for_dead():
    stamp = start_stamp(os.getpid())
    assert runs(os.getpid(), stamp)
    with no_free_file_descriptor():
        assert runs(os.getpid(), stamp)


def test_a_process_that_has_ended_and_one_with_its_number_do_not_run():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(30)
    assert start_stamp(ended.pid) is None
    assert not runs(ended.pid, "any")
    assert not runs(os.getpid(), "another start")
