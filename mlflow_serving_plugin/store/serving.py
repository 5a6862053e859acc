"""Serving endpoints: rows of a kind of their own in the table of endpoints, each with a specification."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import Row, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.serving import ServingSpec, dump_spec, load_spec
from mlflow_serving_plugin.errors import AlreadyExistsError, NotFoundError
from mlflow_serving_plugin.store.database import locked, session_on
from mlflow_serving_plugin.store.events import EventLog, record, record_owners
from mlflow_serving_plugin.store.tables import SERVING, EndpointRow, EventRow

Change = Callable[[ServingSpec], ServingSpec]
"""Makes the next specification of the present one. An error that it raises changes nothing."""


class ServingStore(EventLog):
    """Serving endpoints, beside their events. Thread-safe: each call is a session of its own."""

    def find_serving(self, workspace: str, name: str) -> Endpoint | None:
        """A serving endpoint by its name."""
        query = select(EndpointRow).where(EndpointRow.workspace == workspace, EndpointRow.name == name)
        with session_on(self.engine) as session:
            row = session.scalars(query.where(EndpointRow.kind == SERVING)).one_or_none()
            return None if row is None else serving_endpoint(row)

    def find_all_serving(self) -> list[Endpoint]:
        """All serving endpoints, by workspace and name."""
        query = select(EndpointRow).where(EndpointRow.kind == SERVING)
        with session_on(self.engine) as session:
            rows = session.scalars(query.order_by(EndpointRow.workspace, EndpointRow.name))
            return [serving_endpoint(row) for row in rows]

    def create(self, workspace: str, name: str, spec: ServingSpec, *, by: str | None) -> Endpoint:
        """Create a serving endpoint; AlreadyExistsError."""
        row = EndpointRow(id=uuid.uuid4().hex, workspace=workspace, name=name, enabled=True, generation=1)
        row.kind, row.config, row.model_created_ms, row.spec = SERVING, "{}", 0, dump_spec(spec)
        try:
            with session_on(self._writing) as session:
                session.add(row)
                session.flush()
                record(session, row, "ENDPOINT_CREATED", f"Serving endpoint '{name}' was created{_by(by)}.")
                record_owners(session, row, [], spec.entity_configs)
                return serving_endpoint(row)
        except IntegrityError:
            raise AlreadyExistsError(f"A serving endpoint of the name '{name}' exists already.") from None

    def change(self, endpoint: Endpoint, change: Change, kind: str, message: str, *, by: str | None = None) -> Endpoint:
        """Replace the specification in one transaction, and record an event of this ``kind``; NotFoundError.

        ``message`` without an end: " by somebody." is added where somebody is known.
        """
        with session_on(self._writing) as session:
            row = _locked(session, endpoint)
            before = serving_spec(row)
            after = change(before)
            row.spec = dump_spec(after)
            row.generation += 1
            record(session, row, kind, f"{message}{_by(by)}.")
            record_owners(session, row, before.entity_configs, after.entity_configs)
            return serving_endpoint(row)

    def settle(self, endpoint: Endpoint, change: Change, kind: str = "", message: str = "") -> bool:
        """Record how an update stands or has ended, unless that is known already; whether it was still to be done.

        ``change`` gives the same specification back when there is nothing to settle. Without a ``kind`` there is no
        event.
        """
        with session_on(self._writing) as session:
            try:
                row = _locked(session, endpoint)
            except NotFoundError:
                return False
            before = serving_spec(row)
            after = change(before)
            if after == before:
                return False
            row.spec = dump_spec(after)
            if kind:
                record(session, row, kind, message)
            return True

    def follow(self, endpoint: Endpoint, model_created_ms: int, name: str) -> Endpoint:
        """Follow a registered model to its new name."""

        def follow(spec: ServingSpec) -> ServingSpec:
            return spec.renamed(model_created_ms, name)

        message = f"A model of serving endpoint '{endpoint.name}' was renamed to '{name}'."
        self.settle(endpoint, follow, "MODEL_RENAMED", message)
        return self.find_serving(endpoint.workspace, endpoint.name) or endpoint

    def delete(self, endpoint: Endpoint, *, by: str | None) -> None:
        """Forget a serving endpoint with its events. The audit stays."""
        with session_on(self._writing) as session:
            row = session.get(EndpointRow, endpoint.id)
            if row is None:
                return
            record(session, row, "ENDPOINT_DELETED", f"Serving endpoint '{row.name}' was deleted{_by(by)}.")
            session.flush()
            session.execute(delete(EventRow).where(EventRow.endpoint_id == row.id))
            session.execute(delete(EndpointRow).where(EndpointRow.id == row.id))
            session.expunge(row)


def serving_endpoint(row: EndpointRow | Row[Any]) -> Endpoint:
    """A row of the kind as an endpoint."""
    return Endpoint(row.id, row.workspace, row.name, EndpointConfig(), 0, row.generation, serving_spec(row))


def serving_spec(row: EndpointRow | Row[Any]) -> ServingSpec:
    """The specification in a row of the kind."""
    return load_spec(row.spec or "")


def _locked(session: Session, endpoint: Endpoint) -> EndpointRow:
    """The row until this transaction ends."""
    query = select(EndpointRow).where(EndpointRow.id == endpoint.id)
    row = session.scalars(locked(query, EndpointRow)).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no serving endpoint '{endpoint.name}' any more.")
    return row


def _by(user: str | None) -> str:
    return f" by {user}" if user else ""
