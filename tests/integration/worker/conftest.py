from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from worker_processes import WorkerProcess, code_model, worker_config


def _short():
    return Path(tempfile.mkdtemp(prefix="wk"))


@pytest.fixture
def short():
    """A directory with a path short enough for unix sockets."""
    path = _short()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def code(tmp_path_factory):
    """A model whose code does what it is asked."""
    return code_model(tmp_path_factory.mktemp("code") / "model")


@pytest.fixture(scope="module")
def shared(code):
    """A worker for tests that leave it as it was."""
    path = _short()
    worker = WorkerProcess(worker_config(path, code))
    yield worker
    worker.end()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def model_worker():
    """Makes fixtures: ``yield from model_worker(model, **changes of the configuration)`` gives a worker."""

    def run(model, **changes):
        path = _short()
        worker = WorkerProcess(worker_config(path, model, **changes))
        yield worker
        worker.end()
        shutil.rmtree(path, ignore_errors=True)

    return run


@pytest.fixture
def start(short, code):
    """Starts workers that end with the test: ``start(**changes of the configuration)``."""
    workers = []

    def start(model=code, **changes):
        workers.append(WorkerProcess(worker_config(short, model, **changes)))
        return workers[-1]

    yield start
    for worker in workers:
        worker.end()
