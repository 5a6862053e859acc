"""Tells the controller and the log of lost workers: of one that no request reaches once, and not for each request."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mlflow_serving_plugin.gateway.exchange import Exchange
from mlflow_serving_plugin.host.messages import Lost, Nudge
from mlflow_serving_plugin.links.base import LostError

_logger = logging.getLogger(__name__)
_MOST = 256


class Losses:
    """What is known of workers that did not answer. Thread-safe."""

    def __init__(self, nudge: Callable[[Nudge], None]) -> None:
        self._nudge = nudge
        self._unreachable: dict[str, str] = {}
        """Workers that no request has reached since, and why."""

    def note(self, exchange: Exchange, worker_id: str, lost: LostError) -> None:
        """A request lost its worker. A request that did not even reach it says nothing new after the first one."""
        if not lost.sent:
            if self._unreachable.get(worker_id) == lost.message:
                return
            if len(self._unreachable) >= _MOST:
                self._unreachable.clear()
            self._unreachable[worker_id] = lost.message
        self._nudge(Lost(worker_id, lost.sent))
        _logger.info("Request %s lost its worker: %s", exchange, lost.message)

    def answered(self, worker_id: str) -> None:
        """A worker has answered a request."""
        if self._unreachable:
            self._unreachable.pop(worker_id, None)
