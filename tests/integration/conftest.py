from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from support.guard import SLEEP, Guarded

from mlflow_serving_plugin.host.paths import StatePaths


@pytest.fixture
def root():
    """A directory with a path short enough for unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="mls-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def paths(root):
    """A state directory."""
    return StatePaths.create(root / "state")


@pytest.fixture
def guard(root):
    """Starts commands under guards: Python code, or a command."""
    made = []

    def start(code=SLEEP, *, command=None, **changes):
        made.append(Guarded(root, *(command or [sys.executable, "-S", "-c", code]), **changes))
        return made[-1]

    yield start
    for guarded in made:
        guarded.clear()
