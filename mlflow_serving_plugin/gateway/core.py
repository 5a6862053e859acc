"""The core of the gateway, without input or output of its own: one generator per request, driven by ASGI or WSGI.

Fed with request heads and with the results of its steps; returns replies. Decides whether the caller may call, and
which entity answers; ``scoring`` has the way from a body to its predictions.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from mlflow_serving_plugin.access.base import Access
from mlflow_serving_plugin.access.cors import cors_headers, is_preflight
from mlflow_serving_plugin.access.forgery import BrowserRules, refuse_forged
from mlflow_serving_plugin.domain.reference import IN_BODY, NAMED
from mlflow_serving_plugin.domain.workspace import workspace_of
from mlflow_serving_plugin.errors import MethodNotAllowedError, ServingError
from mlflow_serving_plugin.gateway.about import about
from mlflow_serving_plugin.gateway.addresses import V2, Action, NoOpenAiPathError, NoV2PathError, Target, target_of
from mlflow_serving_plugin.gateway.choice import choose
from mlflow_serving_plugin.gateway.dialects.base import failure_of
from mlflow_serving_plugin.gateway.door import Door
from mlflow_serving_plugin.gateway.encoding import SMALLEST_BYTES, answer_encoding, compress
from mlflow_serving_plugin.gateway.exchange import CLIENT_GONE, Exchange, Observer, StreamObserver, request_id_of
from mlflow_serving_plugin.gateway.holding import Holding
from mlflow_serving_plugin.gateway.limits import BodyMemory
from mlflow_serving_plugin.gateway.messages import Head, Pieces, Reply, RunBlocking, Steps
from mlflow_serving_plugin.gateway.named_in_body import NamedInBody
from mlflow_serving_plugin.gateway.open_inference import OpenInference
from mlflow_serving_plugin.gateway.quotas import Quotas
from mlflow_serving_plugin.gateway.scoring import Scoring
from mlflow_serving_plugin.gateway.tarpit import Tarpit
from mlflow_serving_plugin.host.locks import KeyedLocks
from mlflow_serving_plugin.host.messages import send_nudge
from mlflow_serving_plugin.host.snapshot import SnapshotReader
from mlflow_serving_plugin.host.throttled import Throttled
from mlflow_serving_plugin.http_errors import error_headers
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.settings import Settings

_logger = logging.getLogger(__name__)
_floods = Throttled(_logger)
"""For refusals that one caller can cause by the thousand."""

_LONG_BYTES = 32 * 1024
"""Compressing more than this on an event loop would keep other requests waiting."""


@dataclass(frozen=True, slots=True)
class HostServices:
    """What a gateway shares with the other processes of its host."""

    nudges: Path
    """The controller's socket, for lost and overdue workers."""
    locks: Path | None = None
    """The file by which web workers retry suspect requests one at a time; None: there is one web worker."""
    metrics: Metrics | None = None
    """None: nothing is counted."""
    calls: Path | None = None
    """The file in which web workers count the calls of endpoints with a limit; None: there is one web worker."""
    shadow: Path | None = None
    """The directory of what shadows answered otherwise; None: these answers are not kept."""


