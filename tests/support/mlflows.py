"""Environments with other versions of MLflow, with this package as it stands in the tree."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from support.shared import once

ROOT = Path(__file__).parents[2]
PACKAGE = "mlflow-serving-plugin"

OLDEST, TOO_OLD = "3.10.0", "2.22.5"
NEWEST = metadata.version("mlflow")
OTHERS = ("3.10.1", "3.11.1", "3.12.0", "3.13.0", "3.14.0", "3.15.2", "3.16.1", "3.17.0", "3.18.0")


def python_with(version: str) -> str:
    """An interpreter with this version of MLflow; the tests' own for theirs. Built once a run, by uv.

    Raises LookupError, with uv's last words, for a version that cannot be installed.
    """
    if version == NEWEST:
        return sys.executable
    made = once(f"mlflow-{version}", lambda path: _build(path, version))
    if (made / "why").exists():
        raise LookupError((made / "why").read_text())
    return str(made / "bin" / "python")


def _build(path: Path, version: str) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    needed = [line for line in config["options"]["install_requires"].splitlines() if line]
    # With what basic-auth needs. An MLflow that is too old is installed as by somebody who does not read what pip says.
    needed = [f"mlflow=={version}" if line.startswith("mlflow") else line for line in needed] + ["flask-wtf<2"]
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(path)], check=True)
    python = str(path / "bin" / "python")
    done = subprocess.run(
        ["uv", "pip", "install", "--quiet", "--python", python, *needed], capture_output=True, text=True, check=False
    )
    if done.returncode:
        (path / "why").write_text(done.stderr[-1000:])
        return
    packages = next(path.glob("lib/python*/site-packages"))
    (packages / "serving.pth").write_text(f"{ROOT}\n")
    found = Path(str(metadata.distribution(PACKAGE)._path))
    shutil.copytree(found, packages / found.name)
