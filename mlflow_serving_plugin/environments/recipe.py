"""Which way a model gets its environment, what goes into that environment, and its key. Pure but for hashing files.

Same recipe, same environment.
"""

from __future__ import annotations

import hashlib
import json
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from mlflow_serving_plugin.environments.ready import Environment
from mlflow_serving_plugin.environments.spec import EnvironmentSpec, conda_name, identity, named, parsed

_FORMAT = 1
"""Raised when an environment is built in another way from the same requirements."""

_SETUPTOOLS = "setuptools<81"
"""Libraries of MLflow 1's time import ``pkg_resources``; setuptools 81 ended it, and uv's environments have neither."""


@dataclass(frozen=True, slots=True)
class Choice:
    """``manager``: ``local``, ``uv``, ``virtualenv`` or ``conda``; ``why``: for a person."""

    manager: str
    why: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """``manager`` ``local`` needs nothing built. ``python``: minor version. Relative paths start at ``model_dir``."""

    key: str
    manager: str
    why: str
    python: str
    build_requirements: tuple[str, ...]
    """Installed first and separately, as MLflow does: their pins do not constrain the rest."""
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    conda_packages: tuple[str, ...]
    channels: tuple[str, ...]
    model_dir: Path

    def __str__(self) -> str:
        return f"Python {self.python}, by {self.manager}"


@dataclass(frozen=True, slots=True)
class Need:
    """A model's recipe; ``environment`` None: the environment has to be built first."""

    recipe: Recipe
    environment: Environment | None


def choose(
    spec: EnvironmentSpec,
    env_manager: str,
    *,
    server_python: str,
    unsatisfied: Callable[[Iterable[str]], str | None],
) -> Choice:
    """``auto``: the server's own interpreter where that is what the model asks for, else conda where only conda has
    what it asks for, else uv. ``unsatisfied`` says why the server's interpreter is not what some lines ask for.
    """
    if env_manager != "auto":
        return Choice(env_manager, "as configured")
    if spec.conda_packages:
        return Choice("conda", f"conda.yaml names {', '.join(spec.conda_packages[:3])}")
    if spec.python is not None and spec.python != server_python:
        return Choice("uv", f"the model wants Python {spec.python}, the server has {server_python}")
    # A constraint limits versions and requires nothing, so only a resolver can apply it.
    if spec.constraints:
        return Choice("uv", "the model comes with constraints")
    reason = unsatisfied(spec.requirements)
    if reason:
        return Choice("uv", reason)
    return Choice("local", "the server's own interpreter has all that the model asks for")


def write_recipe(
    spec: EnvironmentSpec,
    choice: Choice,
    model_dir: Path,
    *,
    server_python: str,
    server_mlflow: str,
    server_constraints: str = "",
) -> Recipe:
    """The recipe for what a model asks for. ``server_constraints``: the content of the server's constraints file."""
    python = spec.python or server_python
    by_conda = choice.manager == "conda"
    packages = (spec.conda_python or f"python={python}", *spec.conda_packages) if by_conda else ()
    names = {conda_name(package) for package in packages}
    first, requirements = build_requirements(spec, names), complete(spec, server_mlflow, names)
    text = json.dumps(
        [
            _FORMAT,
            choice.manager,
            python,
            sysconfig.get_platform(),
            sorted(first),
            sorted(identity(model_dir, line) for line in requirements),
            sorted(identity(model_dir, line) for line in spec.constraints),
            [sorted(packages), spec.channels] if packages else [],
            server_constraints,
        ]
    )
    key = "" if choice.manager == "local" else hashlib.sha256(text.encode()).hexdigest()[:16]
    return Recipe(
        key=key,
        manager=choice.manager,
        why=choice.why,
        python=python,
        build_requirements=first,
        requirements=requirements,
        constraints=spec.constraints,
        conda_packages=packages,
        channels=spec.channels if packages else (),
        model_dir=model_dir,
    )


def build_requirements(spec: EnvironmentSpec, by_conda: set[str]) -> tuple[str, ...]:
    """What the model's files list as such, and setuptools, which uv's environments do not come with."""
    known = {*named(spec.build_requirements), *named(spec.requirements), *by_conda}
    return (*spec.build_requirements, *(() if "setuptools" in known else (_SETUPTOOLS,)))


def complete(spec: EnvironmentSpec, server_mlflow: str, by_conda: set[str]) -> tuple[str, ...]:
    """The model's requirements, with MLflow at the server's version, or the newest before it that fits, when nothing
    names it.
    """
    have = named(spec.requirements)
    if "mlflow" in have or "mlflow" in by_conda:
        return spec.requirements
    return (*spec.requirements, _mlflow(have.get("mlflow-skinny"), server_mlflow))


def _mlflow(skinny: str | None, server_mlflow: str) -> str:
    """``mlflow-skinny`` has no scoring server: the whole of the same version is needed."""
    requirement = parsed(skinny) if skinny else None
    if requirement is not None:
        return f"mlflow{requirement.specifier}"
    return "mlflow" if Version(server_mlflow).is_prerelease else f"mlflow<={server_mlflow}"
