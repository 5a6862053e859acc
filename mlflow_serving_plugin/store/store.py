"""Endpoints and their events. A change and the event that tells of it are one transaction."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.events import Event, storable
from mlflow_serving_plugin.errors import InvalidParameterError, NotFoundError
from mlflow_serving_plugin.store.database import for_writing, session_on
from mlflow_serving_plugin.store.tables import EndpointRow, EventRow


class Store:
    """All reading and writing of our tables. Thread-safe: each call is a session of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        """Shared with the other stores of this process: one pool of connections."""
        self._engine = engine
        self._writing = for_writing(engine)

    def find(self, workspace: str, name: str) -> Endpoint | None:
        """The endpoint of a model, None when serving is not enabled on it."""
        with session_on(self._engine) as session:
            row = _row(session, workspace, name)
            return _endpoint(row) if row is not None and row.enabled else None

    def enabled(self) -> list[Endpoint]:
        """All endpoints, by name."""
        query = select(EndpointRow).where(EndpointRow.enabled).order_by(EndpointRow.workspace, EndpointRow.name)
        with session_on(self._engine) as session:
            return [_endpoint(row) for row in session.scalars(query)]

    def enable(
        self, workspace: str, name: str, *, model_created_ms: int, config: EndpointConfig | None, by: str | None
    ) -> Endpoint:
        """Enable serving; a no-op when it is. Without ``config``, that of an earlier time counts."""
        try:
            return self._enable(workspace, name, model_created_ms, config, by)
        except IntegrityError:  # two at once: the other one's row is there now
            return self._enable(workspace, name, model_created_ms, config, by)

    def _enable(
        self, workspace: str, name: str, model_created_ms: int, config: EndpointConfig | None, by: str | None
    ) -> Endpoint:
        with session_on(self._writing) as session:
            row = _locked_row(session, workspace, name)
            if row is not None and row.model_created_ms != model_created_ms:
                # Another model had this name once; its settings are not this one's.
                _remove(session, row.id)
                session.expunge(row)
                row = None
            if row is None:
                row = EndpointRow(id=uuid.uuid4().hex, workspace=workspace, name=name, enabled=False)
                row.model_created_ms = model_created_ms
                row.config = _dump(config or EndpointConfig())
                session.add(row)
            changed = config is not None and _load(row.config) != config
            if config is not None:
                row.config = _dump(config)
            if not row.enabled:
                row.enabled = True
                _record(session, row, "ENDPOINT_ENABLED", f"Serving was enabled{_by(by)}.")
            elif changed:
                _record(session, row, "ENDPOINT_CONFIGURED", f"The configuration was changed{_by(by)}.")
            session.flush()
            return _endpoint(row)

    def disable(self, workspace: str, name: str, *, by: str | None) -> bool:
        """Disable serving; False when it was not enabled."""
        with session_on(self._writing) as session:
            row = _locked_row(session, workspace, name)
            if row is None or not row.enabled:
                return False
            row.enabled = False
            _record(session, row, "ENDPOINT_DISABLED", f"Serving was disabled{_by(by)}.")
            return True

    def configure(self, workspace: str, name: str, config: EndpointConfig, *, by: str | None) -> Endpoint:
        """Replace an endpoint's configuration; NotFoundError when serving is not enabled."""
        with session_on(self._writing) as session:
            row = _locked_row(session, workspace, name)
            if row is None or not row.enabled:
                raise NotFoundError(f"Serving is not enabled on registered model '{name}'.")
            if _load(row.config) != config:
                row.config = _dump(config)
                _record(session, row, "ENDPOINT_CONFIGURED", f"The configuration was changed{_by(by)}.")
            return _endpoint(row)

    def rename(self, endpoint: Endpoint, name: str) -> None:
        """Follow a registered model to its new name."""
        with session_on(self._writing) as session:
            row = session.get(EndpointRow, endpoint.id, with_for_update=True)
            taken = _row(session, endpoint.workspace, name)
            if row is None or (taken is not None and taken.enabled):
                return
            if taken is not None:
                _remove(session, taken.id)
                session.expunge(taken)
            row.name = name
            _record(session, row, "MODEL_RENAMED", f"The model was renamed from '{endpoint.name}' to '{name}'.")

    def remove(self, endpoint: Endpoint) -> None:
        """Forget an endpoint whose registered model was deleted, with its history."""
        with session_on(self._writing) as session:
            _remove(session, endpoint.id)

    def add_events(self, events: Iterable[tuple[str, Event]]) -> None:
        """Add ``(endpoint id, event)`` pairs."""
        with session_on(self._writing) as session:
            session.add_all(
                EventRow(
                    endpoint_id=endpoint_id,
                    timestamp_ms=event.timestamp_ms,
                    version=event.version,
                    type=event.type,
                    message=storable(event.message),
                )
                for endpoint_id, event in events
            )

    def events(
        self, workspace: str, name: str, *, version: int | None, page_token: str | None, limit: int
    ) -> tuple[list[Event], str | None]:
        """A page of a model's events, newest first, and the token of the next page if there is one."""
        query = select(EventRow).join(EndpointRow, EndpointRow.id == EventRow.endpoint_id)
        query = query.where(EndpointRow.workspace == workspace, EndpointRow.name == name)
        if version is not None:
            query = query.where(EventRow.version == version)
        if page_token is not None:
            query = query.where(EventRow.id < page_start(page_token))
        query = query.order_by(EventRow.id.desc()).limit(limit + 1)
        with session_on(self._engine) as session:
            rows = list(session.scalars(query))
        page = [Event(r.timestamp_ms, workspace, name, r.version, r.type, r.message) for r in rows[:limit]]
        return page, str(rows[limit - 1].id) if len(rows) > limit else None

    def prune_events(self, before_ms: int) -> int:
        """Remove events older than ``before_ms``; return how many."""
        with session_on(self._writing) as session:
            count = session.scalar(select(func.count()).select_from(EventRow).where(EventRow.timestamp_ms < before_ms))
            session.execute(delete(EventRow).where(EventRow.timestamp_ms < before_ms))
            return int(count or 0)


