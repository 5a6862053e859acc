"""How the shadow of a serving endpoint agrees, as this host has counted since its first start. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from mlflow_serving_plugin.domain.traffic import Shadow
from mlflow_serving_plugin.metrics.families import FAMILIES, SHADOW_REQUESTS, SHADOW_SECONDS
from mlflow_serving_plugin.metrics.files import Series

_SHARES = {"p50_ms": 0.5, "p95_ms": 0.95}


def agreement(
    shadow: Shadow, endpoint_id: str, entity: str, totals: Mapping[Series, Sequence[float]]
) -> dict[str, Any]:
    """The counts and times of a shadow. ``entity``: the shadow's name in the totals."""

    def count(result: str) -> int:
        return int(totals.get((SHADOW_REQUESTS, endpoint_id, entity, result), [0])[0])

    def times(role: str) -> dict[str, float | None]:
        histogram = totals.get((SHADOW_SECONDS, endpoint_id, entity, role), ())
        return {name: _quantile_ms(histogram, share) for name, share in _SHARES.items()}

    counts = {result: count(result) for result in ("equal", "within_tolerance", "differs")} | {"errors": count("error")}
    return {
        "served_model_name": shadow.entity,
        "percentage": shadow.percentage,
        "requests": sum(counts.values()),
        **counts,
        "dropped": count("dropped"),
        "latency": {role: times(role) for role in ("primary", "shadow")},
    }


def _quantile_ms(histogram: Sequence[float], share: float) -> float | None:
    """Within a bucket, times are taken to lie evenly; those above the last bound count as that bound."""
    bounds = FAMILIES[SHADOW_SECONDS].bounds
    counts = list(accumulate(histogram[: len(bounds) + 1]))
    if not counts or not counts[-1]:
        return None
    wanted = share * counts[-1]
    for (low, high), (before, until) in zip(pairwise((0.0, *bounds)), pairwise((0.0, *counts)), strict=False):
        if until >= wanted and until > before:
            return 1000 * (low + (high - low) * (wanted - before) / (until - before))
    return 1000 * bounds[-1]
