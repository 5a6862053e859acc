"""Where a Python of a certain minor version is, for those that uv does not find by itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from mlflow_serving_plugin.environments.installed import server_python


def python_for(minor: str, environ: Mapping[str, str]) -> str:
    """The server's own interpreter when that is one, or pyenv's newest of this minor version; else the version, which
    uv looks for and, if it may, downloads.

    pyenv puts a script for each Python on PATH that runs only the chosen one; uv tries those, and gives up.
    """
    if minor == server_python():
        return getattr(sys, "_base_executable", "") or sys.executable
    root = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "~")).expanduser() / ".pyenv")
    found = [path for path in root.glob(f"versions/{minor}.*/bin/python") if os.access(path, os.X_OK)]
    return str(max(found, key=_patch)) if found else minor


def _patch(path: Path) -> tuple[int, str]:
    patch = path.parent.parent.name.split(".")[2]
    return (int(patch) if patch.isdigit() else -1, patch)
