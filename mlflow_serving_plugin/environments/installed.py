"""What the server's own interpreter has installed, and whether that is what a model asks for."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mlflow_serving_plugin.environments.requirement import parsed

Version = Callable[[str], str | None]
"""The installed version of a project, None when it is not there."""

Requires = Callable[[str], Iterable[str]]
"""What an installed project itself requires, as its metadata says."""


def server_python() -> str:
    """The server's Python, as ``3.11``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@functools.cache
def installed_version(name: str) -> str | None:
    """The version of a project in the server's interpreter. A server does not install while it runs."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@functools.cache
def installed_requires(name: str) -> tuple[str, ...]:
    """What an installed project requires."""
    return tuple(metadata.requires(name) or ())


def first_unsatisfied(
    lines: Iterable[str], version: Version = installed_version, requires: Requires = installed_requires
) -> str | None:
    """Why the interpreter is not what these lines ask for, for a person; None when it is. Pure, given its functions."""
    for line in lines:
        requirement = parsed(line)
        if line.startswith("-"):
            return "the model comes with options for pip"
        if requirement is None or requirement.url is not None:
            # Not quoted: a URL may hold a password.
            return "the model names a file or URL to install"
        if (reason := _unsatisfied(requirement, version, requires)) is not None:
            return reason
    return None


def _unsatisfied(requirement: Requirement, version: Version, requires: Requires) -> str | None:
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return None
    have = version(canonicalize_name(requirement.name))
    if have is None:
        return f"the server has no {requirement.name}"
    if not requirement.specifier.contains(have, prereleases=True):
        return f"the server has {requirement.name} {have}, the model wants {requirement.name}{requirement.specifier}"
    for extra in requirement.extras:
        for needed in map(Requirement, requires(canonicalize_name(requirement.name))):
            if needed.marker is not None and _only_for(needed, extra):
                needed.marker = None
                reason = _unsatisfied(needed, version, requires)
                if reason is not None:
                    return reason
    return None


def _only_for(requirement: Requirement, extra: str) -> bool:
    assert requirement.marker is not None  # noqa: S101 - the caller has looked
    return requirement.marker.evaluate({"extra": extra}) and not requirement.marker.evaluate({"extra": ""})
