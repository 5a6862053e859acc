"""What the server's operator decides for all endpoints, and a configuration with that in place. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mlflow_serving_plugin.domain.config import EndpointConfig


@dataclass(frozen=True, slots=True)
class ServerRules:
    """What the server's operator decides for all workers.

    All but the restrictions is for endpoints that say nothing of their own.
    """

    sandbox_by_default: bool = True
    sandbox_optional: bool = False
    """Whether an endpoint's ``off`` counts; if not, ``off`` means ``auto``."""
    memory_limit_mb: int | None = None
    min_replicas: int | None = None
    """None: as many as an endpoint's ``replicas``."""
    max_replicas: int = 0
    """Where an endpoint's ``replicas`` are fewer."""
    target_requests: float = 8.0
    idle_timeout_s: float = 1800.0
    restrictions: Mapping[str, str] = field(default_factory=dict)
    """Variables that no endpoint's ``environment`` replaces."""


NO_RULES = ServerRules()


def resolve(config: EndpointConfig, *, request_timeout_s: float, rules: ServerRules = NO_RULES) -> EndpointConfig:
    """The configuration with the server's settings in place of empty keys.

    The sandbox comes to be ``on``, ``auto`` (as strong as the machine allows) or ``off``.
    """
    fewest = config.min_replicas if config.min_replicas is not None else rules.min_replicas
    most = config.max_replicas or max(config.replicas, rules.max_replicas, config.min_replicas or 0)
    return replace(
        config,
        min_replicas=min(config.replicas if fewest is None else fewest, most),
        max_replicas=most,
        target_requests=config.target_requests or rules.target_requests,
        idle_timeout_s=config.idle_timeout_s or rules.idle_timeout_s,
        environment={**config.environment, **rules.restrictions},
        memory_limit_mb=config.memory_limit_mb or rules.memory_limit_mb,
        request_timeout_s=config.request_timeout_s or request_timeout_s,
        sandbox=_sandbox(config, rules),
        priority="normal" if config.priority == "auto" else config.priority,
    )


def _sandbox(config: EndpointConfig, rules: ServerRules) -> str:
    if config.sandbox == "on" or (config.sandbox == "off" and rules.sandbox_optional):
        return config.sandbox
    if config.network == "off":
        return "on"
    return "auto" if rules.sandbox_by_default else "off"
