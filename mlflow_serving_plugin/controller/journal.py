"""Events on their way to the database: kept while the database cannot be reached, written once."""

from __future__ import annotations

import logging
import socket
from collections import deque
from dataclasses import replace
from functools import partial

from mlflow_serving_plugin.controller.tasks import Outcome, Tasks
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.store.events import EventLog

_logger = logging.getLogger(__name__)
_BACKLOG = 10_000
_PRUNE_EVERY_S = 3600.0
_WRITE, _PRUNE = "events", "prune"
_DAY_MS = 24 * 3600 * 1000


class Journal:
    """Writes events in order, a batch at a time, off the loop."""

    def __init__(self, store: EventLog, tasks: Tasks, settings: Settings) -> None:
        self._store = store
        self._tasks = tasks
        self._settings = settings
        self._waiting: deque[tuple[str, Event]] = deque(maxlen=_BACKLOG)
        self._next_prune = 0.0
        self._host = socket.gethostname()

    def add(self, events: list[tuple[str, Event]]) -> None:
        """Log events and queue them for the database. Beyond a backlog of thousands the oldest are lost."""
        for _, event in events:
            _logger.info("%s %s %s: %s", event.name, event.entity or "", event.type, event.message)
        self._waiting.extend((endpoint_id, replace(event, hosts=(self._host,))) for endpoint_id, event in events)

    def flush(self, now: float, now_ms: int) -> None:
        """Start what is due: writing a batch, removing old events."""
        if self._waiting and not self._tasks.running(_WRITE):
            batch = list(self._waiting)
            self._waiting.clear()
            self._tasks.start(_WRITE, partial(self._store.add_events, batch), partial(self._written, batch))
        if now >= self._next_prune and not self._tasks.running(_PRUNE):
            self._next_prune = now + _PRUNE_EVERY_S
            self._tasks.start(_PRUNE, partial(self._prune, now_ms), _pruned)

    def _prune(self, now_ms: int) -> None:
        self._store.prune_events(now_ms - int(self._settings.event_retention_days * _DAY_MS))
        self._store.prune_audit(now_ms - int(self._settings.audit_retention_days * _DAY_MS))

    def _written(self, batch: list[tuple[str, Event]], outcome: Outcome, _: float) -> None:
        """A batch that could not be written waits again, before what came later."""
        if outcome.error is not None:
            _logger.warning("Events could not be written, trying again: %s", type(outcome.error).__name__)
            self._waiting = deque([*batch, *self._waiting], maxlen=_BACKLOG)


def _pruned(outcome: Outcome, _: float) -> None:
    if outcome.error is not None:
        _logger.warning("Old events could not be removed: %s", type(outcome.error).__name__)
