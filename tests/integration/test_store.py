"""Our tables, on SQLite and on PostgreSQL."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, event, inspect, text

from mlflow_serving_plugin.domain.endpoint import EndpointConfig
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.errors import ConfigurationError, UnavailableError
from mlflow_serving_plugin.store.database import VERSION_TABLE, database_uri_for, open_database, upgrade
from mlflow_serving_plugin.store.endpoints import Store

WS = "default"
PLAIN = EndpointConfig()
TWO = EndpointConfig(replicas=2, environment={"A": "ü"}, request_timeout_s=2.5)
FORK = multiprocessing.get_context("spawn")


@pytest.fixture(params=["sqlite", "postgresql"])
def uri(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tracking.db'}"
    return request.getfixturevalue("postgres").emptied_database()


@pytest.fixture
def engine(uri, tmp_path):
    engine = open_database(uri)
    upgrade(engine, tmp_path / "database.lock")
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine):
    return Store(engine)


def enable(store, name="iris", *, created_ms=1, config=None, by=None):
    return store.enable(WS, name, model_created_ms=created_ms, config=config, by=by)


def told(store, name="iris", **options):
    page, _ = store.events(WS, name, **{"entity": None, "page_token": None, "limit": 1000, **options})
    return [found.type for found in reversed(page)]


def test_a_removed_endpoint_leaves_nothing(store, engine):
    endpoint = enable(store)
    store.add_events([(endpoint.id, Event(1, WS, "iris", None, "VERSION_READY", ""))])
    store.remove(endpoint)
    store.remove(endpoint)
    assert store.enabled() == []
    with engine.connect() as connection:
        for table in ("serving_endpoints", "serving_events"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0


def test_a_configuration_from_a_newer_release_is_read_without_what_is_unknown(store, engine):
    enable(store, config=TWO)
    with engine.begin() as connection:
        connection.execute(text('UPDATE serving_endpoints SET config = \'{"replicas": 3, "colour": "blue"}\''))
    assert store.find(WS, "iris").config == EndpointConfig(replicas=3)


def _set_up_and_enable(uri, lock, go, results):
    engine = open_database(uri)
    go.wait(60)
    try:
        upgrade(engine, lock)
        results.put(enable(Store(engine)).id)
    except Exception as error:
        results.put(repr(error))


@pytest.mark.parametrize("one_lock", [True, False], ids=["one host", "several hosts"])
def test_several_processes_set_up_and_enable_at_once(uri, tmp_path, one_lock):
    go, results = FORK.Event(), FORK.Queue()
    locks = [tmp_path / ("lock" if one_lock else f"lock-{n}") for n in range(3)]
    processes = [FORK.Process(target=_set_up_and_enable, args=(uri, lock, go, results)) for lock in locks]
    for process in processes:
        process.start()
    go.set()
    found = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(30)
    engine = open_database(uri)
    assert found == {endpoint.id for endpoint in Store(engine).enabled()}
    assert told(Store(engine)) == ["ENDPOINT_ENABLED"]
    engine.dispose()


def test_upgrading_again_changes_nothing(engine, store, tmp_path):
    enabled = enable(store)
    upgrade(engine, tmp_path / "database.lock")
    assert store.enabled() == [enabled]


def test_an_upgrade_that_was_cut_off_before_it_was_noted_is_made_up_for(uri, tmp_path, monkeypatch):
    from alembic.runtime.migration import HeadMaintainer

    engine = open_database(uri)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(HeadMaintainer, "update_to_step", killed)
        upgrade(engine, tmp_path / "lock")
    upgrade(engine, tmp_path / "lock")
    assert enable(Store(engine)).name == "iris"
    engine.dispose()


def test_the_schema_has_a_version_table_of_its_own(engine):
    tables = set(inspect(engine).get_table_names())
    ours = {f"serving_{name}" for name in ("endpoints", "events", "audit", "tokens", "hosts", "worker_tokens")}
    assert {VERSION_TABLE, *ours} == tables
    with engine.connect() as connection:
        assert connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == "0009"


def test_the_migrations_make_what_the_tables_say(engine):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from mlflow_serving_plugin.store.tables import Base

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Base.metadata) == []


def _mlflow_store(uri, tmp_path):
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    return SqlAlchemyStore(uri, str(tmp_path / "artifacts"))


def test_mlflow_s_own_store_opens_the_database_before_and_after_ours(uri, tmp_path):
    mlflow_store = _mlflow_store(uri, tmp_path)
    experiment = mlflow_store.create_experiment("before")
    mlflow_store.engine.dispose()
    engine = open_database(uri)
    upgrade(engine, tmp_path / "lock")
    enabled = enable(Store(engine))
    again = _mlflow_store(uri, tmp_path)
    assert again.get_experiment(experiment).name == "before"
    again.engine.dispose()
    assert Store(engine).enabled() == [enabled]
    engine.dispose()


def test_mlflow_upgrades_its_own_tables_though_ours_are_there(uri, tmp_path):
    from mlflow.store.db.utils import _upgrade_db

    _mlflow_store(uri, tmp_path).engine.dispose()
    engine = open_database(uri)
    upgrade(engine, tmp_path / "lock")
    _upgrade_db(engine)
    _mlflow_store(uri, tmp_path).engine.dispose()
    assert enable(Store(engine)).name == "iris"
    engine.dispose()


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("sqlite:////x/mlflow.db", "sqlite:////x/mlflow.db"),
        ("postgresql+psycopg2://u@h/d", "postgresql+psycopg2://u@h/d"),
        ("mysql+pymysql://u@h/d", "mysql+pymysql://u@h/d"),
        ("/srv/mlruns", "sqlite:////state/serving.db"),
        ("file:///srv/mlruns", "sqlite:////state/serving.db"),
    ],
)
def test_our_tables_are_in_the_server_s_database_or_in_the_state_directory(backend, expected):
    from pathlib import Path

    assert database_uri_for(backend, Path("/state")) == expected


@pytest.mark.parametrize("uri", ["no uri: s3cret", "nosuchdb://u:s3cret@h/d"])
def test_a_uri_that_is_none_is_a_configuration_error_without_its_password(uri):
    with pytest.raises(ConfigurationError) as caught:
        open_database(uri)
    assert "s3cret" not in str(caught.value)


def test_a_sqlite_database_that_another_writer_holds_is_waited_for(tmp_path):
    uri = f"sqlite:///{tmp_path / 'tracking.db'}"
    engine = open_database(uri)
    upgrade(engine, tmp_path / "lock")
    holder = create_engine(uri, isolation_level="AUTOCOMMIT").connect()
    holder.execute(text("BEGIN IMMEDIATE"))
    about_to_write = threading.Event()
    event.listen(engine, "before_cursor_execute", lambda *_: about_to_write.set())
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(enable, Store(engine))
        assert about_to_write.wait(30)
        assert not writing.done()
        holder.execute(text("COMMIT"))
        assert writing.result(timeout=30).name == "iris"
    holder.close()
    engine.dispose()


@pytest.mark.parametrize("uri", ["sqlite:////nowhere/secret.db", "postgresql+psycopg2://secret@/d?host=/nowhere"])
def test_a_database_that_cannot_be_reached_is_said_to_be_so_without_its_address(uri):
    store = Store(open_database(uri))
    for ask in (store.enabled, lambda: store.find(WS, "iris"), lambda: enable(store), lambda: store.prune_events(1)):
        with pytest.raises(UnavailableError) as raised:
            ask()
        assert raised.value.retry_after_s
        assert "The serving database cannot be reached" in raised.value.message
        assert "secret" not in raised.value.message
