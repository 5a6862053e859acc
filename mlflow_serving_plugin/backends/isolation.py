"""What a worker of the runtime ``native`` is left with, and which layers of isolation this machine grants.

The worker isolates itself after the zygote has forked it: see ``worker/isolation``. So it starts as fast, and shares
as much memory with the zygote, as a worker without a sandbox.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE
from mlflow_serving_plugin.backends.sandbox import system_view, view_of

_TRY_S = 20.0


@dataclass(frozen=True, slots=True)
class Levels:
    """The layers that work here, for this server's user."""

    namespaces: str
    """Empty when they work; else what the kernel said."""
    landlock: int
    """The version of Landlock's interface; 0 without Landlock."""
    seccomp: bool


@functools.cache
def levels() -> Levels:
    """Try each layer, once in the life of this process. Takes a tenth of a second."""
    paths, links = system_view()
    plan = _plan(paths, links, network=False, levels=Levels("", 0, False), tmp_bytes=1024 * 1024)
    command = [sys.executable, "-I", "-S", str(WORKER_PACKAGE), "isolation.check", json.dumps(plan)]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_TRY_S, check=True)
        return Levels(**json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Levels(f"The trial failed: {type(error).__name__}.", 0, False)


def isolation_of(spec: WorkerSpec, environ: Mapping[str, str], found: Levels) -> dict[str, object]:
    """The plan of a worker, as ``worker.isolation.plan.Plan`` reads it. ``environ``: the server's."""
    paths, links = view_of(spec, environ)
    memory_mb = spec.settings.memory_limit_mb
    return _plan(
        paths,
        links,
        network=spec.settings.network == "on",
        levels=found,
        tmp_bytes=memory_mb * 1024 * 1024 if memory_mb else None,
    )


def _plan(
    paths: list[Path], links: Mapping[str, str], *, network: bool, levels: Levels, tmp_bytes: int | None
) -> dict[str, object]:
    return {
        "namespaces": not levels.namespaces,
        "landlock": levels.landlock,
        "seccomp": levels.seccomp,
        "network": network,
        "readable": [str(path) for path in paths],
        "writable": [],
        "links": dict(links),
        "tmp_bytes": tmp_bytes,
    }