def _row(session: Session, workspace: str, name: str) -> EndpointRow | None:
    query = select(EndpointRow).where(EndpointRow.workspace == workspace, EndpointRow.name == name)
    return session.scalars(query).one_or_none()


def _locked_row(session: Session, workspace: str, name: str) -> EndpointRow | None:
    """Nobody else changes it until this transaction ends. (SQLite has the whole transaction exclude others.)"""
    query = select(EndpointRow).where(EndpointRow.workspace == workspace, EndpointRow.name == name)
    return session.scalars(query.with_for_update()).one_or_none()


def _remove(session: Session, endpoint_id: str) -> None:
    session.execute(delete(EventRow).where(EventRow.endpoint_id == endpoint_id))
    session.execute(delete(EndpointRow).where(EndpointRow.id == endpoint_id))


def _record(session: Session, row: EndpointRow, kind: str, message: str) -> None:
    now = int(time.time() * 1000)
    session.add(EventRow(endpoint_id=row.id, timestamp_ms=now, version=None, type=kind, message=message))


def _by(user: str | None) -> str:
    return f" by {user}" if user else ""


def page_start(token: str) -> int:
    """The number of the event that a page token names; InvalidParameterError."""
    if not (token.isascii() and token.isdigit() and len(token) < 19):
        raise InvalidParameterError("page_token is not one that get-event-history gave.")
    return int(token)


def _endpoint(row: EndpointRow) -> Endpoint:
    return Endpoint(row.id, row.workspace, row.name, _load(row.config), row.model_created_ms)


def _dump(config: EndpointConfig) -> str:
    return json.dumps(asdict(config), sort_keys=True)


def _load(text: str) -> EndpointConfig:
    known = {item.name for item in fields(EndpointConfig)}
    values: dict[str, Any] = {key: value for key, value in json.loads(text).items() if key in known}
    return EndpointConfig(**values)
