"""A database as the code of 46564e1 left it comes through the upgrade, on SQLite and on PostgreSQL, and back."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, text

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.token import Scope
from mlflow_serving_plugin.store import database
from mlflow_serving_plugin.store.endpoints import Store
from mlflow_serving_plugin.store.tokens import TokenStore

DUMPS = Path(__file__).parent.parent / "data" / "databases"
TWO = EndpointConfig(replicas=2, environment={"A": "ü"}, request_timeout_s=2.5, max_batch_rows=8)


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request, tmp_path):
    """The URI of a database filled with the dump."""
    dump = (DUMPS / f"at_46564e1.{request.param}.sql").read_text()
    if request.param == "sqlite":
        with sqlite3.connect(tmp_path / "tracking.db") as connection:
            connection.executescript(dump)
        connection.close()
        return f"sqlite:///{tmp_path / 'tracking.db'}"
    uri = request.getfixturevalue("postgres").new_database()
    engine = create_engine(uri)
    with engine.begin() as connection:
        connection.exec_driver_sql(dump)
    engine.dispose()
    return uri


@pytest.fixture
def engine(old, tmp_path):
    engine = database.open_database(old)
    database.upgrade(engine, tmp_path / "database.lock")
    yield engine
    engine.dispose()


def test_endpoints_keep_their_configuration_and_identity(engine):
    store = Store(engine)
    found = {(endpoint.workspace, endpoint.name): endpoint for endpoint in store.enabled()}
    assert found.keys() == {("default", "iris"), ("default", "after"), ("team", "rosé 🌹")}
    assert found["default", "iris"].config == TWO
    assert found["team", "rosé 🌹"].config == EndpointConfig()
    assert found["default", "after"].model_created_ms == 4
    assert store.enable("default", "off", model_created_ms=3, config=None, by=None).config == TWO
    with engine.connect() as connection:
        assert set(connection.execute(text("SELECT kind, spec, generation FROM serving_endpoints"))) == {
            ("model", None, 0),
            ("model", None, 1),
        }


def test_events_of_versions_are_events_of_the_entities_of_that_name(engine):
    page, _ = Store(engine).events("default", "iris", entity=None, page_token=None, limit=100)
    assert [(event.entity, event.type) for event in page] == [
        (None, "ENDPOINT_READY"),
        ("12", "VERSION_FAILED"),
        ("3", "VERSION_READY"),
        (None, "ENDPOINT_ENABLED"),
    ]
    of_12, _ = Store(engine).events("default", "iris", entity="12", page_token=None, limit=100)
    assert [(event.message, event.timestamp_ms) for event in of_12] == [("no 'x'", 1001)]


def test_new_events_follow_the_old_ones(engine):
    store = Store(engine)
    store.configure("default", "iris", EndpointConfig(), by="eve")
    page, _ = store.events("default", "iris", entity=None, page_token=None, limit=1)
    assert page[0].message == "The configuration was changed by eve."


def test_tokens_and_the_audit_come_through(engine):
    (token,) = TokenStore(engine).tokens(None)
    assert (token.id, token.owner, token.scope) == ("t1", "ada", Scope("default", "iris"))
    assert TokenStore(engine).find_token("d" * 64) == token
    page, _ = Store(engine).audit(page_token=None, limit=100)
    assert [(event.type, event.name) for event in page] == [
        ("TOKEN_REVOKED", ""),
        ("TOKEN_CREATED", ""),
        ("TOKEN_CREATED", ""),
        ("ENDPOINT_ENABLED", "after"),
        ("ENDPOINT_DISABLED", "off"),
        ("ENDPOINT_ENABLED", "off"),
        ("ENDPOINT_ENABLED", "rosé 🌹"),
        ("ENDPOINT_ENABLED", "iris"),
    ]


def test_the_downgrade_gives_the_tables_and_the_rows_of_before(old, tmp_path):
    before = _rows(old)
    engine = database.open_database(old)
    database.upgrade(engine, tmp_path / "database.lock")
    _downgrade(engine)
    engine.dispose()
    assert _rows(old) == before


def _rows(uri: str) -> dict[str, set[tuple[object, ...]]]:
    endpoints = "SELECT id, workspace, name, enabled, config, model_created_ms FROM serving_endpoints"
    events = "SELECT id, endpoint_id, timestamp_ms, version, type, message FROM serving_events"
    engine = create_engine(uri)
    with engine.connect() as connection:
        found = {query: {tuple(row) for row in connection.execute(text(query))} for query in (endpoints, events)}
    engine.dispose()
    return found


def _downgrade(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with database.for_writing(engine).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
