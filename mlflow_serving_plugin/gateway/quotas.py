"""The limits on calls per minute, of an endpoint and of each user of the endpoint. Part of the core, no waiting."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from mlflow_serving_plugin.access.base import User
from mlflow_serving_plugin.domain.routes import EndpointRoute
from mlflow_serving_plugin.errors import TooManyRequestsError
from mlflow_serving_plugin.gateway.messages import Pause, Steps
from mlflow_serving_plugin.host.call_counts import CallCounts
from mlflow_serving_plugin.host.throttled import Throttled

_logger = logging.getLogger(__name__)
_unlimited = Throttled(_logger)

_TRIES, _RETRY_S = 1000, 0.001
"""Another web worker counts for some microseconds, unless that web worker was stopped in the middle."""


class Quotas:
    """Counts calls and refuses those over a limit. Thread-safe. ``path``: the file that all web workers count in."""

    def __init__(self, path: Path | None) -> None:
        self._counts = CallCounts(path)

    def count(self, endpoint: EndpointRoute, caller: User | None) -> Steps[None]:
        """Count a call of an endpoint that has a limit; TooManyRequestsError for one too many, which counts not."""
        limits = _limits(endpoint, caller)
        for _ in range(_TRIES):
            wait_s = self._counts.count(limits)
            if wait_s == 0:
                return
            if wait_s is not None:
                raise TooManyRequestsError(_refusal(endpoint), retry_after_s=max(1, math.ceil(wait_s)))
            yield Pause(_RETRY_S)
        _unlimited.log(logging.WARNING, "A web worker holds the counts of calls: %s is not limited.", endpoint.id)


def _limits(endpoint: EndpointRoute, caller: User | None) -> list[tuple[str, int]]:
    config, limits = endpoint.config, []
    if config.calls_per_minute is not None:
        limits.append((endpoint.id, config.calls_per_minute))
    if config.calls_per_minute_per_user is not None:
        # Ids have no zero, so that a key of an endpoint is no key of a user.
        user = (caller.name if caller else None) or ""
        limits.append((f"{endpoint.id}\x00{user}", config.calls_per_minute_per_user))
    return limits


def _refusal(endpoint: EndpointRoute) -> str:
    config = endpoint.config
    what = f"Model '{endpoint.name}'" if endpoint.models is None else f"Serving endpoint '{endpoint.name}'"
    limits = [
        f"{most} calls per minute{of_whom}"
        for most, of_whom in ((config.calls_per_minute, ""), (config.calls_per_minute_per_user, " of each user"))
        if most is not None
    ]
    return f"{what} has a limit of {' and '.join(limits)}, which is reached."
