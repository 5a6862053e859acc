"""Versions: Python, MLflow, this package, what it requires, and the parts that only some servers need."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata, util

from packaging.requirements import Requirement

from mlflow_serving_plugin import __version__
from mlflow_serving_plugin.access.wrapped_app import BASIC_AUTH, OIDC_AUTH
from mlflow_serving_plugin.diagnosis.base import ERROR, OK, SKIPPED, WARNING, Finding, Place
from mlflow_serving_plugin.registry.internals import changed_parts
from mlflow_serving_plugin.settings import unknown_variables
from mlflow_serving_plugin.ui.bundle import load_bundle

PACKAGE = "mlflow-serving-plugin"
_AREA = "software"

_DRIVERS = {
    "postgresql": ("psycopg2-binary", ("psycopg2",)),
    "postgresql+psycopg2": ("psycopg2-binary", ("psycopg2",)),
    "postgresql+psycopg": ("psycopg[binary]", ("psycopg",)),
    "mysql": ("mysqlclient", ("MySQLdb",)),
    "mysql+mysqldb": ("mysqlclient", ("MySQLdb",)),
    "mysql+pymysql": ("pymysql", ("pymysql",)),
    "mssql+pymssql": ("pymssql", ("pymssql",)),
    "mssql+pyodbc": ("pyodbc", ("pyodbc",)),
}
"""By the scheme of a database: the distribution to install, and the modules that it brings."""

_STORES = {
    "s3": ("boto3", ("boto3",)),
    "gs": ("google-cloud-storage", ("google.cloud.storage",)),
    "wasbs": ("azure-storage-blob", ("azure.storage.blob",)),
    "abfss": ("azure-storage-file-datalake", ("azure.storage.filedatalake",)),
}
_AUTH = {
    BASIC_AUTH: ("mlflow[auth]", ("flask_wtf",)),
    OIDC_AUTH: ("mlflow-oidc-auth", ("mlflow_oidc_auth",)),
}


def versions(_place: Place) -> Iterator[Finding]:
    """Python, MLflow and this package, and whether each installed dependency is one that is supported."""
    yield Finding(_AREA, "Python", OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    wrong = dict(_unmet(metadata.requires(PACKAGE) or []))
    yield _mlflow(wrong.pop("mlflow", None))
    yield Finding(_AREA, "plugin", OK, __version__)
    if wrong:
        names = ", ".join(wrong.values())
        advice = f"Install them: pip install {' '.join(repr(text) for text in wrong)}"
        yield Finding(_AREA, "dependencies", ERROR, f"Not as required: {names}.", advice)
    else:
        yield Finding(_AREA, "dependencies", OK, "as required")


def _mlflow(wrong: str | None) -> Finding:
    version = metadata.version("mlflow") if not _missing("mlflow") else "not installed"
    if wrong is None:
        return Finding(_AREA, "MLflow", OK, version)
    advice = f"This plugin is for {_requirement_of('mlflow')}. Install one: pip install '{_requirement_of('mlflow')}'"
    return Finding(_AREA, "MLflow", ERROR, version, advice)


def _requirement_of(name: str) -> str:
    found = [Requirement(text) for text in metadata.requires(PACKAGE) or []]
    return next((f"{one.name}{one.specifier}" for one in found if one.name == name), name)


def _unmet(requirements: list[str]) -> Iterator[tuple[str, str]]:
    """``(name or requirement, what is there)`` of each dependency that is missing or of another version."""
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            there = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield _key(requirement), f"{requirement.name} is missing"
            continue
        if not requirement.specifier.contains(there, prereleases=True):
            yield _key(requirement), f"{requirement.name} is {there}, not {requirement.specifier}"


def _key(requirement: Requirement) -> str:
    return "mlflow" if requirement.name == "mlflow" else f"{requirement.name}{requirement.specifier}"


def _missing(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return True
    return False


def internals(_place: Place) -> Iterator[Finding]:
    """What MLflow has changed of the parts that are no public API and that this package touches."""
    changed = changed_parts()
    for part in changed:
        advice = f"Install an MLflow that this plugin was tested with, or a newer plugin. Missing: {part.missing}."
        yield Finding(_AREA, "MLflow's internals", ERROR if part.serious else WARNING, part.consequence, advice)
    if not changed:
        yield Finding(_AREA, "MLflow's internals", OK, "as this plugin knows them")


def optional_parts(place: Place) -> Iterator[Finding]:
    """The packages for this server's database, artifact store and auth app; programs; the built tab."""
    database = place.settings.database_uri or place.backend_store_uri
    wanted = {
        "database driver": _DRIVERS.get(_scheme(database)),
        "artifact store": _STORES.get(_scheme(place.artifacts_destination)),
        "auth app": _AUTH.get(place.settings.base_app),
    }
    for name, need in wanted.items():
        if need is None:
            continue
        distribution, modules = need
        missing = [module for module in modules if not _importable(module)]
        if missing:
            advice = f"Install it into the server's environment: pip install '{distribution}'"
            yield Finding(_AREA, name, ERROR, f"{distribution} is not installed", advice)
        else:
            yield Finding(_AREA, name, OK, distribution)
    yield _conda()
    if load_bundle() is None:
        advice = "Install the plugin with its build: pip install . builds the tab, a copy of the sources does not."
        yield Finding(_AREA, "Serving tab", WARNING, "not built", advice)
    else:
        yield Finding(_AREA, "Serving tab", OK, "built")


def _conda() -> Finding:
    if _importable("rattler"):
        return Finding(_AREA, "conda environments", OK, "py-rattler")
    program = next((name for name in ("micromamba", "mamba", "conda") if shutil.which(name)), "")
    if program:
        return Finding(_AREA, "conda environments", OK, program)
    advice = f"Only for models whose conda.yaml names packages that PyPI lacks: pip install '{PACKAGE}[conda]'"
    return Finding(_AREA, "conda environments", SKIPPED, "neither py-rattler nor conda", advice)


def settings_variables(place: Place) -> Iterator[Finding]:
    """Variables that look like settings and are none."""
    unknown = unknown_variables(place.environ)
    for sentence in unknown:
        yield Finding("settings", "variables", WARNING, sentence, "Correct the name, or remove the variable.")
    if not unknown:
        named = sum(name.startswith("MLFLOW_SERVING_") for name in place.environ)
        yield Finding("settings", "variables", OK, f"{named} set" if named else "all as by default")


def _scheme(uri: str) -> str:
    found = re.match(r"([a-z0-9+]+):", uri)
    return found[1] if found else ""


def _importable(module: str) -> bool:
    if module in sys.modules:
        return True
    try:
        return util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
