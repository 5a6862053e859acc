from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from support.api import ApiWorld


@pytest.fixture
def short():
    """A directory with a path short enough for unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="gw"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def world(tmp_path):
    """A control API on in-memory collaborators."""
    made = ApiWorld(tmp_path / "state")
    yield made
    made.close()
