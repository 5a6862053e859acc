"""Which way a model gets its environment, what goes into that environment, and its key. Pure but for hashing files.

Same recipe, same environment.
"""

from __future__ import annotations

import hashlib
import json
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from mlflow_serving_plugin.environments.conda_specs import by_pip, conda_name
from mlflow_serving_plugin.environments.logged import first_other, limits_of_its_time, open_libraries
from mlflow_serving_plugin.environments.mlflow_line import OF_MLFLOW_1, is_mlflow_1, mlflow_line
from mlflow_serving_plugin.environments.pythons import OLDEST, candidates, minor_of, too_old
from mlflow_serving_plugin.environments.ready import Environment
from mlflow_serving_plugin.environments.requirement import named
from mlflow_serving_plugin.environments.spec import EnvironmentSpec, RequirementsError, identity

_FORMAT = 1
"""Raised when an environment is built in another way from the same requirements."""

_SETUPTOOLS = "setuptools<81"
"""Libraries of MLflow 1's time import ``pkg_resources``; setuptools 81 ended it, and uv's environments have neither."""

_BY_PIP = frozenset({"uv", "virtualenv"})
"""Managers that know no conda packages: what PyPI has too comes from there."""


@dataclass(frozen=True, slots=True)
class Choice:
    """``manager``: ``local``, ``uv``, ``virtualenv`` or ``conda``; ``why``: for a person.

    ``local_fits``: the server's own interpreter has what the requirements ask for too, though another version than
    the model was logged with; the best there is when no environment can be built.
    """

    manager: str
    why: str
    local_fits: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """``manager`` ``local`` needs nothing built. Relative paths start at ``model_dir``."""

    key: str
    manager: str
    why: str
    pythons: tuple[str, ...]
    """Minor versions, the best one first; the first one that can be had is taken."""
    build_requirements: tuple[str, ...]
    """Installed first and separately, as MLflow does: their pins do not constrain the rest."""
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    conda_packages: tuple[str, ...]
    """Without Python."""
    channels: tuple[str, ...]
    model_dir: Path
    preferred: tuple[str, ...] = ()
    """Versions of libraries that the model was logged with. The requirements admit others, which are taken when these
    cannot be had."""
    limits: tuple[str, ...] = ()
    """Constraints that an old model needs and does not name. They are given up when they contradict the rest."""
    conda_python: str = ""
    """conda's words for a range of Python versions: its solver may pick any, when no version of ``pythons`` works."""
    local_fits: bool = False
    """See ``Choice``."""
    logged_with: tuple[tuple[str, str], ...] = ()
    """``MlModel.logged_with``."""
    loader: str = ""
    """``EnvironmentSpec.loader``."""

    @property
    def python(self) -> str:
        """The minor version that is wanted most."""
        return self.pythons[0]

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
    installed: Callable[[str], str | None],
) -> Choice:
    """``auto``: the server's own interpreter where that is what the model asks for, else conda where only conda has
    what it asks for, else uv. ``unsatisfied`` says why the server's interpreter is not what some lines ask for;
    ``installed`` is the version of a project there.
    """
    spec, only_conda = _without_conda(spec)
    if env_manager != "auto":
        them = "it" if len(only_conda) == 1 else "them"
        left_out = f"; conda.yaml's {', '.join(only_conda)} left out, as PyPI is not known to have {them}"
        return Choice(env_manager, "as configured" + (left_out if only_conda and env_manager in _BY_PIP else ""))
    if only_conda:
        return Choice("conda", f"conda.yaml names {', '.join(only_conda[:3])}")
    python = wanted_pythons(spec, server_python)[0]
    reason = ""
    if python != server_python:
        reason = f"the model wants Python {python}, the server has {server_python}"
    elif spec.constraints:
        # A constraint limits versions and requires nothing, so only a resolver can apply it.
        reason = "the model comes with constraints"
    if reason := reason or unsatisfied(spec.requirements) or "":
        return Choice("uv", reason)
    if reason := first_other(open_libraries(spec, python), installed) or "":
        return Choice("uv", reason, local_fits=True)
    return Choice("local", "the server's own interpreter has all that the model asks for")


