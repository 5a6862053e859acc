"""Model files and logs in the state directory: where they are, and which are nobody's any more."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.environments.environments import Environments
from mlflow_serving_plugin.environments.recipe import Need
from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.host.differences import forget_others
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.registry.artifacts import fetched_model


def model_directory(paths: StatePaths, wanted: DesiredEntity) -> Path:
    """Where an entity's files are kept. A registry may give a deleted version's number again: so by source too."""
    source = hashlib.sha256(wanted.entity.source.encode()).hexdigest()[:8]
    return paths.models / wanted.key.endpoint_id / f"{wanted.key.name}-{source}"


def cache_directory(paths: StatePaths, wanted: DesiredEntity) -> Path | None:
    """Where the libraries of an entity's model keep things, if the endpoint asks for that.

    A cache may hold code, so only the versions of one model within one endpoint share a cache.
    """
    if wanted.settings.cache_mb is None:
        return None
    model = wanted.entity.model
    name = hashlib.sha256(f"{model.workspace}/{model.name}".encode()).hexdigest()[:16]
    return paths.caches / wanted.key.endpoint_id / name


def present_needs(
    paths: StatePaths,
    desired: Mapping[EntityKey, DesiredEntity],
    environments: Environments,
    known: Mapping[EntityKey, Need],
) -> dict[EntityKey, Need]:
    """What each entity needs whose model files are complete. Entities with unreadable files are left out.

    ``known``: what entities need that are as they were, so that their files need not be read again.
    """
    found = {}
    for key, wanted in desired.items():
        files = fetched_model(model_directory(paths, wanted), wanted.entity.source)
        if files is not None and key in known and known[key].recipe.model_dir == files:
            found[key] = Need(known[key].recipe, environments.find(known[key].recipe))
        elif files is not None:
            with contextlib.suppress(ServingError):
                found[key] = environments.need(files, wanted.settings.env_manager)
    return found


def clear_scratch(paths: StatePaths) -> None:
    """Remove what fetches that were interrupted have left."""
    for path in paths.models.glob("*/.*"):
        shutil.rmtree(path, ignore_errors=True)


def sweep(
    paths: StatePaths, keep_models: Collection[Path], keep_keys: Collection[EntityKey], keep_caches: Collection[Path]
) -> None:
    """Remove the model files but ``keep_models``, the logs of entities but ``keep_keys``, the caches but
    ``keep_caches``, and what shadows of other endpoints answered otherwise."""
    for path in paths.caches.glob("*/*"):
        if path not in keep_caches:
            shutil.rmtree(path, ignore_errors=True)
    for path in paths.models.glob("*/*"):
        if path not in keep_models and not path.name.startswith("."):
            shutil.rmtree(path, ignore_errors=True)
    for path in paths.logs.glob("*/*"):
        # ``3.log``, and ``3.log.1`` after a rotation.
        if EntityKey(path.parent.name, path.name.partition(".log")[0]) not in keep_keys:
            path.unlink(missing_ok=True)
    forget_others(paths.shadow, {key.endpoint_id for key in keep_keys})
    for parent in (paths.models, paths.logs, paths.caches):
        for directory in parent.iterdir() if parent.exists() else ():
            if directory.is_dir() and not any(directory.iterdir()):
                directory.rmdir()
