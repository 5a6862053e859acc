"""Virtual environments of the peers, below a cache directory."""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

_SHARED = ("mlflow", "scikit-learn", "pandas", "numpy")
"""What a model needs wherever it is loaded. The project's own versions are tried first."""

_INSTALL_S = 1800


class InstallError(Exception):
    """A peer cannot be installed on this Python."""


def default_cache() -> Path:
    """A directory by user below the system's temporary one."""
    return Path(tempfile.gettempdir()) / f"mlflow-serving-benchmarks-{getpass.getuser()}"


def ensure_venv(cache: Path, name: str, packages: tuple[str, ...]) -> Path:
    """The interpreter of an environment with ``packages`` and what a model needs; made if it is not there."""
    directory = cache.absolute() / name
    python, stamp = directory / "bin" / "python", directory / "installed.json"
    wanted = json.dumps([*packages, *_pins()])
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(directory, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    print(f"  installing {name}: {' '.join(packages)} …", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True, capture_output=True, timeout=300)
    if _pip(python, [*packages, *_pins()]) is not None:
        print(f"  {name}: the project's versions do not resolve with it; taking those that do", flush=True)
        failure = _pip(python, [*packages, *_SHARED])
        if failure is not None:
            raise InstallError(failure)
    stamp.write_text(wanted)
    return python


def installed_versions(python: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Versions of distributions in an environment; one that is not there is left out."""
    code = (
        "import importlib.metadata as m, json, sys\n"
        "have = {d.metadata['Name'].lower(): d.version for d in m.distributions() if d.metadata['Name']}\n"
        "print(json.dumps({n: have[n] for n in sys.argv[1:] if n in have}))"
    )
    run = subprocess.run(
        [str(python), "-c", code, *names, *_SHARED], capture_output=True, text=True, timeout=60, check=False
    )
    return dict(json.loads(run.stdout)) if run.returncode == 0 else {}


def _pins() -> list[str]:
    return [f"{name}=={version(name)}" for name in _SHARED]


def _pip(python: Path, requirements: list[str]) -> str | None:
    """Install; what went wrong, in one line, or None."""
    command = [str(python), "-m", "pip", "install", "--quiet", *requirements]
    run = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    if run.returncode == 0:
        return None
    errors = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
    return (errors[-1] if errors else f"pip ended with {run.returncode}")[:300]
