"""What workers with ``tracking: on`` are given: the server's address, and a token that ends with its worker.

The value of a token is in the worker alone; the next controller knows the token's id by the worker's record. A token
that nobody puts off any more expires: its worker is gone, or nobody knows of it.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable
from functools import partial

from mlflow_serving_plugin.access.tokens import digest_of
from mlflow_serving_plugin.access.worker_tokens import new_worker_token
from mlflow_serving_plugin.backends.base import WorkerStatus
from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.tasks import Tasks, log_failure
from mlflow_serving_plugin.domain.endpoint import DEFAULT_WORKSPACE
from mlflow_serving_plugin.domain.tracking import TrackingRules, WorkerToken, refuse_unowned, variables
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.store.worker_tokens import WorkerTokenStore

_logger = logging.getLogger(__name__)

_RENEW_EVERY_S = 60.0
_LEASE_S = 600.0
"""How much longer a token counts than its worker waits for a controller."""

_RENEW = "worker tokens"

Equipment = tuple[dict[str, str], str]
"""The variables of a worker, and the id of its token; empty without one."""


class Tracking:
    """Makes, puts off and removes tokens of workers. ``equip`` and ``release`` block, and belong to tasks."""

    def __init__(self, rules: TrackingRules, store: WorkerTokenStore | None, settings: Settings, tasks: Tasks) -> None:
        self._rules = rules
        self._store = store
        self._tasks = tasks
        self._lease_s = settings.orphan_grace_s + _LEASE_S
        self._start_s = settings.build_timeout_s + settings.start_timeout_s
        """The longest that a worker takes to come, on another host whose environment is built first."""
        self._next_renewal = 0.0

    def equip(self, wanted: DesiredEntity) -> Equipment:
        """What a worker of an entity is given; a new token each time. ServingError, a sentence for a person."""
        settings, workspace = wanted.settings, wanted.entity.model.workspace
        if settings.tracking != "on":
            return {}, ""
        refuse_unowned(self._rules, settings.tracking_owner)
        value, token_id = "", ""
        if self._rules.has_users and self._store is not None:
            value, token_id = new_worker_token(), uuid.uuid4().hex
            owner, expiry_ms = settings.tracking_owner, _now_ms() + int((self._start_s + self._lease_s) * 1000)
            token = WorkerToken(
                token_id, wanted.key.endpoint_id, wanted.key.name, owner["name"], owner["account"], expiry_ms
            )
            self._store.add_worker_token(token, digest_of(value))
        return variables(self._rules, "" if workspace == DEFAULT_WORKSPACE else workspace, value), token_id

    def release(self, token_id: str) -> None:
        """Remove the token of a worker that is gone. While the database is away, the token is left to expire."""
        if not token_id or self._store is None:
            return
        try:
            self._store.remove_worker_token(token_id)
        except Exception as error:
            _logger.warning("The token of a worker is left to expire: %s.", type(error).__name__)

    def renew_if_due(self, workers: Iterable[WorkerStatus], now: float) -> None:
        """Begin to put off the expiry of the tokens of all workers, once a minute, the first time at the start."""
        if self._store is None or now < self._next_renewal or self._tasks.running(_RENEW):
            return
        ids = [worker.token_id for worker in workers if worker.token_id]
        first = not self._next_renewal
        self._next_renewal = now + _RENEW_EVERY_S
        if ids or first:
            now_ms = _now_ms()
            expiry_ms = now_ms + int(self._lease_s * 1000)
            self._tasks.start(_RENEW, partial(self._store.renew_worker_tokens, ids, expiry_ms, now_ms), log_failure)


def _now_ms() -> int:
    return int(time.time() * 1000)
