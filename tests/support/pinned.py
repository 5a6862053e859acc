"""Models that pin another MLflow, another Python or other libraries, saved by those very versions.

They are files: ``tests/data/make_models.py`` made them.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from mlflow_serving_plugin.environments.builders import python_for

_MODELS = Path(__file__).parent.parent / "data" / "models"


def pinned(name: str) -> Path:
    """The directory of a saved model, ``mlflow-1`` for instance."""
    directory = _MODELS / name
    assert (directory / "MLmodel").is_file(), f"{name} is none of {sorted(path.name for path in _MODELS.iterdir())}"
    return directory


def another_python() -> str:
    """The minor version, other than this one's, of a Python on this machine that a model was saved with."""
    for directory in sorted(_MODELS.glob("python-*")):
        minor = directory.name.removeprefix("python-")
        if minor == f"{sys.version_info.major}.{sys.version_info.minor}":
            continue
        if python_for(minor, os.environ) != minor or shutil.which(f"python{minor}"):
            return minor
    pytest.skip("no Python here that a model was saved with, other than this one")
