"""Endpoints. A change and its event are one transaction."""

from __future__ import annotations

import contextlib
import json
import uuid
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.store.database import DeadlockError, locked, session_on
from mlflow_serving_plugin.store.events import REMOVED, record, record_owners
from mlflow_serving_plugin.store.hosts import HostStore
from mlflow_serving_plugin.store.serving import ServingStore, serving_endpoint
from mlflow_serving_plugin.store.tables import MODEL, SERVING, EndpointRow, EventRow

_ATTEMPTS = 10


class Store(ServingStore, HostStore):
    """Endpoints of both kinds, beside their events. Thread-safe: each call is a session of its own."""

    def find(self, workspace: str, name: str) -> Endpoint | None:
        """The endpoint of a model, None when serving is not enabled on it."""
        with session_on(self.engine) as session:
            row = _row(session, workspace, name)
            return _endpoint(row) if row is not None and row.enabled else None

    def enabled(self) -> list[Endpoint]:
        """All endpoints, serving endpoints too, by name."""
        # Columns, for the controller reads all endpoints at each change: a thousand objects of the ORM take long.
        query = select(*EndpointRow.__table__.columns).where(EndpointRow.enabled)
        with session_on(self.engine) as session:
            rows = session.execute(query.order_by(EndpointRow.workspace, EndpointRow.name))
            return [_endpoint(row) for row in rows]

    def enable(
        self, workspace: str, name: str, *, model_created_ms: int, config: EndpointConfig | None, by: str | None
    ) -> Endpoint:
        """Enable serving. Without ``config``, that of an earlier time counts.

        On an enabled endpoint that asks for another attempt at what has failed: a new generation, as any change is.
        """
        for _ in range(_ATTEMPTS):
            # Several at once: another one's row is there now, or MariaDB let one of two that wait for each other go on.
            with contextlib.suppress(IntegrityError, DeadlockError):
                return self._enable(workspace, name, model_created_ms, config, by)
        return self._enable(workspace, name, model_created_ms, config, by)

    def _enable(
        self, workspace: str, name: str, model_created_ms: int, config: EndpointConfig | None, by: str | None
    ) -> Endpoint:
        with session_on(self._writing) as session:
            row = _row(session, workspace, name, lock=True)
            if row is not None and row.model_created_ms != model_created_ms:
                # Another model had this name once; its settings are not this one's.
                _remove(session, row)
                row = None
            if row is None:
                row = EndpointRow(id=uuid.uuid4().hex, workspace=workspace, name=name, enabled=False, generation=0)
                row.model_created_ms = model_created_ms
                row.config = dump_config(config or EndpointConfig())
                session.add(row)
            before, was_enabled = load_config(row.config), row.enabled
            changed = config is not None and before != config
            if config is not None:
                row.config = dump_config(config)
            if not row.enabled:
                row.enabled = True
                record(session, row, "ENDPOINT_ENABLED", f"Serving was enabled{_by(by)}.")
            elif changed:
                record(session, row, "ENDPOINT_CONFIGURED", f"The configuration was changed{_by(by)}.")
            record_owners(session, row, [before] if was_enabled else [], [config or before])
            row.generation += 1
            session.flush()
            return _endpoint(row)

    def disable(self, workspace: str, name: str, *, by: str | None) -> bool:
        """Disable serving; False when it was not enabled."""
        with session_on(self._writing) as session:
            row = _row(session, workspace, name, lock=True)
            if row is None or not row.enabled:
                return False
            row.enabled = False
            record(session, row, "ENDPOINT_DISABLED", f"Serving was disabled{_by(by)}.")
            return True

    def configure(self, workspace: str, name: str, config: EndpointConfig, *, by: str | None) -> Endpoint:
        """Replace an endpoint's configuration; NotFoundError when serving is not enabled."""
        with session_on(self._writing) as session:
            row = _row(session, workspace, name, lock=True)
            if row is None or not row.enabled:
                raise NotFoundError(f"Serving is not enabled on registered model '{name}'.")
            before = load_config(row.config)
            if before != config:
                row.config = dump_config(config)
                row.generation += 1
                record(session, row, "ENDPOINT_CONFIGURED", f"The configuration was changed{_by(by)}.")
                record_owners(session, row, [before], [config])
            return _endpoint(row)

    def rename(self, endpoint: Endpoint, name: str) -> None:
        """Follow a registered model to its new name."""
        with session_on(self._writing) as session:
            query = select(EndpointRow).where(EndpointRow.id == endpoint.id)
            row = session.scalars(locked(query, EndpointRow)).one_or_none()
            taken = _row(session, endpoint.workspace, name)
            if row is None or (taken is not None and taken.enabled):
                return
            if taken is not None:
                _remove(session, taken)
            row.name = name
            record(session, row, "MODEL_RENAMED", f"The model was renamed from '{endpoint.name}' to '{name}'.")

    def remove(self, endpoint: Endpoint) -> None:
        """Forget an endpoint whose registered model was deleted, with its history. The audit stays."""
        with session_on(self._writing) as session:
            row = session.get(EndpointRow, endpoint.id)
            if row is not None:
                _remove(session, row)


def _row(session: Session, workspace: str, name: str, *, lock: bool = False) -> EndpointRow | None:
    """``lock``: until this transaction ends."""
    query = select(EndpointRow).where(
        EndpointRow.workspace == workspace, EndpointRow.kind == MODEL, EndpointRow.name == name
    )
    return session.scalars(locked(query, EndpointRow) if lock else query).one_or_none()


def _remove(session: Session, row: EndpointRow) -> None:
    record(session, row, REMOVED, "Serving ended: the registered model was deleted, or replaced under its name.")
    session.execute(delete(EventRow).where(EventRow.endpoint_id == row.id))
    session.execute(delete(EndpointRow).where(EndpointRow.id == row.id))
    session.expunge(row)


def _by(user: str | None) -> str:
    return f" by {user}" if user else ""


def _endpoint(row: EndpointRow | Row[Any]) -> Endpoint:
    if row.kind == SERVING:
        return serving_endpoint(row)
    return Endpoint(row.id, row.workspace, row.name, load_config(row.config), row.model_created_ms, row.generation)


def dump_config(config: EndpointConfig) -> str:
    """A configuration as JSON."""
    return json.dumps(asdict(config), sort_keys=True)


@lru_cache(maxsize=20_000)
def load_config(text: str) -> EndpointConfig:
    """A configuration from JSON; keys that this version does not know are left out."""
    # Cached, because the controller reads all endpoints at each change: with room for all, or no look would hit.
    known = {item.name for item in fields(EndpointConfig)}
    values: dict[str, Any] = {key: value for key, value in json.loads(text).items() if key in known}
    return EndpointConfig(**values)
