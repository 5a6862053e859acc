"""What environment a model asks for, from its own files: ``python_env.yaml``, ``conda.yaml``, ``requirements.txt``."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlflow_serving_plugin.environments.requirement_lines import RequirementsError, read_requirements, split_lines

_MINOR = re.compile(r"^\D*(\d+\.\d+)")
_CONDA_PYTHON = re.compile(r"^python\s*(?:[=<>!~ ]|$)")
_CONDA_NAME = re.compile(r"^(?:[^:\s]+::)?([A-Za-z0-9_.-]+)")
_NOT_PACKAGES = frozenset({"python", "pip"})


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """What a model's files ask for.

    ``python``: the minor version (``3.11``), None when no file says; pickles do not depend on more. ``requirements``:
    lines for pip, options among them. ``build_requirements``: what MLflow installs first (pip, setuptools, wheel).
    ``conda_packages``: conda's own match specs but python and pip.
    """

    python: str | None = None
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    build_requirements: tuple[str, ...] = ()
    conda_packages: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    conda_python: str | None = None
    """conda's own words for the Python it wants, say ``python=3.11.7``."""


def read_spec(model_dir: Path) -> EnvironmentSpec:
    """Read a model's files. RequirementsError when what they name is not there or not readable.

    ``requirements.txt`` is what ``python_env.yaml`` refers to; of a model that has only ``conda.yaml`` (MLflow before
    1.25) its pip section counts. A model with none of them asks for nothing.
    """
    declared = _declared_files(model_dir)
    conda = _yaml(model_dir, declared.get("conda", "conda.yaml"))
    python_env = _yaml(model_dir, declared.get("virtualenv", "python_env.yaml"))
    packages, pip_lines = _conda_dependencies(conda)
    if python_env:
        requirements, constraints = split_lines(model_dir, _lines(python_env.get("dependencies")))
    elif pip_lines:
        requirements, constraints = split_lines(model_dir, pip_lines)
    elif (model_dir / "requirements.txt").is_file():
        requirements, constraints = read_requirements(model_dir, "requirements.txt")
    else:
        requirements, constraints = [], []
    conda_python = next((package for package in packages if _CONDA_PYTHON.match(package)), None)
    return EnvironmentSpec(
        python=_minor(python_env.get("python")) or _minor(conda_python) or _minor(declared.get("python_version")),
        requirements=tuple(requirements),
        constraints=tuple(constraints),
        build_requirements=tuple(_lines(python_env.get("build_dependencies"))),
        conda_packages=tuple(p for p in packages if conda_name(p) not in _NOT_PACKAGES),
        channels=tuple(str(channel) for channel in conda.get("channels") or ()),
        conda_python=conda_python,
    )


def conda_name(match_spec: str) -> str:
    """The package that a conda match spec is about."""
    found = _CONDA_NAME.match(match_spec)
    return found.group(1).lower() if found else match_spec


def _declared_files(model_dir: Path) -> dict[str, str]:
    """What ``MLmodel`` says: ``conda`` and ``virtualenv`` (files), ``python_version``."""
    flavour = (_yaml(model_dir, "MLmodel").get("flavors") or {}).get("python_function") or {}
    env = flavour.get("env") or {}
    found = {"conda": env} if isinstance(env, str) else {k: str(v) for k, v in env.items() if isinstance(v, str)}
    return {**found, "python_version": str(flavour.get("python_version") or "")}


def _conda_dependencies(conda: dict[str, Any]) -> tuple[list[str], list[str]]:
    packages: list[str] = []
    pip_lines: list[str] = []
    for entry in conda.get("dependencies") or ():
        if isinstance(entry, str):
            packages.append(entry.strip())
        elif isinstance(entry, dict):
            pip_lines += _lines(entry.get("pip"))
    return packages, pip_lines


def _lines(value: Any) -> list[str]:
    return [str(line).strip() for line in value or () if str(line).strip()]


def _minor(text: Any) -> str | None:
    found = _MINOR.match(str(text)) if text else None
    return found.group(1) if found else None


def _yaml(model_dir: Path, name: str) -> dict[str, Any]:
    """One of the model's YAML files; empty when it is not there."""
    path = (model_dir / name).resolve()
    if not path.is_relative_to(model_dir.resolve()):
        raise RequirementsError(f"The MLmodel file names {name!r}, which lies outside the model.")
    with contextlib.suppress(FileNotFoundError):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise RequirementsError(f"The model's {name} cannot be read: it is not valid YAML.") from None
        return content if isinstance(content, dict) else {}
    return {}
