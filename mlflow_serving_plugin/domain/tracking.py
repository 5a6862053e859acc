"""``tracking: on``: whether a server's endpoints can have it, with whose rights, and what a worker is given. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.errors import ConflictError, InvalidParameterError

URI, TOKEN, WORKSPACE = "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_WORKSPACE"
"""MLflow's variables for its clients, which a worker is given."""

_ELSEWHERE = (URI, TOKEN, "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_REGISTRY_URI")
"""Variables that contradict ``tracking: on``: MLflow's client would send the token elsewhere, or not at all."""

NO_ADDRESS = (
    "config.tracking cannot be on: this server does not know by which address its workers reach it. The server's "
    "operator can set MLFLOW_SERVING_TRACKING_URI, such as http://127.0.0.1:5000."
)
NO_TOKENS = (
    "config.tracking cannot be on with this server's authentication: MLflow's API takes the token of a worker only "
    "under basic-auth with MLflow's own authorization_function, or without authentication."
)
NOT_FOR_PROGRAMS = (
    "config.tracking can be switched on with a user name and password only: a token has fewer rights than the model's "
    "code would have."
)
LOOPBACK = (
    "config.tracking is on, and workers on other hosts cannot reach {uri}. Set config.placement to local, or "
    "MLFLOW_SERVING_TRACKING_URI to an address of this server that the nodes reach."
)


@dataclass(frozen=True, slots=True)
class TrackingRules:
    """What a server has for ``tracking: on``. ``refusal``: why no endpoint can have it; empty where they can."""

    uri: str = ""
    """The address by which workers reach this server, with its static prefix."""
    has_users: bool = False
    refusal: str = ""


NO_TRACKING = TrackingRules(refusal=NO_ADDRESS)


@dataclass(frozen=True, slots=True)
class WorkerToken:
    """What a worker's token stands for, without its value: an entity, and the owner whose rights it gives.

    ``account``: the owner's at the time; ``model``: the registered model that the owner has to be able to manage.
    """

    id: str
    endpoint_id: str
    entity: str
    owner: str
    account: str
    expiry_ms: int
    workspace: str = ""
    model: str = ""


def refuse_contradiction(config: EndpointConfig) -> None:
    """InvalidParameterError when other keys leave nothing of ``tracking: on``."""
    if config.tracking != "on":
        return
    if config.network == "off":
        raise InvalidParameterError(
            "config.tracking cannot be on while config.network is off: the model's code calls the server by network."
        )
    if taken := [name for name in _ELSEWHERE if name in config.environment]:
        raise InvalidParameterError(
            f"config.environment cannot have {taken[0]} while config.tracking is on, which sets the variable itself."
        )


def claim(
    rules: TrackingRules,
    config: EndpointConfig,
    changes: Mapping[str, Any],
    owner: Mapping[str, str] | None,
    where: str = "",
) -> EndpointConfig:
    """A merged configuration with the owner whose rights the model's code has; InvalidParameterError.

    ``changes``: what the caller wrote. Only who writes ``tracking: on`` becomes the owner. ``owner``: name and account
    of the caller; None for a caller who cannot be an owner. ``where`` leads to the configuration.
    """
    if config.tracking != "on":
        return replace(config, tracking_owner={})
    if config.placement == "ray" and is_loopback(rules.uri):
        raise InvalidParameterError(where + LOOPBACK.format(uri=rules.uri))
    if changes.get("tracking") != "on":
        return config
    if refusal := rules.refusal or (NOT_FOR_PROGRAMS if rules.has_users and owner is None else ""):
        raise InvalidParameterError(where + refusal)
    return replace(config, tracking_owner=dict(owner or {}) if rules.has_users else {})


def without_owner(config: EndpointConfig) -> EndpointConfig:
    """A configuration whose owner is gone, with tracking off."""
    return replace(config, tracking="off", tracking_owner={})


def variables(rules: TrackingRules, workspace: str, token: str) -> dict[str, str]:
    """What MLflow's client in a worker goes by. ``workspace`` empty: a server without workspaces."""
    given = {URI: rules.uri, TOKEN: token, WORKSPACE: workspace}
    return {name: value for name, value in given.items() if value}


def refuse_unowned(rules: TrackingRules, owner: Mapping[str, str]) -> None:
    """ConflictError where a configuration of earlier times cannot be followed any more."""
    if rules.refusal:
        raise ConflictError(rules.refusal)
    if rules.has_users and not owner:
        raise ConflictError(
            "config.tracking is on, and nobody has switched it on as a user of this server: set it to on again."
        )


def is_loopback(uri: str) -> bool:
    """Whether an address means the machine of whoever uses it."""
    host = urlsplit(uri).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