class Gateway:
    """Answers requests below ``/model/``. Thread-safe; one per web worker.

    ``browser_rules`` None: forged requests are not refused. ``workspaces``: whether the server has workspaces.
    ``observers`` see each exchange after its end, and each ``StreamObserver`` a streamed answer before. ``clock`` gives
    seconds.
    """

    def __init__(
        self,
        settings: Settings,
        snapshot: SnapshotReader,
        access: Access,
        host: HostServices,
        *,
        browser_rules: BrowserRules | None = None,
        workspaces: bool = False,
        observers: tuple[Observer, ...] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.settings = settings
        self.snapshot = snapshot
        self.nudge = partial(send_nudge, host.nudges)
        self._door = Door(access)
        self._tarpit = Tarpit(access)
        self._browser_rules = browser_rules
        self._workspaces = workspaces
        self._clock = clock
        self._metrics = host.metrics or Metrics(None)
        holding = Holding(settings, snapshot, locks=KeyedLocks(host.locks), nudge=self.nudge, clock=clock)
        self._scoring = Scoring(settings, holding, self._metrics, clock, Quotas(host.calls), host.shadow)
        self._named_in_body = NamedInBody(access, snapshot, self._scoring, self._admit)
        self._open_inference = OpenInference(snapshot, self._scoring, self._admit)
        self._of_streams = [cast("StreamObserver", one) for one in observers if isinstance(one, StreamObserver)]
        self._observers: tuple[Observer, ...] = (self._count, *observers)

    @property
    def memory(self) -> BodyMemory:
        """The memory for request bodies and for whatever asides keep."""
        return self._scoring.memory

    @property
    def busy(self) -> bool:
        """Whether requests are being scored."""
        return self._scoring.busy

    def respond(self, head: Head) -> Steps[Reply]:
        """Answer one request: yields steps, returns the reply. Every error becomes a reply."""
        across = cors_headers(self._browser_rules, head.method, head.headers)
        if is_preflight(head.method, head.headers):
            return Reply(200, [("Content-Length", "0"), *across], b"")
        exchange = Exchange(head, request_id_of(head.headers), self._clock())
        try:
            plain = yield from self._answer(exchange)
            reply = yield from _compressed(plain, head)
        except ServingError as error:
            plain = reply = _refuse(error, exchange)
        except GeneratorExit:
            self._finish(exchange, CLIENT_GONE)
            raise
        except Exception:
            _logger.exception("Request %s failed in the gateway.", exchange)
            plain = reply = _refuse(ServingError("The gateway failed; the server's log has the reason."), exchange)
        if isinstance(reply.body, Pieces):
            for observer in self._of_streams:
                observer.begin_stream(exchange, reply.body)
            reply.body.finished = partial(self._finish_pieces, exchange, reply, reply.body)
            return reply._replace(headers=[*reply.headers, *exchange.headers(), *across])
        exchange.reply = plain
        self._finish(exchange, reply.status)
        headers = [*reply.headers, ("Content-Length", str(len(reply.body))), *exchange.headers(), *across]
        return Reply(reply.status, headers, b"" if head.method == "HEAD" else reply.body, exchange.after)

    def _finish_pieces(self, exchange: Exchange, reply: Reply, pieces: Pieces) -> None:
        if pieces.ended:
            exchange.reply = reply
        self._finish(exchange, (exchange.status or reply.status) if pieces.ended else CLIENT_GONE)

    def _finish(self, exchange: Exchange, status: int) -> None:
        exchange.release()
        exchange.status = status
        exchange.took_s = self._clock() - exchange.started_s
        for observer in self._observers:
            try:
                observer(exchange)
            except Exception:
                _logger.exception("An observer of request %s failed.", exchange)

    def _count(self, exchange: Exchange) -> None:
        if not exchange.is_scoring:
            return
        endpoint_id, version = ("", None) if exchange.choice is None else exchange.choice.key
        refused = exchange.request is None
        self._metrics.request(endpoint_id, version, exchange.status, exchange.took_s, exchange.queue_s, refused)

    def _answer(self, exchange: Exchange) -> Steps[Reply]:
        head = exchange.head
        target = exchange.target = target_of(head.path)
        exchange.reply_format = target.dialect
        if head.method not in target.methods:
            raise _NotThisMethodError(target.methods)
        if self._browser_rules is not None:
            refuse_forged(self._browser_rules, head.method, head.headers)
        exchange.workspace = workspace_of(head.headers, enabled=self._workspaces)
        if target.reference is IN_BODY or target.reference.kind == NAMED:
            yield from self._tarpit.pass_by(head)
            return (yield from self._named_in_body.answer(exchange, target))
        if target.dialect is V2:
            return (yield from self._open_inference.answer(exchange, target))
        yield from self._admit(exchange, target)
        if target.action is Action.SCORE:
            return (yield from self._scoring.score(exchange, target))
        choice = exchange.choice = choose(self.snapshot.current(), exchange.workspace, target.reference)
        return (yield from about(choice, target.action))

    def _admit(self, exchange: Exchange, target: Target) -> Steps[None]:
        started_s = self._clock()
        yield from self._tarpit.pass_by(exchange.head)
        yield from self._door.admit(exchange, target.reference, self.snapshot.current())
        exchange.auth_s = self._clock() - started_s


def _compressed(reply: Reply, head: Head) -> Steps[Reply]:
    """The reply in an encoding that the client accepts. Not one in pieces: these must not wait in a buffer."""
    body, accept = reply.body, head.headers.get("accept-encoding")
    if accept is None or isinstance(body, Pieces) or len(body) <= SMALLEST_BYTES:
        return reply
    headers = [*reply.headers, ("Vary", "Accept-Encoding")]
    encoding = answer_encoding(accept)
    if encoding is None:
        return Reply(reply.status, headers, body)
    work = partial(compress, body, encoding)
    body = (yield RunBlocking(work)) if len(body) > _LONG_BYTES else work()
    return Reply(reply.status, [*headers, ("Content-Encoding", encoding)], body)


class _NotThisMethodError(MethodNotAllowedError):
    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"Only {allowed[0]} is allowed here.")
        self.allowed = ", ".join(allowed)


def _refuse(error: ServingError, exchange: Exchange) -> Reply:
    reply_format = error.dialect if isinstance(error, (NoOpenAiPathError, NoV2PathError)) else exchange.reply_format
    refusal = reply_format.refuse(failure_of(error))
    headers = [("Content-Type", refusal.content_type), *error_headers(error)]
    if isinstance(error, _NotThisMethodError):
        headers.append(("Allow", error.allowed))
    log = _floods.log if refusal.status in {401, 429} else _logger.log
    log(logging.INFO, "Request %s: %d %r", exchange, refusal.status, error.message)
    return Reply(refusal.status, headers, refusal.body)
