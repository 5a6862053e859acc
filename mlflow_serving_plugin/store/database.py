"""The connection to the database, and the migration of its schema."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from filelock import FileLock
from sqlalchemy import Connection, Engine, Select, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.orm import Session

from mlflow_serving_plugin.errors import ConfigurationError, TemporarilyUnavailableError

Query = TypeVar("Query", bound=Select[Any])

VERSION_TABLE = "serving_alembic_version"
_SQLITE_BUSY_MS = 20_000
_RETRY_AFTER_S = 5

_POSTGRES_OPTIONS = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Seconds; the last value is milliseconds. An unreachable database host is noticed within some 15 s."""

_OPTIONS = {
    "psycopg2": _POSTGRES_OPTIONS,
    "psycopg": _POSTGRES_OPTIONS,
    "pymysql": {"connect_timeout": 3, "read_timeout": 15, "write_timeout": 15},
    "mysqldb": {"connect_timeout": 3, "read_timeout": 15, "write_timeout": 15},
}
"""By driver."""

_CONNECTION_S = 5
"""How long a thread waits for one of the pool's connections."""


def database_uri_for(backend_store_uri: str, state_dir: Path) -> str:
    """The database for our tables: the tracking server's; SQLite in the state directory beside a file store."""
    scheme = backend_store_uri.split(":", 1)[0].split("+", 1)[0]
    if scheme in {"sqlite", "postgresql", "mysql", "mssql"}:
        return backend_store_uri
    return f"sqlite:///{state_dir / 'serving.db'}"


def absolute_uri(uri: str) -> str:
    """A relative SQLite or file URI means another database in another directory."""
    scheme, separator, path = uri.partition(":///")
    if separator and scheme.startswith("sqlite") and path and not path.startswith("/"):
        return f"{scheme}:///{Path(path).absolute()}"
    if "://" not in uri:
        return str(Path(uri).absolute())
    return uri


def open_database(uri: str) -> Engine:
    """An engine with a small pool, because each web worker has an engine. ConfigurationError for an invalid URI."""
    try:
        url = make_url(uri)
        if url.get_backend_name() == "sqlite":
            engine = create_engine(url, connect_args={"timeout": _SQLITE_BUSY_MS / 1000})
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        options = _OPTIONS.get(url.get_driver_name(), {})
        return create_engine(
            url,
            connect_args={name: value for name, value in options.items() if name not in url.query},
            pool_size=2,
            max_overflow=8,
            pool_timeout=_CONNECTION_S,
            pool_pre_ping=True,
            pool_recycle=1800,
        )
    except (ArgumentError, ModuleNotFoundError) as error:
        # The URI itself may hold a password.
        raise ConfigurationError(f"The serving database cannot be opened: {type(error).__name__}.") from None


def for_writing(engine: Engine) -> Engine:
    """The same engine, for transactions that read and then write: on SQLite these transactions exclude each other."""
    return engine.execution_options(serving_writes=True)


def locked(query: Query, table: type[Any]) -> Query:
    """The query with its rows locked until the transaction ends. On SQLite the whole transaction excludes others."""
    # SQL Server has hints in place of FOR UPDATE.
    return query.with_for_update().with_hint(table, "WITH (UPDLOCK, ROWLOCK)", "mssql")


class DeadlockError(TemporarilyUnavailableError):
    """The database ended this transaction for another one's sake; tried again, the transaction may succeed."""


_DEADLOCKS = {1213, "40P01"}
"""MariaDB's and MySQL's number, PostgreSQL's SQLSTATE."""


def _is_deadlock(error: BaseException) -> bool:
    orig = getattr(error, "orig", None)
    return bool(_DEADLOCKS & {next(iter(getattr(orig, "args", ())), None), getattr(orig, "sqlstate", None)})


@contextlib.contextmanager
def session_on(engine: Engine) -> Iterator[Session]:
    """A session in one transaction; TemporarilyUnavailableError when the database is unreachable or locked."""
    try:
        # Rows that were read are used after the end of the transaction too.
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
    except (OperationalError, InterfaceError, NoConnectionError) as error:
        # The message of the database may name hosts and users.
        kind = DeadlockError if _is_deadlock(error) else TemporarilyUnavailableError
        raise kind(
            "The serving database cannot be reached. Models are served as before; try again.",
            retry_after_s=_RETRY_AFTER_S,
        ) from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_SQLITE_BUSY_MS}")
    # Python's driver begins a transaction at the first change, which is too late to protect reads, and never for DDL.
    connection.isolation_level = None


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("serving_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def upgrade(engine: Engine, lock: Path) -> None:
    """Migrate the tables. Web workers of one host do so one at a time; when two hosts race, the loser tries again."""
    with FileLock(lock, timeout=120):
        try:
            _upgrade(engine)
        except DBAPIError:
            _upgrade(engine)


def _upgrade(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with for_writing(engine).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
