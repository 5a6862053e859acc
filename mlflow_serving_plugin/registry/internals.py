"""The internals of MLflow's server that this package touches, by the part that fails when one of them is gone.

``tests/integration/test_mlflow_internals.py`` looks at their shape before a release. Here a running server asks whether
they are there, so that a newer MLflow costs a part and a line in the log, not the server.
"""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.version import Version

from mlflow_serving_plugin.errors import ConfigurationError


class Part(NamedTuple):
    """A part of serving. ``serious``: nothing new can be served without the part."""

    consequence: str
    """What does not work while an internal is missing."""
    serious: bool
    internals: tuple[str, ...]
    """``module:attribute``."""


class ChangedPart(NamedTuple):
    """A part that does not work with this MLflow. ``missing``: names, for a maintainer."""

    consequence: str
    serious: bool
    missing: str


PARTS = (
    Part(
        "The Model Registry cannot be read: no model can be enabled, and no new version is served.",
        True,
        ("mlflow.server.handlers:_get_model_registry_store",),
    ),
    Part(
        "Files of models cannot be fetched: a new version fails.",
        True,
        (
            "mlflow.server.handlers:_get_tracking_store",
            "mlflow.server.handlers:_get_artifact_repo_mlflow_artifacts",
            "mlflow.server.handlers:_get_artifact_repository_for_uri",
            "mlflow.server.handlers:_get_proxied_run_artifact_destination_path",
            "mlflow.server.handlers:_is_servable_proxied_run_artifact_root",
            "mlflow.store.artifact.utils.models:_parse_model_uri",
        ),
    ),
    Part(
        "--allowed-hosts and --cors-allowed-origins are not known to serving: serving answers under names of this "
        "machine and private addresses only, and changes nothing for pages of other origins.",
        False,
        (
            "mlflow.server.security:get_allowed_hosts",
            "mlflow.server.security:get_allowed_origins",
            "mlflow.server.security:init_security_middleware",
            "mlflow.server.security_utils:is_allowed_host_header",
        ),
    ),
    Part(
        "Who may use a model cannot be found out: serving answers 503 to callers with a password.",
        True,
        (
            "mlflow.server.auth:_graphql_get_permission_for_model",
            "mlflow.server.auth:auth_config",
            "mlflow.server.auth:authenticate_request",
            "mlflow.server.auth:store",
        ),
    ),
)

_ONLY_IF_LOADED = "mlflow.server.auth"
"""Its import opens the auth database, so only a server that runs the app imports it."""


def changed_parts() -> list[ChangedPart]:
    """The parts that do not work with the MLflow that is installed. Imports MLflow's server."""
    found = []
    for part in PARTS:
        missing = [internal for internal in part.internals if not _is_there(internal)]
        if missing:
            found.append(ChangedPart(part.consequence, part.serious, ", ".join(missing)))
    return found


def _is_there(internal: str) -> bool:
    module, _, attribute = internal.partition(":")
    if module == _ONLY_IF_LOADED and module not in sys.modules:
        return True
    try:
        return hasattr(importlib.import_module(module), attribute)
    except ImportError:
        return False


def mlflow_version() -> str:
    """The version of MLflow that is installed."""
    return metadata.version("mlflow")


def refuse_old_mlflow() -> None:
    """ConfigurationError when MLflow is older than this package is for, as when somebody ignored what pip said."""
    requirements = map(Requirement, metadata.requires("mlflow-serving-plugin") or [])
    needed = next(requirement for requirement in requirements if requirement.name == "mlflow")
    oldest = min(Version(one.version) for one in needed.specifier if one.operator == ">=")
    if Version(mlflow_version()) < oldest:
        raise ConfigurationError(
            f"mlflow-serving-plugin needs MLflow {oldest} or newer, and this server has MLflow {mlflow_version()}. "
            f"Upgrade it: pip install '{needed.name}{needed.specifier}'"
        )
