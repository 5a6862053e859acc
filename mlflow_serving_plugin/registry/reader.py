"""Reads registered models from the server's own registry store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE, ErrorCode

from mlflow_serving_plugin.errors import NotFoundError, TemporarilyUnavailableError
from mlflow_serving_plugin.registry.models import ModelVersion, RegisteredModel
from mlflow_serving_plugin.registry.workspaces import in_workspace

_PAGE = 1000


class RegistryReader:
    """Reads the registry. ``store`` is a function, because opening MLflow's store is slow and can fail."""

    def __init__(self, store: Callable[[], Any]) -> None:
        self._store = store

    def model(self, workspace: str, name: str) -> RegisteredModel:
        """A registered model with all its versions; NotFoundError when there is no such model, or when it is a prompt.

        TemporarilyUnavailableError when the registry's database is unreachable. Any other error of MLflow is passed on:
        such an error does not mean that the model does not exist.
        """
        with in_workspace(workspace):
            return self._model(workspace, name)

    def _model(self, workspace: str, name: str) -> RegisteredModel:
        store = self._store()
        try:
            found = store.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                raise NotFoundError(f"Registered Model with name={name} not found") from None
            if error.error_code == ErrorCode.Name(TEMPORARILY_UNAVAILABLE):
                raise TemporarilyUnavailableError(
                    "The Model Registry cannot be reached. Models are served as before; try again.", retry_after_s=5
                ) from error
            raise
        # MLflow removes the tag that marks a prompt from `tags`.
        if found._is_prompt():
            raise NotFoundError(f"'{name}' is a prompt, not a model: it cannot be served.")
        return RegisteredModel(
            workspace=workspace,
            name=found.name,
            created_ms=int(found.creation_timestamp or 0),
            versions=tuple(sorted(self._versions(store, found.name), key=lambda version: version.number)),
            aliases={alias: int(number) for alias, number in (found.aliases or {}).items()},
        )

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
                yield ModelVersion(
                    number=int(found.version),
                    stage=str(found.current_stage or "None"),
                    status=str(found.status or "READY"),
                    source=str(found.source or ""),
                )


def _pages(page: Callable[[str | None], Any]) -> Iterator[Any]:
    token: str | None = None
    while True:
        found = page(token)
        yield from found
        token = found.token
        if not token:
            return
