"""Which MLflow a model's requirements name, and what has to be added so that the whole of MLflow is there. Pure.

MLflow comes as three projects of one version number: ``mlflow``, which has the scoring server, and its parts
``mlflow-skinny`` and ``mlflow-tracing``, which share files with it. So a version of a part is the version of all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from packaging.specifiers import SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from mlflow_serving_plugin.environments.conda_specs import conda_name, versions
from mlflow_serving_plugin.environments.requirement import applies, is_exact, parsed

WHOLE = "mlflow"
_PARTS = frozenset({"mlflow-skinny", "mlflow-tracing"})
_EDITABLE = re.compile(r"^(?:-e|--editable)[\s=]+")
_EGG = re.compile(r"[#&]egg=([A-Za-z0-9._-]+)")
_SUBDIRECTORY = re.compile(r"[#&]subdirectory=[^&]*")


OF_MLFLOW_1 = ("numpy<2", "pandas<2", "protobuf<5")
"""MLflow 1.30 names these limits. Versions before it need them too, or do not even import, and name none."""


@dataclass(frozen=True, slots=True)
class _Named:
    """A project of MLflow's in one line. ``source``: a file or URL, empty when an index has the project."""

    project: str
    specifier: SpecifierSet
    source: str = ""


def mlflow_line(
    lines: Iterable[str], *, python: str, server_mlflow: str, constraints: Iterable[str] = (), conda: Iterable[str] = ()
) -> str | None:
    """The requirement to add; None when the lines give the whole of MLflow, in one version, by themselves.

    ``python``: the minor version for which markers count. ``conda``: match specs that conda installs. With nothing
    that names MLflow: at most the server's version, whose models the server knows.
    """
    found = [named for line in lines for named in _named(line, python)]
    by_conda = {conda_name(package): versions(package) for package in conda}
    if WHOLE in by_conda or any(n.project == WHOLE and (n.source or is_exact(n.specifier)) for n in found):
        return None
    limits = SpecifierSet()
    for named in found:
        if named.project != WHOLE:
            limits &= named.specifier
    for part in _PARTS & by_conda.keys():
        limits &= SpecifierSet((by_conda[part] or ("",))[0])
    if str(limits):
        return f"{WHOLE}{limits}"
    if any(named.project == WHOLE for named in found):
        return None
    if source := next((named.source for named in found if named.source), ""):
        return _whole_from(source)
    limited = any(n.project == WHOLE or n.project in _PARTS for line in constraints for n in _named(line, python))
    free = bool(found) or bool(_PARTS & by_conda.keys()) or limited or Version(server_mlflow).is_prerelease
    return WHOLE if free else f"{WHOLE}<={server_mlflow}"


def is_mlflow_1(lines: Iterable[str], python: str) -> bool:
    """Whether the lines admit no MLflow but a version before 2."""
    limits = SpecifierSet()
    for named in (named for line in lines for named in _named(line, python)):
        limits &= named.specifier
    old = any(limits.contains(f"1.{minor}.{patch}") for minor in range(31) for patch in range(4))
    return old and not any(limits.contains(f"{major}.{minor}.0") for major in (2, 3, 4) for minor in range(100))


def _named(line: str, python: str) -> Iterator[_Named]:
    """What a line names of MLflow's; nothing when its marker does not hold."""
    requirement = parsed(line)
    project: str
    if requirement is not None:
        if not applies(requirement, python):
            return
        project, source = canonicalize_name(requirement.name), requirement.url or ""
        version = _version_of(source)
        specifier = requirement.specifier if version is None or not source else SpecifierSet(f"=={version}")
    else:
        source = _EDITABLE.sub("", line).partition(" ;")[0].strip()
        project, version = _project_of(source), _version_of(source)
        specifier = SpecifierSet(f"=={version}" if version else "")
    if project == WHOLE or project in _PARTS:
        yield _Named(project, specifier, source)


def _file_of(source: str) -> str:
    return unquote(urlsplit(source).path).rsplit("/", 1)[-1]


def _project_of(source: str) -> str:
    """The project in a file or at a URL, by its name; empty when the name does not tell."""
    if egg := _EGG.search(source):
        return canonicalize_name(egg.group(1))
    if named := _name_and_version(_file_of(source)):
        return named[0]
    path = urlsplit(source).path.partition(".git")[0].partition("@")[0].rstrip("/")
    if path.endswith("/mlflow/mlflow") or "/mlflow/mlflow/" in path:
        subdirectory = _SUBDIRECTORY.search(source)
        return f"mlflow-{subdirectory.group(0).rsplit('/', 1)[-1].rsplit('=', 1)[-1]}" if subdirectory else WHOLE
    return ""


def _version_of(source: str) -> Version | None:
    named = _name_and_version(_file_of(source)) if source else None
    return named[1] if named else None


def _name_and_version(file: str) -> tuple[str, Version] | None:
    try:
        if file.endswith(".whl"):
            return parse_wheel_filename(file)[:2]
        return parse_sdist_filename(file)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None


def _whole_from(source: str) -> str:
    """MLflow's repository has the parts in folders and the whole at its root."""
    root = _SUBDIRECTORY.sub("", _EGG.sub("", source)).rstrip("#&")
    return f"{WHOLE} @ {root}" if "://" in root and "git" in root else WHOLE
