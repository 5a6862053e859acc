"""What a database is like before the server uses it: whether it answers, and how far its tables are migrated."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from mlflow_serving_plugin.errors import ConfigurationError
from mlflow_serving_plugin.store.database import VERSION_TABLE, open_database


class Condition(NamedTuple):
    """A database that answers."""

    kind: str
    """``sqlite``, ``postgresql``, ``mysql``, ``mariadb`` or ``mssql``, with the server's version."""
    round_trip_s: float
    """Of the quickest of three queries."""
    revision: str | None
    """Of our tables; None: there are none yet."""
    newest: str
    """The revision to which the server would migrate."""
    known: bool
    """Whether this package knows the revision: a newer package may have made it."""
    clock_ahead_s: float | None
    """How far the database's clock is ahead of this machine's; None for a file, which has no clock."""


class UnreachableError(ConfigurationError):
    """The database does not answer; the message says what kind of error it was."""


def condition_of(uri: str) -> Condition:
    """Ask the database of our tables; changes nothing. ConfigurationError, UnreachableError."""
    engine = open_database(uri)
    try:
        with engine.connect() as connection:
            return _condition(connection)
    except SQLAlchemyError as error:
        # The driver's message may name hosts, users and a password.
        raise UnreachableError(type(getattr(error, "orig", None) or error).__name__) from None
    finally:
        engine.dispose()


def database_file(uri: str) -> Path | None:
    """The file of a SQLite database; None for every other."""
    with contextlib.suppress(ArgumentError):
        url = make_url(uri)
        if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
            return Path(url.database)
    return None


def _condition(connection: Connection) -> Condition:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    revision = context.get_current_revision()
    dialect = connection.dialect
    name = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
    version = ".".join(str(part) for part in (dialect.server_version_info or ()))
    return Condition(
        kind=f"{name} {version}".strip(),
        round_trip_s=min(_round_trips(connection)),
        revision=revision,
        newest=scripts.get_current_head() or "",
        known=revision is None or revision in {script.revision for script in scripts.walk_revisions()},
        clock_ahead_s=None if dialect.name == "sqlite" else _clock_ahead_s(connection),
    )


def _round_trips(connection: Connection) -> Iterator[float]:
    for _ in range(3):
        began = time.perf_counter()
        connection.execute(select(1)).scalar()
        yield time.perf_counter() - began


def _clock_ahead_s(connection: Connection) -> float | None:
    """By the time zone that the database keeps, so whole quarters of an hour are taken off."""
    there = connection.execute(select(func.current_timestamp())).scalar()
    if there is None or not hasattr(there, "timestamp"):
        return None
    ahead = float(there.timestamp()) - time.time()
    return ahead - round(ahead / 900) * 900
