"""The hosts whose servers share the database, and when each was seen last."""

from __future__ import annotations

from sqlalchemy import delete, select

from mlflow_serving_plugin.store.database import session_on
from mlflow_serving_plugin.store.events import EventLog
from mlflow_serving_plugin.store.tables import HostRow

_FORGOTTEN_MS = 24 * 3600 * 1000


class HostStore(EventLog):
    """Which hosts there are. Thread-safe: each call is a session of its own."""

    def see_host(self, host: str, now_ms: int) -> None:
        """A host is there now. Hosts that were not seen for a day are forgotten."""
        with session_on(self._writing) as session:
            session.merge(HostRow(host=host, seen_ms=now_ms))
            session.execute(delete(HostRow).where(HostRow.seen_ms < now_ms - _FORGOTTEN_MS))

    def hosts(self, since_ms: int) -> frozenset[str]:
        """The hosts that were seen since then."""
        with session_on(self.engine) as session:
            return frozenset(session.scalars(select(HostRow.host).where(HostRow.seen_ms >= since_ms)))
