"""What the server's operator decides for all workers: by settings, and by MLflow's variables that allow or forbid."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from mlflow_serving_plugin.access.forgery import BrowserRules
from mlflow_serving_plugin.domain.config_rules import ServerRules
from mlflow_serving_plugin.domain.restrictions import restrictions
from mlflow_serving_plugin.domain.tracking import NO_ADDRESS, NO_TOKENS, TrackingRules
from mlflow_serving_plugin.host.memory import machine_memory_bytes
from mlflow_serving_plugin.settings import Settings

_MEMORY_SHARE = 0.75
"""Of the machine's memory, for each process of a worker without a limit of its own."""


def tracking_rules(settings: Settings, address: str, rules: BrowserRules | None, *, tokens: bool) -> TrackingRules:
    """What endpoints with ``tracking: on`` get. ``address``: the server's on this host, empty when it is not known.

    ``tokens``: whether MLflow's API takes tokens of workers; on a server without users they need none.
    """
    has_users, uri = bool(settings.base_app), settings.tracking_uri.rstrip("/")
    if has_users and not tokens:
        return TrackingRules(has_users=True, refusal=NO_TOKENS)
    if not uri and address and (rules is None or rules.allowed_host(urlsplit(address).netloc)):
        uri = address
    refusal = "" if urlsplit(uri).scheme in {"http", "https"} else NO_ADDRESS
    return TrackingRules(uri, has_users, refusal)


def operator_rules(settings: Settings, environ: Mapping[str, str]) -> ServerRules:
    """The rules of a server with these settings and variables."""
    limit_mb = settings.memory_limit_mb or int(machine_memory_bytes() * _MEMORY_SHARE) // 2**20
    return ServerRules(
        sandbox_by_default=settings.sandbox_by_default,
        sandbox_optional=settings.sandbox_optional,
        memory_limit_mb=limit_mb if limit_mb > 0 else None,
        min_replicas=settings.min_replicas if settings.min_replicas >= 0 else None,
        max_replicas=settings.max_replicas,
        target_requests=settings.target_requests,
        idle_timeout_s=settings.idle_timeout_s,
        restrictions=restrictions(environ),
    )
