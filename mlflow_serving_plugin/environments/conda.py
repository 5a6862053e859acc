"""Conda packages: what solves and installs them here, and from which channels. Pure but for looking at PATH."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mlflow_serving_plugin.environments.run import BuildFailedError

_DEFAULT_CHANNELS = ("conda-forge",)
_DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
"""What conda means by the channel ``defaults``, which is a setting of conda's own and not a place."""

_PROGRAMS = ("micromamba", "mamba", "conda")


def channels_of(named: Iterable[str], *, for_rattler: bool) -> tuple[str, ...]:
    """The channels to look in, in order; ``conda-forge`` when the model names none."""
    found: list[str] = []
    for channel in tuple(named) or _DEFAULT_CHANNELS:
        if channel == "nodefaults":
            continue
        found += _DEFAULTS if channel == "defaults" and for_rattler else [channel]
    return tuple(found)


def conda_command(
    prefix: Path,
    specs: Sequence[str],
    channels: Sequence[str],
    *,
    offline: bool,
    has_rattler: Callable[[], bool] = lambda: importlib.util.find_spec("rattler") is not None,
    which: Callable[[str], str | None] = shutil.which,
) -> list[str]:
    """The command that makes an environment at ``prefix``; BuildFailedError when nothing here can."""
    if has_rattler():
        config = {
            "prefix": str(prefix),
            # conda.yaml may have blanks around operators; rattler takes those between name and version only.
            "specs": [" ".join(spec.split()) for spec in specs],
            "channels": _reachable(channels_of(channels, for_rattler=True), offline=offline),
        }
        return [sys.executable, "-m", "mlflow_serving_plugin.environments.conda_rattler", json.dumps(config)]
    program = next((found for name in _PROGRAMS if (found := which(name))), None)
    if program is None:
        raise BuildFailedError(
            f"The model's conda.yaml names conda packages ({', '.join(specs[1:4])}), and the server has no conda: "
            "pip install 'mlflow-serving-plugin[conda]' on the server, or set env_manager to uv to skip these packages."
        )
    flags = [word for channel in channels_of(channels, for_rattler=False) for word in ("-c", channel)]
    limits = ["--offline"] if offline else []
    return [program, "create", "--yes", "--prefix", str(prefix), "--override-channels", *flags, *limits, *specs]


def _reachable(channels: Sequence[str], *, offline: bool) -> list[str]:
    """rattler has no offline option, so offline it gets only the channels on this machine."""
    found = [channel for channel in channels if not offline or channel.startswith("file:")]
    if not found:
        raise BuildFailedError(
            "The server is offline, and none of conda.yaml's channels is a directory of this machine."
        )
    return found
