"""What an isolated worker is left with, and which layers of isolation this machine grants.

A worker of the runtime ``native`` isolates itself after the zygote has forked it: see ``worker/isolation``. So a worker
in the sandbox starts as fast, and shares as much memory with the zygote, as a worker without. ``worker/launch.py``
isolates itself before it becomes a worker of the runtime ``mlflow``.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE
from mlflow_serving_plugin.backends.sandbox import system_view, view_of
from mlflow_serving_plugin.settings import Settings

_TRY_S = 20.0
_DEVICES = ("nvidia*", "dri", "kfd")
"""Of GPUs."""

_WHOLE_LANDLOCK = 6
_NAMESPACES = (
    "Allow user namespaces to the server's user: sysctl user.max_user_namespaces; on Ubuntu also "
    "kernel.apparmor_restrict_unprivileged_userns=0; in a container, a seccomp profile that allows unshare and mount."
)
_LANDLOCK = "Linux 6.12 or later, with landlock in /sys/kernel/security/lsm, hides files, signals and sockets as well."
_SECCOMP = "A kernel with CONFIG_SECCOMP_FILTER, on x86_64 or aarch64, denies system calls that no model needs."
_BUBBLEWRAP = "Needed only for sandbox=on where namespaces do not work."


@dataclass(frozen=True, slots=True)
class Levels:
    """The layers that work here, for this server's user."""

    namespaces: str
    """Empty when they work; else what the kernel said."""
    landlock: int
    """The version of Landlock's interface; 0 without Landlock."""
    seccomp: bool

    @property
    def any(self) -> bool:
        """Whether a worker can be isolated at all."""
        return not self.namespaces or self.landlock > 0 or self.seccomp

    @property
    def whole(self) -> bool:
        """Whether nothing is missing: see the table in ``docs/how-to/sandbox.md``."""
        return not self.namespaces and self.landlock >= _WHOLE_LANDLOCK and self.seccomp

    def __str__(self) -> str:
        """The layers, for a person."""
        landlock = f"Landlock {self.landlock}" if self.landlock else ""
        layers = ["" if self.namespaces else "namespaces", landlock, "call filter" if self.seccomp else ""]
        return ", ".join(layer for layer in layers if layer) or "none"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the sandbox on this machine, for a person. ``advice``: what to do for more; empty when all holds."""

    name: str
    holds: str
    advice: str = ""


def layers(found: Levels, *, bubblewrap: str) -> list[Layer]:
    """Each layer, with what to do for more. ``bubblewrap``: why it does not work; empty when it does."""
    landlock = f"version {found.landlock}" if found.landlock else "no"
    return [
        Layer("namespaces", found.namespaces or "yes", _NAMESPACES if found.namespaces else ""),
        Layer("Landlock", landlock, "" if found.landlock >= _WHOLE_LANDLOCK else _LANDLOCK),
        Layer("call filter", "yes" if found.seccomp else "no", "" if found.seccomp else _SECCOMP),
        Layer("bubblewrap", "no" if bubblewrap else "yes", bubblewrap and f"{bubblewrap} {_BUBBLEWRAP}"),
    ]


@functools.cache
def levels() -> Levels:
    """Try each layer, once in the life of this process. Takes a tenth of a second."""
    paths, links = system_view()
    plan = {**_layers(Levels("", 0, False)), **_files(paths, links), "network": False, "tmp_bytes": 1024 * 1024}
    command = [sys.executable, "-I", "-S", str(WORKER_PACKAGE), "isolation.check", json.dumps(plan)]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_TRY_S, check=True)
        return Levels(**json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Levels(f"The trial failed: {type(error).__name__}.", 0, False)


def in_bubblewrap(spec: WorkerSpec) -> bool:
    """Whether a worker needs bubblewrap, which may be allowed what the server's user is not: to make namespaces."""
    return spec.settings.sandbox == "on" and bool(levels().namespaces)


def sandbox_of(spec: WorkerSpec) -> str:
    """What isolates a worker, for a person; empty when nothing is to be, and when all layers do."""
    if spec.settings.sandbox == "off":
        return ""
    if in_bubblewrap(spec):
        return "bubblewrap"
    return "" if levels().whole else f"{levels()}"


def isolation_of(spec: WorkerSpec, address: Path, settings: Settings, found: Levels) -> dict[str, object] | None:
    """The plan of a worker that will listen at ``address``, as ``worker.isolation.plan.Plan`` reads it.

    None when the worker is not isolated: its sandbox is off, or this machine grants nothing.
    """
    if spec.settings.sandbox == "off" or not found.any:
        return None
    paths, links = view_of(spec, os.environ)
    memory_mb = spec.settings.memory_limit_mb
    own = [str(spec.model_dir)]
    return {
        **_layers(found),
        **_files([*paths, *_paths(settings.sandbox_readable_paths)], links, own=own),
        "writable": [str(path) for path in [*_paths(settings.sandbox_writable_paths), *spec.writable]],
        "devices": sorted(str(path) for pattern in _DEVICES for path in Path("/dev").glob(pattern)),
        "scratch": f"{address}.tmp",
        "network": spec.settings.network == "on",
        "tmp_bytes": memory_mb * 1024 * 1024 if memory_mb else None,
    }


def _layers(found: Levels) -> dict[str, object]:
    return {"namespaces": not found.namespaces, "landlock": found.landlock, "seccomp": found.seccomp}


def _files(paths: Iterable[Path], links: Mapping[str, str], own: Collection[str] = ()) -> dict[str, object]:
    readable = [str(path) for path in paths if str(path) not in own]
    return {"readable": readable, "writable": [], "own": [*own], "devices": [], "links": dict(links), "scratch": ""}


def _paths(setting: str) -> list[Path]:
    return [Path(word) for word in setting.split(os.pathsep) if Path(word).is_absolute()]
