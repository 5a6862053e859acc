"""Cross-origin requests (CORS): which pages of other origins may read answers, by ``--cors-allowed-origins``. Pure.

Shared by the gateway and the control API: MLflow's own middleware stands before MLflow's paths only.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_serving_plugin.access.forgery import BrowserRules

_METHODS = "GET, HEAD, POST, PUT"
_EXPOSED = "Retry-After, Server-Timing, WWW-Authenticate, X-MLflow-Model-Version, X-Request-Id"
_REMEMBERED_S = "600"


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks whether a page may send a request. Header names in lower case."""
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def cors_headers(rules: BrowserRules | None, method: str, headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers of an answer, errors included, that let the page read the answer; none for other callers.

    Header names in lower case. ``rules`` None: the server runs without MLflow's security checks, and MLflow's paths
    have no such headers either.
    """
    origin = headers.get("origin")
    if origin is None or rules is None:
        return []
    if not rules.allowed_origin(origin):
        return [("Vary", "Origin")]
    # A browser refuses "*" together with a visitor's password or cookie, as MLflow says of its own setting.
    allowed = [("Access-Control-Allow-Origin", "*")] if rules.any_origin else _to_one(origin)
    if not is_preflight(method, headers):
        return [*allowed, ("Access-Control-Expose-Headers", _EXPOSED)]
    return [
        *allowed,
        ("Access-Control-Allow-Methods", _METHODS),
        ("Access-Control-Allow-Headers", headers.get("access-control-request-headers", "*")),
        ("Access-Control-Max-Age", _REMEMBERED_S),
    ]


def _to_one(origin: str) -> list[tuple[str, str]]:
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    ]
