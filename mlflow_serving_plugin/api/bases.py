"""The control API's base paths: the names under which the old product's clients look for it."""

from __future__ import annotations

from dataclasses import dataclass

HEALTH_PATH = "/serving/health"
AUDIT_PATH = "/serving/audit"
METRICS_PATH = "/serving/metrics"
TOKEN_BASES = ("/api/2.0/token", "/ajax-api/2.0/token")


@dataclass(frozen=True, slots=True)
class Base:
    """One base path. ``v2``: replies have the ``endpoints-v2`` shapes. ``ajax``: called by pages in a browser."""

    path: str
    v2: bool
    ajax: bool


BASES = tuple(
    Base(f"/{root}/2.0/{preview}mlflow/{family}", v2=family == "endpoints-v2", ajax=root == "ajax-api")
    for root in ("api", "ajax-api")
    for preview in ("", "preview/")
    for family in ("endpoints", "endpoints-v2")
)
