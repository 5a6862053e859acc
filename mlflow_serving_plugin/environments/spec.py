"""What environment a model asks for, from its own files: ``python_env.yaml``, ``conda.yaml``, ``requirements.txt``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.environments.conda_specs import conda_name, versions
from mlflow_serving_plugin.environments.pythons import is_range, minor_of
from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.host.mlmodel import MlModel, read_mlmodel
from mlflow_serving_plugin.host.yaml_text import load_yaml

_NOT_PACKAGES = frozenset({"python", "pip"})
_COMMENT = re.compile(r"(^|\s+)#.*$")
_INCLUDE = re.compile(r"^(?:-r|--requirement|-c|--constraint)(?:[\s=]+)(.+)$")
_CONSTRAINT = re.compile(r"^(-c|--constraint)\b")
_PATH_LIKE = re.compile(r"^(?!.*://)(?!.*\s@\s).*(/|\.whl$|\.tar\.gz$|\.zip$)")
_DEEPEST = 5


class RequirementsError(ServingError):
    """The model's requirements cannot be read; the message names the file or line."""


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """What a model's files ask for.

    ``python``: the minor version (``3.11``), None when no file says or a range does; pickles do not depend on more.
    ``requirements``: lines for pip, options among them. ``build_requirements``: what MLflow installs first (pip,
    setuptools, wheel). ``conda_packages``: conda's own match specs but python and pip.
    """

    python: str | None = None
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    build_requirements: tuple[str, ...] = ()
    conda_packages: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    conda_python: str | None = None
    """conda's own words for the Python it wants, say ``python=3.11.7``."""
    python_range: tuple[str, ...] = ()
    """The alternatives, as PEP 440 specifiers, when the model asks for a range of Python versions."""
    logged_with: tuple[tuple[str, str], ...] = ()
    """``MlModel.logged_with``, name and version."""
    created: str = ""
    """``MlModel.created``."""
    loader: str = ""
    """The module that loads the model."""


def read_spec(model_dir: Path) -> EnvironmentSpec:
    """Read a model's files. RequirementsError when what they name is not there or not readable.

    ``requirements.txt`` is what ``python_env.yaml`` refers to; of a model that has only ``conda.yaml`` (MLflow before
    1.25) its pip section counts. A model with none of them asks for nothing.
    """
    mlmodel = _mlmodel(model_dir)
    declared = _declared_files(mlmodel)
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
    conda_python = next((package for package in packages if conda_name(package) == "python"), None)
    logged_with = mlmodel.logged_with if mlmodel is not None else {}
    python_range = _python_range(conda_python, str(python_env.get("python") or ""))
    pinned = minor_of(python_env.get("python")) or minor_of(conda_python) or minor_of(logged_with.get("Python"))
    return EnvironmentSpec(
        python=None if python_range else pinned,
        requirements=tuple(requirements),
        constraints=tuple(constraints),
        build_requirements=tuple(_lines(python_env.get("build_dependencies"))),
        conda_packages=tuple(p for p in packages if conda_name(p) not in _NOT_PACKAGES),
        channels=tuple(str(channel) for channel in conda.get("channels") or ()),
        conda_python=conda_python,
        python_range=python_range,
        logged_with=tuple(logged_with.items()),
        created=mlmodel.created if mlmodel is not None else "",
        loader=str(mlmodel.python_function.get("loader_module", "")) if mlmodel is not None else "",
    )


def read_requirements(model_dir: Path, name: str, depth: int = 0) -> tuple[list[str], list[str]]:
    """The requirements (and option lines) of one of the model's files, and its constraints; ``-r`` is followed.

    RequirementsError for a file that is not there or lies outside the model.
    """
    path = _inside(model_dir, name, "The model's requirements name")
    if depth > _DEEPEST:
        raise RequirementsError(f"The model's requirements files include each other: {name!r}.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise RequirementsError(f"The model's requirements name {name!r}, which cannot be read.") from None
    directory = path.parent.relative_to(model_dir.resolve())
    return split_lines(model_dir, logical_lines(text), str(directory), depth)


def split_lines(
    model_dir: Path, lines: Iterable[str], directory: str = ".", depth: int = 0
) -> tuple[list[str], list[str]]:
    """Requirements and constraints from lines; a line that includes a file gives that file's."""
    requirements: list[str] = []
    constraints: list[str] = []
    for line in lines:
        included = _INCLUDE.match(line)
        if included is None:
            requirements.append(line)
            continue
        inner, inner_constraints = read_requirements(model_dir, str(Path(directory) / included.group(1)), depth + 1)
        (constraints if _CONSTRAINT.match(line) else requirements).extend(inner)
        constraints.extend(inner_constraints)
    return requirements, constraints


def logical_lines(text: str) -> Iterator[str]:
    """Lines without comments; one that ends in a backslash goes on in the next."""
    for line in text.replace("\\\n", " ").splitlines():
        bare = _COMMENT.sub("", line).strip()
        if bare:
            yield " ".join(bare.split())


def identity(model_dir: Path, line: str) -> str:
    """What a line stands for in the key of an environment: a file of the model by its content, all else by itself."""
    words = line.split()
    path = model_dir / words[-1]
    if _PATH_LIKE.match(line) and path.is_file() and path.resolve().is_relative_to(model_dir.resolve()):
        return f"{' '.join(words[:-1])} {path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}".strip()
    return line


def _mlmodel(model_dir: Path) -> MlModel | None:
    try:
        return read_mlmodel(model_dir)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise RequirementsError("The model's MLmodel cannot be read: it is not valid YAML.") from None


def _declared_files(mlmodel: MlModel | None) -> dict[str, str]:
    """The files that ``MLmodel`` names: ``conda`` and ``virtualenv``."""
    env = mlmodel.python_function.get("env") if mlmodel is not None else None
    if isinstance(env, dict):
        return {name: value for name, value in env.items() if isinstance(value, str)}
    return {"conda": env} if isinstance(env, str) else {}


def _python_range(conda_python: str | None, python_env: str) -> tuple[str, ...]:
    """The range that conda.yaml gives; empty when it gives one minor version, or python_env.yaml another one.

    MLflow writes the number of ``python>=3.7.12`` into python_env.yaml, as if the range were a pin.
    """
    alternatives = versions(conda_python) if conda_python is not None else None
    if alternatives is None or not is_range(alternatives) or (python_env and python_env not in str(conda_python)):
        return ()
    return alternatives


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


def _yaml(model_dir: Path, name: str) -> dict[str, Any]:
    """One of the model's YAML files; empty when it is not there."""
    try:
        content = load_yaml(_inside(model_dir, name, "The MLmodel file names").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise RequirementsError(f"The model's {name} cannot be read: it is not valid YAML.") from None
    return content if isinstance(content, dict) else {}


def _inside(model_dir: Path, name: str, who: str) -> Path:
    path = (model_dir / name).resolve()
    if not path.is_relative_to(model_dir.resolve()):
        raise RequirementsError(f"{who} {name!r}, which lies outside the model.")
    return path