def wanted_pythons(spec: EnvironmentSpec, server_python: str) -> tuple[str, ...]:
    """The minor versions of Python that the model may run on, the best one first."""
    if not spec.python_range:
        return (spec.python or server_python,)
    logged = minor_of(dict(spec.logged_with).get("Python"))
    found = candidates(spec.python_range, logged=logged, server=server_python)
    return found or (minor_of(spec.conda_python) or server_python,)


def write_recipe(
    spec: EnvironmentSpec,
    choice: Choice,
    model_dir: Path,
    *,
    server_python: str,
    server_mlflow: str,
    server_constraints: str = "",
) -> Recipe:
    """The recipe for what a model asks for. ``server_constraints``: the content of the server's constraints file.

    RequirementsError for a Python on which no worker runs.
    """
    pythons = wanted_pythons(spec, server_python)
    if choice.manager != "local" and too_old(pythons[0]):
        raise RequirementsError(
            f"The model asks for Python {pythons[0]}, and a worker needs Python {OLDEST} or later. Log the model with "
            f"a later Python, or set env_manager to local to try the server's own Python {server_python}."
        )
    by_conda, by_uv = choice.manager == "conda", choice.manager == "uv"
    packages = spec.conda_packages if by_conda else ()
    spec = spec if by_conda else _without_conda(spec)[0]
    first = build_requirements(spec, {conda_name(package) for package in packages})
    requirements = _with_mlflow(spec, pythons[0], server_mlflow, packages)
    old = OF_MLFLOW_1 if is_mlflow_1(requirements, pythons[0]) else ()
    recipe = Recipe(
        key="",
        manager=choice.manager,
        why=choice.why,
        pythons=pythons,
        build_requirements=first,
        requirements=requirements,
        # conda's packages may be of other versions, and MLflow's virtualenv does as MLflow does.
        preferred=open_libraries(spec, pythons[0]) if by_uv else (),
        limits=tuple(dict.fromkeys((*limits_of_its_time(spec.created), *old))) if by_uv else (),
        constraints=spec.constraints,
        conda_packages=packages,
        channels=spec.channels if by_conda else (),
        conda_python=(spec.conda_python or "") if by_conda and spec.python_range else "",
        local_fits=choice.local_fits,
        model_dir=model_dir,
        logged_with=spec.logged_with,
        loader=spec.loader,
    )
    return recipe if choice.manager == "local" else replace(recipe, key=_key(recipe, server_constraints))


def build_requirements(spec: EnvironmentSpec, by_conda: set[str]) -> tuple[str, ...]:
    """What the model's files list as such, and setuptools, which uv's environments do not come with."""
    known = {*named(spec.build_requirements), *named(spec.requirements), *by_conda}
    return (*spec.build_requirements, *(() if "setuptools" in known else (_SETUPTOOLS,)))


def _without_conda(spec: EnvironmentSpec) -> tuple[EnvironmentSpec, tuple[str, ...]]:
    """The same with requirements for pip in place of conda's packages, and the packages for which there are none."""
    lines, only_conda = by_pip(spec.conda_packages, named(spec.requirements))
    return replace(spec, requirements=(*spec.requirements, *lines)), only_conda


def _with_mlflow(spec: EnvironmentSpec, python: str, server_mlflow: str, by_conda: tuple[str, ...]) -> tuple[str, ...]:
    """The requirements and, when they do not name the whole of one MLflow, what has to be added."""
    lines = spec.requirements
    added = mlflow_line(lines, python=python, server_mlflow=server_mlflow, constraints=spec.constraints, conda=by_conda)
    return lines if added is None else (*lines, added)


def _key(recipe: Recipe, server_constraints: str) -> str:
    """Names an environment by all that goes into it."""
    parts: list[object] = [
        _FORMAT,
        recipe.manager,
        recipe.python,
        sysconfig.get_platform(),
        sorted(recipe.build_requirements),
        sorted(identity(recipe.model_dir, line) for line in recipe.requirements),
        sorted(identity(recipe.model_dir, line) for line in recipe.constraints),
        [sorted(recipe.conda_packages), recipe.channels] if recipe.manager == "conda" else [],
        server_constraints,
    ]
    # Only when there are some, so that environments built before these were read are found again.
    if recipe.preferred or recipe.limits or recipe.conda_python or len(recipe.pythons) > 1:
        parts += [recipe.pythons, recipe.conda_python, recipe.preferred, recipe.limits, recipe.local_fits]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
