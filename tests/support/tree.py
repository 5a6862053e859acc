"""A copy of this repository, as a user clones it."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FOLDERS = ("build_backend", "changelog.d", "docker", "docs", "js", "mlflow_serving_plugin", "scripts")


def copy_of_the_tree(to: Path) -> Path:
    """What git has but for the tests, with the tab as built here: to build the tab takes longer than the rest."""
    ignored = shutil.ignore_patterns("node_modules", "__pycache__", "*.egg-info")
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, to / name, ignore=ignored)
    for file in ROOT.iterdir():
        if file.is_file() and not file.name.startswith(".git"):
            shutil.copy(file, to)
    return to
