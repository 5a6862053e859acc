"""The version of a flavor's library that a model was logged with, where the model's requirements leave it open. Pure.

A pickle may load only where that version is, whatever ``scikit-learn>=1.3`` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mlflow_serving_plugin.environments.requirement import applies, is_exact, parsed
from mlflow_serving_plugin.environments.spec import EnvironmentSpec

_RELEASED = {"numpy<2": "2024-06-16", "pandas<2": "2023-04-03"}
"""When the versions were released that these limits exclude. Libraries that were built for the versions before do not
load beside them, and name no limit: scikit-learn 1.2 and statsmodels 0.13 for NumPy 2."""

_NOT_LIBRARIES = frozenset({"Python", "MLflow"})


def open_libraries(spec: EnvironmentSpec, python: str) -> tuple[str, ...]:
    """``scikit-learn==1.4.2`` for a model that was logged with it and whose requirements admit other versions too.

    Nothing where they name one version, a file or a URL, or exclude the version that the model was logged with.
    ``python``: the minor version for which markers count.
    """
    found = ((name, _public(version)) for name, version in spec.logged_with if name not in _NOT_LIBRARIES)
    asked = [r for line in (*spec.requirements, *spec.constraints) if (r := parsed(line)) and applies(r, python)]
    return tuple(f"{name}=={version}" for name, version in found if version is not None and _open(name, version, asked))


def limits_of_its_time(created: str) -> tuple[str, ...]:
    """Constraints that a model met for certain, as it was logged before these versions were released."""
    return tuple(limit for limit, released in _RELEASED.items() if created and created[:10] < released)


def first_other(pins: Iterable[str], have: Callable[[str], str | None]) -> str | None:
    """Why an interpreter is not what the model was logged with, for a person; None when it is."""
    for pin in pins:
        name, _, version = pin.partition("==")
        installed = have(name)
        if installed is None or _public(installed) != version:
            has = f"has {installed}" if installed else "has none"
            return f"the model was logged with {name} {version}, the server {has}"
    return None


def _open(name: str, version: str, asked: Iterable[Requirement]) -> bool:
    naming = [requirement for requirement in asked if canonicalize_name(requirement.name) == name]
    limits = SpecifierSet(",".join(str(requirement.specifier) for requirement in naming if requirement.specifier))
    by_index = not any(requirement.url for requirement in naming)
    return by_index and not is_exact(limits) and limits.contains(version, prereleases=True)


def _public(version: str) -> str | None:
    """The version as an index has it: ``2.1.0`` of ``2.1.0+cu121``; None for what is no version."""
    try:
        return Version(version).public
    except InvalidVersion:
        return None
