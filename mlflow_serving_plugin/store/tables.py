"""The tables. Their metadata is apart from MLflow's, because MLflow checks that its own has no other tables."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_BIG_KEY = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers only INTEGER keys by itself."""


MODEL = "model"
"""The kind of an endpoint whose entities are the active versions of one registered model."""

SERVING = "serving"
"""The kind of an endpoint whose entities and traffic are those of its specification."""


class Base(DeclarativeBase):
    """Base of the plugin's tables."""


class EndpointRow(Base):
    """An endpoint that is, or once was, enabled. ``name``: the registered model's, for the kind ``model``."""

    __tablename__ = "serving_endpoints"
    __table_args__ = (UniqueConstraint("workspace", "kind", "name", name="uq_serving_endpoints_workspace_kind_name"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    workspace: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(256))
    enabled: Mapped[bool]
    config: Mapped[str] = mapped_column(Text)
    model_created_ms: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(32), default=MODEL)
    """How the endpoint gets its entities: MODEL or SERVING."""
    generation: Mapped[int] = mapped_column(BigInteger, default=0)
    """Grows with each change that somebody asked for; a controller says which generation it has taken in."""
    spec: Mapped[str | None] = mapped_column(Text)
    """What the kind has to say about entities and traffic, as JSON; NULL for MODEL, which follows the registry."""


class EventRow(Base):
    """Something that happened. ``endpoint_id`` keeps a renamed model's history together."""

    __tablename__ = "serving_events"

    id: Mapped[int] = mapped_column(_BIG_KEY, primary_key=True, autoincrement=True)
    endpoint_id: Mapped[str] = mapped_column(String(32), index=True)
    timestamp_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    entity: Mapped[str | None] = mapped_column(String(256))
    """The name of the entity that it happened to; NULL: the endpoint as a whole."""
    type: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text)
    hosts: Mapped[str] = mapped_column(Text, default="")
    """Names of the hosts where it happened, a line each; empty for what people changed."""


class AuditRow(Base):
    """What somebody changed. ``name``: the registered model's at that time; empty for tokens."""

    __tablename__ = "serving_audit"

    id: Mapped[int] = mapped_column(_BIG_KEY, primary_key=True, autoincrement=True)
    timestamp_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    workspace: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(256))
    type: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text)


class HostRow(Base):
    """A host whose server serves, while there are serving endpoints."""

    __tablename__ = "serving_hosts"

    host: Mapped[str] = mapped_column(String(255), primary_key=True)
    seen_ms: Mapped[int] = mapped_column(BigInteger)


class TokenRow(Base):
    """A token, without its value: ``digest`` is the SHA-256 of that, in hexadecimal."""

    __tablename__ = "serving_tokens"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True, index=True)
    owner: Mapped[str] = mapped_column(String(255), index=True)
    account: Mapped[str] = mapped_column(String(64))
    comment: Mapped[str] = mapped_column(Text)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    expiry_ms: Mapped[int] = mapped_column(BigInteger)
    scope_workspace: Mapped[str | None] = mapped_column(String(63))
    scope_name: Mapped[str | None] = mapped_column(String(256))
    last_used_ms: Mapped[int | None] = mapped_column(BigInteger)
    parent: Mapped[str | None] = mapped_column(String(32), index=True)
    """The id of the token with which this token was created."""


class WorkerTokenRow(Base):
    """The token of a worker with ``tracking: on``, without its value: ``digest`` is the SHA-256 of that."""

    __tablename__ = "serving_worker_tokens"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True, index=True)
    endpoint_id: Mapped[str] = mapped_column(String(32), index=True)
    entity: Mapped[str] = mapped_column(String(256))
    owner: Mapped[str] = mapped_column(String(255))
    account: Mapped[str] = mapped_column(String(64))
    expiry_ms: Mapped[int] = mapped_column(BigInteger)
    """Put off by the controller for as long as the worker is there."""
    refused: Mapped[bool] = mapped_column(default=False)
    """Whether an event has told that the owner lost the rights that the token needs."""
