"""The core of the gateway, without input or output of its own: one generator per request, driven by ASGI or WSGI.

Fed with request heads and with what its steps bring; returns replies. Decides who may call, which version is
meant and what is to be done with it; ``scoring`` holds what happens between a body and its predictions.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlflow_serving_plugin.access.base import Access, Permission, User, look_up_grant
from mlflow_serving_plugin.access.forgery import BrowserRules, refuse_forged
from mlflow_serving_plugin.domain.workspace import workspace_of
from mlflow_serving_plugin.errors import (
    MethodNotAllowedError,
    PermissionDeniedError,
    ServingError,
    UnavailableError,
)
from mlflow_serving_plugin.gateway.addresses import Action, target_of
from mlflow_serving_plugin.gateway.dialects.base import failure_of
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.openapi import openapi_document
from mlflow_serving_plugin.gateway.messages import Head, Reply, RunBlocking, Steps
from mlflow_serving_plugin.gateway.scoring import Scoring, Wanted, may_score
from mlflow_serving_plugin.gateway.trail import Trail, request_id_of
from mlflow_serving_plugin.host.messages import send_nudge
from mlflow_serving_plugin.host.snapshot import SnapshotReader
from mlflow_serving_plugin.host.turns import Turns
from mlflow_serving_plugin.http_errors import error_headers
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.settings import Settings

_logger = logging.getLogger(__name__)

_CLIENT_GONE = 499
"""What nginx calls a request whose client left before its answer."""


@dataclass(frozen=True, slots=True)
class Host:
    """What a gateway shares with the other processes of its host."""

    nudges: Path
    """The socket on which the controller hears of lost and overdue workers."""
    turns: Path | None = None
    """The file by which web workers try suspect requests one after the other; None: there are no others."""
    metrics: Metrics | None = None
    """None: nobody asks for them."""


class Gateway:
    """Answers requests below ``/model/``. Thread-safe; one per web worker.

    ``clock`` gives seconds; ``browser_rules`` None: the server runs without such checks; ``workspaces``: whether it
    has any.
    """

    def __init__(
        self,
        settings: Settings,
        snapshot: SnapshotReader,
        access: Access,
        host: Host,
        *,
        browser_rules: BrowserRules | None = None,
        workspaces: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.settings = settings
        self.snapshot = snapshot
        self.nudge = partial(send_nudge, host.nudges)
        self._access = access
        self._browser_rules = browser_rules
        self._workspaces = workspaces
        self._clock = clock
        self._metrics = host.metrics or Metrics(None)
        self._scoring = Scoring(
            settings, snapshot, self._metrics, turns=Turns(host.turns), nudge=self.nudge, clock=clock
        )

    @property
    def busy(self) -> bool:
        """Whether requests are being scored."""
        return self._scoring.busy

    def respond(self, head: Head) -> Steps[Reply]:
        """Answer one request: yields steps, returns the reply, raises nothing of its own."""
        trail = Trail(request_id_of(head.headers))
        started = self._clock()
        try:
            reply = yield from self._answer(head, trail)
        except ServingError as error:
            reply = _refuse(error, trail)
        except GeneratorExit:
            self._count(trail, _CLIENT_GONE, started)
            raise
        except Exception:
            _logger.exception("Request %s on %s failed in the gateway.", trail.request_id, _described(trail))
            reply = _refuse(ServingError("The gateway failed; the server's log has the reason."), trail)
        self._count(trail, reply.status, started)
        headers = [*reply.headers, ("Content-Length", str(len(reply.body))), *trail.headers()]
        return Reply(reply.status, headers, b"" if head.method == "HEAD" else reply.body)

    def _count(self, trail: Trail, status: int, started: float) -> None:
        if trail.scoring:
            queued_s = trail.spent_s.get("queue", 0.0)
            self._metrics.request(trail.endpoint_id, trail.version, status, self._clock() - started, queued_s)

    def _answer(self, head: Head, trail: Trail) -> Steps[Reply]:
        target = target_of(head.path)
        trail.scoring = target.action is Action.SCORE
        trail.reply_format = target.dialect
        if head.method != target.method:
            raise _NotThisMethodError(target.method)
        if self._browser_rules is not None:
            refuse_forged(self._browser_rules, head.method, head.headers)
        wanted = Wanted(workspace_of(head.headers, enabled=self._workspaces), target.reference)
        trail.model = wanted.reference.name
        started = self._clock()
        yield from self._authorise(head.headers, wanted)
        trail.spend("auth", self._clock() - started)
        if target.action is Action.SCORE:
            return (yield from self._scoring.score(head, target.dialect, wanted, trail))
        if target.action is Action.PING:
            return self._ping(wanted, trail)
        return (yield from self._schema(wanted, trail))

    def _authorise(self, headers: Mapping[str, str], wanted: Wanted) -> Steps[User]:
        name = wanted.reference.name
        grant = self._access.recall(headers, wanted.workspace, name)
        if grant is None:
            look_up = partial(look_up_grant, self._access, headers, wanted.workspace, name)
            grant = (yield RunBlocking(look_up)) if self._access.blocking else look_up()
        if grant.permission < Permission.READ:
            raise PermissionDeniedError(f"You need READ permission on registered model '{name}' for this.")
        return grant.caller

    def _ping(self, wanted: Wanted, trail: Trail) -> Reply:
        _, version = wanted.resolve(self.snapshot.current())
        trail.version = version.number
        if not may_score(version):
            raise UnavailableError(f"Version {version.number} is {version.state.value}: {version.message}")
        return Reply(200, [("Content-Type", JSON)], b"\n")

    def _schema(self, wanted: Wanted, trail: Trail) -> Steps[Reply]:
        _, version = wanted.resolve(self.snapshot.current())
        trail.version = version.number
        if version.model_dir is None:
            raise UnavailableError(f"The files of version {version.number} have not been fetched yet.")
        title = f"{wanted.reference.name}, version {version.number}"
        body: bytes = yield RunBlocking(partial(openapi_document, Path(version.model_dir), title, version.number))
        return Reply(200, [("Content-Type", JSON)], body)


class _NotThisMethodError(MethodNotAllowedError):
    def __init__(self, allowed: str) -> None:
        super().__init__(f"Only {allowed} is allowed here.")
        self.allowed = allowed


def _refuse(error: ServingError, trail: Trail) -> Reply:
    refusal = trail.reply_format.refuse(failure_of(error))
    headers = [("Content-Type", refusal.content_type), *error_headers(error)]
    if isinstance(error, _NotThisMethodError):
        headers.append(("Allow", error.allowed))
    _logger.info("Request %s on %s: %d %r", trail.request_id, _described(trail), refusal.status, error.message)
    return Reply(refusal.status, headers, refusal.body)


def _described(trail: Trail) -> str:
    if trail.model is None:
        return "no model"
    return f"model {trail.model!r} version {'?' if trail.version is None else trail.version}"
