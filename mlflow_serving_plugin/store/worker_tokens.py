"""Tokens of workers with ``tracking: on``. A token counts for as long as its endpoint says the same as at its start."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.serving import dump_spec
from mlflow_serving_plugin.domain.tracking import WorkerToken, without_owner
from mlflow_serving_plugin.store.database import locked, session_on
from mlflow_serving_plugin.store.endpoints import dump_config, load_config
from mlflow_serving_plugin.store.events import EventLog, record
from mlflow_serving_plugin.store.serving import serving_spec
from mlflow_serving_plugin.store.tables import SERVING, EndpointRow, WorkerTokenRow

_ENDED = "TRACKING_ENDED"


class WorkerTokenStore(EventLog):
    """Tokens of workers, beside the events that tell of them. Thread-safe."""

    def add_worker_token(self, token: WorkerToken, digest: str) -> None:
        """Keep the token of a worker that is about to start."""
        with session_on(self._writing) as session:
            session.add(
                WorkerTokenRow(
                    id=token.id,
                    digest=digest,
                    endpoint_id=token.endpoint_id,
                    entity=token.entity,
                    owner=token.owner,
                    account=token.account,
                    expiry_ms=token.expiry_ms,
                    refused=False,
                )
            )

    def find_worker_token(self, digest: str) -> WorkerToken | None:
        """The token with this SHA-256, with its model's present name.

        None also when its endpoint is not enabled any more, or when nobody or another user lends the rights now.
        """
        with session_on(self.engine) as session:
            row = session.scalars(select(WorkerTokenRow).where(WorkerTokenRow.digest == digest)).one_or_none()
            endpoint = None if row is None else session.get(EndpointRow, row.endpoint_id)
            if row is None or endpoint is None or not endpoint.enabled:
                return None
            model, config = _served(endpoint, row.entity)
            if config.tracking != "on" or config.tracking_owner != {"name": row.owner, "account": row.account}:
                return None
            identity = row.id, row.endpoint_id, row.entity, row.owner, row.account, row.expiry_ms
            return WorkerToken(*identity, endpoint.workspace, model)

    def renew_worker_tokens(self, ids: Collection[str], expiry_ms: int, now_ms: int) -> None:
        """Put off the expiry of the tokens of workers that are there, and remove those that have expired."""
        with session_on(self._writing) as session:
            session.execute(delete(WorkerTokenRow).where(WorkerTokenRow.expiry_ms <= now_ms))
            session.execute(update(WorkerTokenRow).where(WorkerTokenRow.id.in_(ids)).values(expiry_ms=expiry_ms))

    def remove_worker_token(self, token_id: str) -> None:
        """The worker is gone."""
        with session_on(self._writing) as session:
            session.execute(delete(WorkerTokenRow).where(WorkerTokenRow.id == token_id))

    def worker_token_refused(self, token: WorkerToken, reason: str) -> None:
        """Tell once of each token that its owner has lost the rights that it needs."""
        with session_on(self._writing) as session:
            once = update(WorkerTokenRow).where(WorkerTokenRow.id == token.id, WorkerTokenRow.refused.is_(False))
            if session.execute(once.values(refused=True)).rowcount:  # type: ignore[attr-defined]
                endpoint = session.get(EndpointRow, token.endpoint_id)
                record(session, endpoint, _ENDED, f"The model's code is refused by MLflow's API: {reason}")

    def forget_tracking_owner(self, name: str) -> None:
        """Switch tracking off where a deleted user switched it on: a later user of that name did not do so."""
        with session_on(self._writing) as session:
            for row in _with_owner(session, name):
                if row.kind == SERVING:
                    row.spec = dump_spec(serving_spec(row).without_owner(name))
                else:
                    row.config = dump_config(without_owner(load_config(row.config)))
                row.generation += 1
                record(session, row, _ENDED, f"Tracking was switched off: its user {name} was deleted.")


def _served(endpoint: EndpointRow, entity: str) -> tuple[str, EndpointConfig]:
    """The registered model of an entity, and the entity's configuration."""
    if endpoint.kind != SERVING:
        return endpoint.name, load_config(endpoint.config)
    served = serving_spec(endpoint).entities.get(entity)
    return ("", EndpointConfig()) if served is None else (served.model, served.config)


def _with_owner(session: Session, name: str) -> Iterator[EndpointRow]:
    """All endpoints, also disabled ones, in which a user switched tracking on; locked."""
    is_on = EndpointRow.config.like('%"tracking": "on"%') | EndpointRow.spec.like('%"tracking":"on"%')
    query = select(EndpointRow).where(is_on)
    for row in session.scalars(locked(query, EndpointRow)):
        configs = serving_spec(row).entity_configs if row.kind == SERVING else [load_config(row.config)]
        if any(config.tracking_owner.get("name") == name for config in configs):
            yield row
