"""Environments that are complete: one marker file each, put in place when all of the environment is.

An environment's directory has a name of its own for each build, because conda packages and the scripts of an
environment hold its path: it cannot be built elsewhere and renamed. So it is the marker that is renamed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import sys
from collections.abc import Collection
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name

from mlflow_serving_plugin.environments.installed import installed_version
from mlflow_serving_plugin.host.files import write_atomically
from mlflow_serving_plugin.host.mlmodel import LIBRARIES

RECENT_S = 600.0


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter that has what a model needs. ``key`` is empty for the server's own. ``size_bytes`` on disk."""

    key: str
    manager: str
    python: str
    python_version: str
    mlflow_version: str
    packages: int = 0
    seconds: float = 0.0
    size_bytes: int = 0
    directory: str = ""
    libraries: tuple[tuple[str, str], ...] = ()
    """The versions of flavors' libraries, by their names on PyPI."""

    def version_of(self, name: str) -> str:
        """The version of ``Python``, ``MLflow`` or a flavor's library; empty when there is none."""
        return {"Python": self.python_version, "MLflow": self.mlflow_version, **dict(self.libraries)}.get(name, "")

    def __str__(self) -> str:
        if self.manager == "local":
            return f"the server's own, Python {self.python_version}"
        return (
            f"Python {self.python_version}, {self.packages} packages, built by {self.manager} in {self.seconds:.0f} s"
        )


@functools.cache
def own_environment() -> Environment:
    """The server's own interpreter. A server does not install while it runs."""
    version = ".".join(map(str, sys.version_info[:3]))
    found = {name: installed_version(name) for name, _ in LIBRARIES.values()}
    libraries = tuple((name, version) for name, version in found.items() if version is not None)
    return Environment("", "local", sys.executable, version, installed_version("mlflow") or "", libraries=libraries)


def library_versions(python: Path) -> tuple[tuple[str, str], ...]:
    """The versions of flavors' libraries in the environment of an interpreter."""
    names = {name for name, _ in LIBRARIES.values()}
    places = [str(path) for path in python.parent.parent.glob("lib/python*/site-packages")]
    found = {canonicalize_name(d.metadata["Name"] or ""): d.version for d in metadata.distributions(path=places)}
    return tuple((name, version) for name, version in sorted(found.items()) if name in names)


def marker_path(root: Path, key: str) -> Path:
    """Where the marker of an environment is."""
    return root / f"{key}.json"


def log_path(root: Path, key: str) -> Path:
    """Where the log of an environment's last build is."""
    return root / f"{key}.log"


def find_ready(root: Path, key: str) -> Environment | None:
    """The environment of that key if it is complete, None otherwise."""
    try:
        marked = json.loads(marker_path(root, key).read_bytes())
        libraries = tuple((str(name), str(version)) for name, version in marked.pop("libraries", ()))
        found = Environment(**marked, libraries=libraries)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return found if found.key == key and os.access(found.python, os.X_OK) else None


def mark_ready(root: Path, environment: Environment) -> None:
    """Make a complete environment the one of its key."""
    write_atomically(marker_path(root, environment.key), json.dumps(asdict(environment)).encode())


def mark_used(root: Path, key: str) -> None:
    """Note that an environment is used now. Another server may have evicted the environment just before."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(marker_path(root, key))


def unmarked(root: Path) -> list[Path]:
    """The directories that no marker names: left by builds that were interrupted."""
    named = {environment.directory for environment in _all(root)}
    return [path for path in root.iterdir() if path.is_dir() and str(path) not in named]


def surplus(root: Path, in_use: Collection[str], limit_bytes: int, now: float) -> list[Environment]:
    """The least recently used environments above the limit, without any that is in use.

    An environment used within ``RECENT_S`` before ``now`` (by ``time.time``) counts as in use: a worker may be
    stopping, or another server may share the directory.
    """
    used_at = {environment: _used_at(root, environment) for environment in _all(root)}
    idle = [found for found, at in used_at.items() if found.key not in in_use and now - at >= RECENT_S]
    total, out = sum(found.size_bytes for found in used_at.keys() - idle), []
    for environment in sorted(idle, key=used_at.__getitem__, reverse=True):
        if total + environment.size_bytes > limit_bytes:
            out.append(environment)
        else:
            total += environment.size_bytes
    return out


def remove(root: Path, environment: Environment) -> None:
    """Remove an environment: the marker first, so that a half-removed one is none."""
    marker_path(root, environment.key).unlink(missing_ok=True)
    log_path(root, environment.key).unlink(missing_ok=True)
    if environment.directory:
        shutil.rmtree(environment.directory, ignore_errors=True)


def size_of(directory: Path) -> int:
    """Bytes on disk below a directory."""
    files = (Path(parent) / name for parent, _, names in os.walk(directory) for name in names)
    return sum(path.lstat().st_blocks * 512 for path in files)


def _all(root: Path) -> list[Environment]:
    found = (find_ready(root, path.stem) for path in root.glob("*.json"))
    return [environment for environment in found if environment is not None]


def _used_at(root: Path, environment: Environment) -> float:
    try:
        return marker_path(root, environment.key).stat().st_mtime
    except OSError:
        return 0.0
