"""Reads registered models from the server's own registry store."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
    ErrorCode,
)

from mlflow_serving_plugin.errors import InvalidParameterError, NotFoundError, TemporarilyUnavailableError
from mlflow_serving_plugin.registry.models import ModelVersion, RegisteredModel
from mlflow_serving_plugin.registry.workspaces import in_workspace

_PAGE = 200
"""Rows of the registry in memory at a time: MLflow's objects for a thousand take megabytes."""

_MOST_ROWS = 100
"""For each model wanted: above that, one read a model costs less than a registry that is mostly not wanted."""


class _TooManyError(Exception):
    """The registry has too many models or versions that nobody asked for."""


class RegistryReader:
    """Reads the registry. ``store`` is a function, because opening MLflow's store is slow and can fail."""

    def __init__(self, store: Callable[[], Any]) -> None:
        self._store = store

    def model(self, workspace: str, name: str) -> RegisteredModel:
        """A registered model with all its versions; NotFoundError when there is no such model, or when it is a prompt.

        InvalidParameterError for a name that no model can have, such as one with a slash.
        TemporarilyUnavailableError when the registry's database is unreachable. Any other error of MLflow is passed on:
        such an error does not mean that the model does not exist.
        """
        with in_workspace(workspace):
            return self._model(workspace, name)

    def many(self, workspace: str, names: Collection[str]) -> dict[str, RegisteredModel]:
        """Those of many models that could be read together: two queries for a thousand, instead of two for each.

        A change meanwhile may make a model or a version escape: ask ``model`` for what is missing. Prompts are left
        out. Nothing is returned where the registry holds far more than what is asked for.
        """
        most = _MOST_ROWS * len(names)
        with in_workspace(workspace):
            store = self._store()
            try:
                found = {
                    model.name: model
                    for model in _pages(
                        lambda token: store.search_registered_models(max_results=_PAGE, page_token=token), most
                    )
                    if model.name in names and not model._is_prompt()
                }
                versions: dict[str, list[ModelVersion]] = {name: [] for name in found}
                # In an order that registering a version changes at one place only.
                order = ["name ASC", "version_number ASC"]
                for version in _pages(
                    lambda token: store.search_model_versions(max_results=_PAGE, order_by=order, page_token=token), most
                ):
                    if version.name in versions:
                        versions[version.name].append(_version(version))
            except _TooManyError:
                return {}
        return {name: _registered(workspace, model, versions[name]) for name, model in found.items()}

    def _model(self, workspace: str, name: str) -> RegisteredModel:
        store = self._store()
        try:
            found = store.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                raise NotFoundError(f"Registered Model with name={name} not found") from None
            if error.error_code == ErrorCode.Name(INVALID_PARAMETER_VALUE):
                raise InvalidParameterError(error.message) from None
            if error.error_code == ErrorCode.Name(TEMPORARILY_UNAVAILABLE):
                raise TemporarilyUnavailableError(
                    "The Model Registry cannot be reached. Models are served as before; try again.", retry_after_s=5
                ) from error
            raise
        # MLflow removes the tag that marks a prompt from `tags`.
        if found._is_prompt():
            raise NotFoundError(f"'{name}' is a prompt, not a model: it cannot be served.")
        return _registered(workspace, found, self._versions(store, found.name))

    def renamed_to(self, workspace: str, created_ms: int) -> str | None:
        """The present name of a renamed model, found by its creation time; None unless exactly one model matches.

        Names are the registry's only key, but a rename keeps the creation time.
        """
        with in_workspace(workspace):
            store = self._store()
            names = [
                model.name
                for model in _pages(lambda token: store.search_registered_models(max_results=_PAGE, page_token=token))
                if int(model.creation_timestamp or 0) == created_ms
            ]
        return names[0] if len(names) == 1 else None

    def _versions(self, store: Any, name: str) -> Iterator[ModelVersion]:
        quote = '"' if "'" in name else "'"
        # MLflow's filter language has no escape for a quote: a name with both kinds of quotes is filtered here.
        filter_string = None if quote in name else f"name = {quote}{name}{quote}"
        for found in _pages(
            lambda token: store.search_model_versions(filter_string=filter_string, max_results=_PAGE, page_token=token)
        ):
            if found.name == name:
                yield _version(found)


def _registered(workspace: str, found: Any, versions: Iterable[ModelVersion]) -> RegisteredModel:
    return RegisteredModel(
        workspace=workspace,
        name=found.name,
        created_ms=int(found.creation_timestamp or 0),
        versions=tuple(sorted(versions, key=lambda version: version.number)),
        aliases={alias: int(number) for alias, number in (found.aliases or {}).items()},
    )


def _version(found: Any) -> ModelVersion:
    return ModelVersion(
        number=int(found.version),
        stage=sys.intern(str(found.current_stage or "None")),
        status=sys.intern(str(found.status or "READY")),
        source=str(found.source or ""),
    )


def _pages(page: Callable[[str | None], Any], most: float = math.inf) -> Iterator[Any]:
    token: str | None = None
    rows = 0
    while True:
        found = page(token)
        yield from found
        rows, token = rows + len(found), found.token
        if not token:
            return
        if rows >= most:
            raise _TooManyError
