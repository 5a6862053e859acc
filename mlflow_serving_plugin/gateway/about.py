"""What a served version tells of itself: ready or not, MLflow's version, the OpenAPI document, its name in a list."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mlflow_serving_plugin.errors import UnavailableError
from mlflow_serving_plugin.gateway.addresses import Action
from mlflow_serving_plugin.gateway.choice import Choice
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.openai import list_of_models
from mlflow_serving_plugin.gateway.dialects.openapi import openapi_document
from mlflow_serving_plugin.gateway.messages import Reply, RunBlocking, Steps


def about(choice: Choice, action: Action) -> Steps[Reply]:
    """The reply to a request that is not to be scored; UnavailableError."""
    if action is Action.PING:
        return _ping(choice)
    if action is Action.VERSION:
        return _version(choice)
    if action is Action.MODELS:
        return Reply(200, [("Content-Type", JSON)], list_of_models([choice.endpoint.name]))
    return (yield from _schema(choice))


def _ping(choice: Choice) -> Reply:
    # A version that sleeps is well, and a health check does not wake the version.
    if not choice.workers and not choice.entity.state.facts.serves:
        raise UnavailableError(f"Version {choice.version} is {choice.entity.state.value}: {choice.entity.message}")
    return Reply(200, [("Content-Type", JSON)], b"\n")


def _version(choice: Choice) -> Reply:
    """The version of MLflow that serves the model, as MLflow's scoring server tells it: bare, and called JSON."""
    entity = choice.entity
    if not entity.mlflow_version:
        raise UnavailableError(f"The environment of version {choice.version} is not there yet: {entity.message}")
    return Reply(200, [("Content-Type", JSON)], entity.mlflow_version.encode())


def _schema(choice: Choice) -> Steps[Reply]:
    entity = choice.entity
    if entity.model_dir is None:
        raise UnavailableError(f"The files of version {choice.version} have not been fetched yet.")
    title = f"{choice.endpoint.name}, version {choice.version}"
    make = partial(openapi_document, Path(entity.model_dir), title, entity.model.version, entity.example_form)
    body: bytes = yield RunBlocking(make)
    return Reply(200, [("Content-Type", JSON)], body)
