"""What one run of the tests makes once, whichever of its lanes needs it first."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

RUN_VARIABLE = "SERVING_TESTS_RUN"
"""Names the directory of the run to the lanes of pytest-xdist, which inherit it."""

_MIGRATE = """
import sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from mlflow.server.auth.db import utils as auth
from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine
from mlflow_serving_plugin.store.database import open_database, upgrade
root = Path(sys.argv[1])
uri = f"sqlite:///{root}/mlflow.db"
_initialize_tables(create_sqlalchemy_engine(uri))
upgrade(open_database(uri), root / "lock")
auth.migrate_if_needed(create_sqlalchemy_engine(f"sqlite:///{root}/auth.db"), "head")
"""


def run_directory() -> Path:
    """The directory of this run, which all its lanes share. Removed by the process that asks for it first."""
    if RUN_VARIABLE not in os.environ:
        os.environ[RUN_VARIABLE] = tempfile.mkdtemp(prefix="mls-run-")
        atexit.register(_remove, os.environ[RUN_VARIABLE], os.getpid())
    return Path(os.environ[RUN_VARIABLE])


def once(name: str, make: Callable[[Path], None], directory: Path | None = None) -> Path:
    """``<run directory>/<name>``, made by ``make(path)`` in the lane that comes first; the others wait for it."""
    path = (directory or run_directory()) / name
    done = path.parent / f"{name}.done"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / f"{name}.lock"):
        if not done.exists():
            make(path)
            done.touch()
    return path


def databases() -> Path:
    """A directory with the tables of a new server, all migrations done: ``mlflow.db`` (with ours) and ``auth.db``.

    Migrating takes seconds of processor time, copying a file takes none.
    """
    return once("databases", _migrate)


def _migrate(root: Path) -> None:
    root.mkdir()
    subprocess.run([sys.executable, "-c", _MIGRATE, str(root)], check=True, capture_output=True, timeout=300)


def _remove(directory: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(directory, ignore_errors=True)
