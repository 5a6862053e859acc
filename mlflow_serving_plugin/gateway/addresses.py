"""Addresses: which path leads to what. One table, read here and by ``dispatch``. Pure.

A protocol with paths of its own adds one line to ``_READERS``; an action below ``/model/`` adds one to ``_ACTIONS``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from mlflow_serving_plugin.domain.reference import Reference, parse_reference
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.gateway.dialects.base import Dialect
from mlflow_serving_plugin.gateway.dialects.invocations import INVOCATIONS

_LONGEST_PATH = 1024
"""Characters. MLflow's longest model name is 256; longer paths would only fill the cache of parsed paths."""


class Action(Enum):
    """What a request asks for."""

    SCORE = "score"
    PING = "ping"
    SCHEMA = "schema"


class Target(NamedTuple):
    """What a path leads to. ``method``: the one HTTP method that is allowed there."""

    reference: Reference
    action: Action
    method: str
    dialect: Dialect


_ACTIONS: dict[str, tuple[Action, str, Dialect]] = {
    "invocations": (Action.SCORE, "POST", INVOCATIONS),
    "ping": (Action.PING, "GET", INVOCATIONS),
    "schema": (Action.SCHEMA, "GET", INVOCATIONS),
}


def _below_model(segments: list[str]) -> Target:
    if not segments or segments[-1] not in _ACTIONS:
        parse_reference(segments)
        raise NotFoundError("A model version answers at …/invocations, …/ping and …/schema only.")
    return Target(parse_reference(segments[:-1]), *_ACTIONS[segments[-1]])


_READERS: dict[str, Callable[[list[str]], Target]] = {
    "model": _below_model,
    "model-endpoint": _below_model,
    "ajax-model": _below_model,
}
"""By the first segment of a path: reads the other segments."""

PREFIXES = tuple(f"/{root}/" for root in _READERS)
"""Paths that begin with one of these belong to the gateway."""


@lru_cache(maxsize=4096)
def target_of(path: str) -> Target:
    """What a path (percent-decoded, without the static prefix) leads to; NotFoundError."""
    if len(path) > _LONGEST_PATH:
        raise NotFoundError("This path is too long to name a model version.")
    root, *segments = path.removeprefix("/").split("/")
    if root not in _READERS:
        raise NotFoundError("This path is not below /model/.")
    return _READERS[root](segments)
