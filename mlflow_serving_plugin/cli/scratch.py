"""The quickstart's directory and port, and the environment of its processes."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow_serving_plugin.backends.records import kill_recorded_workers
from mlflow_serving_plugin.cli.errors import CliError
from mlflow_serving_plugin.errors import ConfigurationError
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.settings import Settings

HOST = "127.0.0.1"
PREFERRED_PORT = 5000


@dataclass(frozen=True, slots=True)
class Scratch:
    """The quickstart's directory and the serving state in it. ``kept``: the user chose the directory, so it stays."""

    root: Path
    state: StatePaths
    kept: bool


@contextlib.contextmanager
def scratch(directory: Path | None) -> Iterator[Scratch]:
    """The given directory, created if it does not exist; else a temporary directory, removed at the end."""
    made = _make(directory)
    try:
        yield made
    finally:
        # The workers of a killed server run on.
        kill_recorded_workers(made.state.workers)
        if not made.kept:
            shutil.rmtree(made.root, ignore_errors=True)
            shutil.rmtree(made.state.sockets, ignore_errors=True)


def _make(directory: Path | None) -> Scratch:
    try:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
        root = directory.absolute() if directory else Path(tempfile.mkdtemp(prefix="mlflow-serving-quickstart-"))
        return Scratch(root, StatePaths.create(root / "serving"), kept=directory is not None)
    except (OSError, ConfigurationError) as error:
        raise CliError(f"The directory cannot be used: {error}") from None


def choose_port(wanted: int | None) -> int:
    """``wanted``, or CliError when that port is in use; without ``wanted``: 5000 if free, else any free port."""
    if wanted is not None:
        if not _is_free(wanted):
            raise CliError(f"Port {wanted} is already in use. Choose another port with --port, or leave --port out.")
        return wanted
    if _is_free(PREFERRED_PORT):
        return PREFERRED_PORT
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def children_environment(environ: Mapping[str, str], made: Scratch) -> dict[str, str]:
    """This process's environment without MLflow's own variables, which could name another server or database.

    Raises CliError for a setting that the server would refuse: its web workers would die again and again.
    """
    try:
        Settings.from_environ(environ)
    except ConfigurationError as error:
        raise CliError(error.message) from None
    kept = {
        name: value
        for name, value in environ.items()
        if name.startswith("MLFLOW_SERVING_") or not name.startswith(("MLFLOW_", "_MLFLOW"))
    }
    kept.pop("MLFLOW_SERVING_DATABASE_URI", None)
    ours = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SERVING_STATE_DIR": str(made.state.root),
        "GIT_PYTHON_REFRESH": "quiet",
    }
    return kept | without_proxy(environ) | ours


def without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that keep requests to this host away from any proxy."""
    value = ",".join(filter(None, (environ.get("no_proxy") or environ.get("NO_PROXY"), HOST)))
    return {"no_proxy": value, "NO_PROXY": value}


def _is_free(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        if client.connect_ex((HOST, port)) == 0:
            return False
    try:
        with socket.socket() as listener:
            # As the server does: lingering connections of an earlier server do not matter.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, port))
    except OSError:
        return False
    return True
