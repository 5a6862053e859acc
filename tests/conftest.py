"""What the tests with a real server share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models() -> Iterator[object]:
    """The models, saved once a session when first asked for."""
    from support.models import Models

    root = Path(tempfile.mkdtemp(prefix="mls-models-"))
    yield Models(root)
    shutil.rmtree(root, ignore_errors=True)
