"""Addresses: which path leads to what. One table, read here and by ``dispatch``. Pure.

A protocol with paths of its own adds one line to ``_READERS``; an action below ``/model/`` adds one to ``_ACTIONS``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from mlflow_serving_plugin.domain.reference import (
    ENTITY,
    IN_BODY,
    NAMED,
    NO_MODEL,
    TRAFFIC,
    Reference,
    parse_reference,
    reference_in,
)
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.gateway.dialects import openai, v2
from mlflow_serving_plugin.gateway.dialects.base import Dialect
from mlflow_serving_plugin.gateway.dialects.endpoints import ENDPOINTS
from mlflow_serving_plugin.gateway.dialects.invocations import INVOCATIONS

_LONGEST_PATH = 1024
"""Characters. MLflow's longest model name is 256; longer paths would only fill the cache of parsed paths."""


class Action(Enum):
    """What a request asks for."""

    SCORE = "score"
    PING = "ping"
    SCHEMA = "schema"
    VERSION = "version"
    MODELS = "models"
    """Which models there are, in OpenAI's shape."""
    MODEL = "model"
    """Whether there is a model, in OpenAI's shape."""
    METADATA = "metadata"
    """What a model takes and answers, in V2's shape."""
    SERVER = "server"
    LIVE = "live"


class Target(NamedTuple):
    """What a path leads to. ``methods``: the HTTP methods that are allowed there."""

    reference: Reference
    action: Action
    methods: tuple[str, ...]
    dialect: Dialect


_READ = ("GET", "HEAD")
_ACTIONS: dict[str, tuple[Action, tuple[str, ...], Dialect]] = {
    "invocations": (Action.SCORE, ("POST",), INVOCATIONS),
    "ping": (Action.PING, _READ, INVOCATIONS),
    # These two as on MLflow's scoring server.
    "health": (Action.PING, _READ, INVOCATIONS),
    "version": (Action.VERSION, _READ, INVOCATIONS),
    "schema": (Action.SCHEMA, _READ, INVOCATIONS),
}


_OF_OPENAI: dict[str, tuple[Action, tuple[str, ...], Dialect]] = {
    "chat/completions": (Action.SCORE, ("POST",), openai.CHAT),
    "responses": (Action.SCORE, ("POST",), openai.RESPONSES),
    "embeddings": (Action.SCORE, ("POST",), openai.EMBEDDINGS),
    "models": (Action.MODELS, _READ, openai.CHAT),
}
"""Below ``/serving-endpoints/``, where the body names the model, and below a model version's ``/v1/``."""


_OPENAI_SAYS = {"chat", "completions", "responses", "embeddings", "models", "files", "images", "audio", "batches"}
"""How the paths of OpenAI's API begin."""


class NoOpenAiPathError(NotFoundError):
    """A path that a client of OpenAI asked for and that leads nowhere."""

    dialect = openai.CHAT


def _below_model(segments: list[str]) -> Target:
    for length in (1, 2):
        found = _OF_OPENAI.get("/".join(segments[-length:]))
        if found and segments[-length - 1 : -length] == ["v1"]:
            return Target(parse_reference(segments[: -length - 1]), *found)
    if not segments or segments[-1] not in _ACTIONS:
        parse_reference(segments)
        *others, last = (f"…/{action}" for action in _ACTIONS)
        raise NotFoundError(f"A model version answers at {', '.join(others)} and {last} only.")
    return Target(parse_reference(segments[:-1]), *_ACTIONS[segments[-1]])


def _below_serving_endpoints(segments: list[str]) -> Target:
    if found := _OF_OPENAI.get("/".join(segments)):
        return Target(IN_BODY, *found)
    if len(segments) == 2 and segments[0] and segments[1] == "invocations":
        return Target(Reference(segments[0], TRAFFIC, ""), Action.SCORE, ("POST",), ENDPOINTS)
    if len(segments) == 4 and all(segments) and segments[1::2] == ["served-models", "invocations"]:
        return Target(Reference(segments[0], ENTITY, segments[2]), Action.SCORE, ("POST",), ENDPOINTS)
    if segments[0] == "models" and all(segments):
        return Target(Reference("/".join(segments[1:]), NAMED, ""), Action.MODEL, _READ, openai.CHAT)
    if segments[:1] and segments[0] in _OPENAI_SAYS:
        *others, last = (f"/serving-endpoints/{path}" for path in _OF_OPENAI)
        raise NoOpenAiPathError(f"This server has no such API. Of OpenAI's, it has {', '.join(others)} and {last}.")
    raise NotFoundError(
        "This server has no such API. A serving endpoint answers at /serving-endpoints/<name>/invocations and "
        "/serving-endpoints/<name>/served-models/<entity>/invocations only."
    )


V2 = v2.V2()
_OF_V2_SERVER = {"": Action.SERVER, "health/live": Action.LIVE, "health/ready": Action.LIVE}
_OF_V2_MODEL = {"infer": (Action.SCORE, ("POST",), V2), "ready": (Action.PING, _READ, V2)}


class NoV2PathError(NotFoundError):
    """A path below ``/v2`` that leads nowhere."""

    dialect = V2


def _below_v2(segments: list[str]) -> Target:
    """``models/<name>[/versions/<version, stage or @alias>][/ready|/infer]``, and the server's own routes."""
    if action := _OF_V2_SERVER.get("/".join(segments)):
        return Target(NO_MODEL, action, _READ, V2)
    if segments[:1] == ["models"] and len(segments) > 1:
        name, *rest = segments[1:]
        found = _OF_V2_MODEL.get(rest[-1]) if len(rest) % 2 else (Action.METADATA, _READ, V2)
        version = rest[:-1] if len(rest) % 2 else rest
        if found and name and (not version or (version[0] == "versions" and len(version) == 2)):
            return Target(_v2_reference(name, version[1:]), *found)
    raise NoV2PathError("Below /v2 there are health/live, health/ready and models/<name>[/versions/<version>][/infer].")


def _v2_reference(name: str, version: list[str]) -> Reference:
    try:
        if version and version[0].startswith("@"):
            return parse_reference([f"{name}{version[0]}"])
        return parse_reference([name, *version]) if version else reference_in(name)
    except NotFoundError:
        raise NoV2PathError("This path names no model version.") from None


_READERS: dict[str, Callable[[list[str]], Target]] = {
    "model": _below_model,
    "model-endpoint": _below_model,
    "ajax-model": _below_model,
    "serving-endpoints": _below_serving_endpoints,
    "v2": _below_v2,
    # The path of mlflow.deployments for a server that it knows by address.
    "endpoints": _below_serving_endpoints,
}
"""By the first segment of a path: reads the other segments."""

PREFIXES = (*(f"/{root}/" for root in _READERS if root != "v2"), "/v2")
"""Paths that begin with one of these belong to the gateway."""


@lru_cache(maxsize=4096)
def target_of(path: str) -> Target:
    """What a path (percent-decoded, without the static prefix) leads to; NotFoundError."""
    if len(path) > _LONGEST_PATH:
        raise NotFoundError("This path is too long to name a model version.")
    root, *segments = path.removeprefix("/").removesuffix("/").split("/")
    if root not in _READERS:
        raise NotFoundError("This path is not below /model/ or /serving-endpoints/.")
    return _READERS[root](segments)
