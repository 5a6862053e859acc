"""Events: what happened to endpoints, entities and tokens, and the audit of what people changed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.events import SAME_WITHIN_MS, Event, is_same, storable
from mlflow_serving_plugin.errors import InvalidParameterError
from mlflow_serving_plugin.store.database import for_writing, session_on
from mlflow_serving_plugin.store.tables import MODEL, AuditRow, EndpointRow, EventRow

REMOVED = "ENDPOINT_REMOVED"
"""An endpoint was forgotten with its events. Only the audit tells of this."""

_LOOKED_AT = 50
"""Events that may be the same as a new one."""

AUDITED = (
    *("ENDPOINT_ENABLED", "ENDPOINT_CONFIGURED", "ENDPOINT_DISABLED", REMOVED, "TOKEN_CREATED", "TOKEN_REVOKED"),
    *("ENDPOINT_CREATED", "ENDPOINT_TAGGED", "ENDPOINT_DELETED", "ENDPOINT_UPDATE_CANCELED"),
    # Who lent a model's code the own rights, and that these have ended.
    *("TRACKING_ON", "TRACKING_ENDED"),
    # How an update ended: all hosts go by that.
    *("ENDPOINT_UPDATED", "ENDPOINT_UPDATE_FAILED", "MODEL_RENAMED"),
)
"""Events of what people do; all others are of what follows from that."""


class EventLog:
    """Reads and writes events. Thread-safe: each call is a session of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        """Shared with the other stores of this process: one pool of connections."""
        self._writing = for_writing(engine)

    def add_events(self, events: Iterable[tuple[str, Event]]) -> None:
        """Add ``(endpoint id, event)`` pairs, but those of endpoints that have been removed with their history.

        What another host has told before is one event with one more host.
        """
        events = list(events)
        with session_on(self._writing) as session:
            ids = {endpoint_id for endpoint_id, _ in events}
            there = set(session.scalars(select(EndpointRow.id).where(EndpointRow.id.in_(ids))))
            for endpoint_id, event in events:
                if endpoint_id in there:
                    _add(session, endpoint_id, event)

    def events(
        self,
        workspace: str,
        name: str,
        *,
        entity: str | None,
        page_token: str | None,
        limit: int,
        kind: str = MODEL,
    ) -> tuple[list[Event], str | None]:
        """A page of an endpoint's events, newest first, and the token of the next page if there is one.

        ``entity``: only the events of this entity. InvalidParameterError for a page token that no reply gave.
        """
        query = select(EventRow, EndpointRow).join(EndpointRow, EndpointRow.id == EventRow.endpoint_id)
        query = query.where(EndpointRow.workspace == workspace, EndpointRow.name == name, EndpointRow.kind == kind)
        return self._page(query if entity is None else query.where(EventRow.entity == entity), page_token, limit)

    def audit(self, *, page_token: str | None, limit: int) -> tuple[list[Event], str | None]:
        """A page of what people changed, newest first, and the next page's token. ``name`` is empty for tokens."""
        query = select(AuditRow)
        if page_token is not None:
            query = query.where(AuditRow.id < _page_start(page_token))
        with session_on(self.engine) as session:
            rows = session.scalars(query.order_by(AuditRow.id.desc()).limit(limit + 1)).all()
        page = [Event(row.timestamp_ms, row.workspace, row.name, None, row.type, row.message) for row in rows[:limit]]
        return page, str(rows[limit - 1].id) if len(rows) > limit else None

    def _page(self, query: Any, page_token: str | None, limit: int) -> tuple[list[Event], str | None]:
        """``query``: of events, each with its endpoint."""
        if page_token is not None:
            query = query.where(EventRow.id < _page_start(page_token))
        with session_on(self.engine) as session:
            rows = session.execute(query.order_by(EventRow.id.desc()).limit(limit + 1)).all()
        page = [_told(event, endpoint.workspace, endpoint.name) for event, endpoint in rows[:limit]]
        return page, str(rows[limit - 1][0].id) if len(rows) > limit else None

    def revision(self) -> int:
        """A number that grows with each change that somebody makes, on whatever host; cheap to read."""
        with session_on(self.engine) as session:
            return session.scalar(select(func.max(AuditRow.id))) or 0

    def prune_events(self, before_ms: int) -> int:
        """Remove events older than ``before_ms``; return how many. The audit stays."""
        return self._prune(EventRow, before_ms)

    def prune_audit(self, before_ms: int) -> int:
        """Remove entries of the audit older than ``before_ms``; return how many."""
        return self._prune(AuditRow, before_ms)

    def _prune(self, table: type[EventRow | AuditRow], before_ms: int) -> int:
        with session_on(self._writing) as session:
            count = session.scalar(select(func.count()).select_from(table).where(table.timestamp_ms < before_ms))
            session.execute(delete(table).where(table.timestamp_ms < before_ms))
            return int(count or 0)


def record(session: Session, endpoint: EndpointRow | None, kind: str, message: str) -> None:
    """Add an event of now to a transaction, of an endpoint as a whole or (None) of a token; to the audit as well."""
    told = {"timestamp_ms": int(time.time() * 1000), "type": kind, "message": storable(message)}
    if endpoint is not None and kind != REMOVED:
        session.add(EventRow(endpoint_id=endpoint.id, entity=None, **told))
    if kind in AUDITED:
        workspace, name = (endpoint.workspace, endpoint.name) if endpoint is not None else ("", "")
        session.add(AuditRow(workspace=workspace, name=name, **told))


def record_owners(
    session: Session, endpoint: EndpointRow, before: Iterable[EndpointConfig], after: Iterable[EndpointConfig]
) -> None:
    """Add an event for each user whose rights the code of models has from now on, and had not before."""
    known = {config.tracking_owner.get("name") for config in before}
    for name in sorted({config.tracking_owner.get("name", "") for config in after} - known - {""}):
        message = f"Tracking was switched on: the model's code has the rights of {name} in MLflow's API."
        record(session, endpoint, "TRACKING_ON", message)


def _add(session: Session, endpoint_id: str, event: Event) -> None:
    alike = select(EventRow).where(
        EventRow.endpoint_id == endpoint_id,
        EventRow.timestamp_ms >= event.timestamp_ms - SAME_WITHIN_MS,
        EventRow.type == event.type,
    )
    for row in session.scalars(alike.order_by(EventRow.id.desc()).limit(_LOOKED_AT)) if event.hosts else ():
        if is_same(_told(row), event):
            row.hosts = "\n".join([*_hosts(row), *event.hosts])
            return
    session.add(
        EventRow(
            endpoint_id=endpoint_id,
            timestamp_ms=event.timestamp_ms,
            entity=event.entity,
            type=event.type,
            message=storable(event.message),
            hosts="\n".join(event.hosts),
        )
    )


def _hosts(row: EventRow) -> tuple[str, ...]:
    return tuple(row.hosts.splitlines())


def _told(row: EventRow, workspace: str = "", name: str = "") -> Event:
    return Event(row.timestamp_ms, workspace, name, row.entity, row.type, row.message, _hosts(row))


def _page_start(token: str) -> int:
    if not (token.isascii() and token.isdigit() and len(token) < 19):
        raise InvalidParameterError("page_token is not one that get-event-history gave.")
    return int(token)
