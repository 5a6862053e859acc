"""Our tables, on SQLite and on PostgreSQL."""

from __future__ import annotations

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, event, inspect, text

from mlflow_serving_plugin.domain.endpoint import EndpointConfig
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.errors import ConfigurationError, InvalidParameterError, NotFoundError, UnavailableError
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


def an_event(number=1, *, entity="1", message=""):
    return Event(number, WS, "iris", entity, "VERSION_READY", message or f"event {number}")


def test_nothing_is_enabled_at_first(store):
    assert store.enabled() == []
    assert store.find(WS, "iris") is None


def test_an_enabled_model_is_found_with_its_configuration(store):
    enabled = enable(store, config=TWO)
    assert (enabled.workspace, enabled.name, enabled.config, enabled.model_created_ms) == (WS, "iris", TWO, 1)
    assert store.find(WS, "iris") == enabled
    assert store.enabled() == [enabled]


def test_the_same_name_in_another_workspace_is_another_endpoint(store):
    enable(store)
    assert store.find("team", "iris") is None
    other = store.enable("team", "iris", model_created_ms=5, config=None, by=None)
    assert len(store.enabled()) == 2
    store.disable(WS, "iris", by=None)
    assert store.enabled() == [other]


@pytest.mark.parametrize("name", ["a'b\"c", "rosé 🌹", "x" * 256, "semi;colon -- x", "50%_off"])
def test_a_name_of_any_kind_is_kept(store, name):
    assert store.find(WS, enable(store, name).name).name == name


def test_enabling_twice_is_enabling_once(store):
    assert enable(store, config=TWO) == enable(store)
    assert told(store) == ["ENDPOINT_ENABLED"]


def test_enabling_with_another_configuration_changes_it_and_says_so(store):
    enable(store, config=TWO)
    assert enable(store, config=PLAIN, by="ada").config == PLAIN
    assert told(store) == ["ENDPOINT_ENABLED", "ENDPOINT_CONFIGURED"]


def test_a_disabled_endpoint_is_gone_and_keeps_its_settings_and_history_for_later(store):
    before = enable(store, config=TWO)
    assert store.disable(WS, "iris", by="ada")
    assert store.enabled() == []
    assert store.find(WS, "iris") is None
    assert enable(store) == before
    assert told(store) == ["ENDPOINT_ENABLED", "ENDPOINT_DISABLED", "ENDPOINT_ENABLED"]


def test_disabling_what_is_not_enabled_does_nothing(store):
    assert not store.disable(WS, "iris", by=None)
    enable(store)
    store.disable(WS, "iris", by=None)
    assert not store.disable(WS, "iris", by=None)
    assert told(store) == ["ENDPOINT_ENABLED", "ENDPOINT_DISABLED"]


def test_events_name_who_did_it(store):
    enable(store, by="ada")
    page, _ = store.events(WS, "iris", entity=None, page_token=None, limit=1)
    assert page[0].message == "Serving was enabled by ada."
    assert abs(page[0].timestamp_ms / 1000 - time.time()) < 60


def test_configuring_replaces_the_configuration_and_is_told_once(store):
    enable(store)
    assert store.configure(WS, "iris", TWO, by=None).config == TWO
    assert store.configure(WS, "iris", TWO, by=None).config == TWO
    assert store.find(WS, "iris").config == TWO
    assert told(store) == ["ENDPOINT_ENABLED", "ENDPOINT_CONFIGURED"]


@pytest.mark.parametrize("disabled_before", [False, True])
def test_configuring_what_is_not_enabled_is_not_found(store, disabled_before):
    if disabled_before:
        enable(store)
        store.disable(WS, "iris", by=None)
    with pytest.raises(NotFoundError, match="'iris'"):
        store.configure(WS, "iris", TWO, by=None)


def test_a_new_model_under_an_old_name_does_not_inherit_settings_or_history(store):
    old = enable(store, config=TWO)
    new = enable(store, created_ms=2)
    assert new.config == PLAIN
    assert new.id != old.id
    assert told(store) == ["ENDPOINT_ENABLED"]


def test_a_renamed_endpoint_keeps_its_settings_and_history(store):
    before = enable(store, config=TWO)
    store.rename(before, "rose")
    assert store.find(WS, "iris") is None
    assert store.find(WS, "rose") == replace(before, name="rose")
    assert told(store, "rose") == ["ENDPOINT_ENABLED", "MODEL_RENAMED"]
    assert told(store, "iris") == []


def test_renaming_twice_is_told_once(store):
    # Two hosts see the same rename, each through a controller of its own.
    before = enable(store)
    store.rename(before, "rose")
    store.rename(before, "rose")
    assert told(store, "rose") == ["ENDPOINT_ENABLED", "MODEL_RENAMED"]


def test_a_rename_onto_an_enabled_endpoint_is_left_alone(store):
    iris, rose = enable(store), enable(store, "rose", created_ms=2)
    store.rename(iris, "rose")
    assert store.enabled() == [iris, rose]


def test_a_rename_takes_the_name_of_an_endpoint_that_was_disabled(store):
    iris = enable(store, config=TWO)
    enable(store, "rose", created_ms=2)
    store.disable(WS, "rose", by=None)
    store.rename(iris, "rose")
    assert store.enabled() == [replace(iris, name="rose")]


def test_a_removed_endpoint_leaves_nothing(store, engine):
    endpoint = enable(store)
    store.add_events([(endpoint.id, an_event())])
    store.remove(endpoint)
    store.remove(endpoint)
    assert store.enabled() == []
    with engine.connect() as connection:
        for table in ("serving_endpoints", "serving_events"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0


def test_renaming_what_was_removed_meanwhile_does_nothing(store):
    endpoint = enable(store)
    store.remove(endpoint)
    store.rename(endpoint, "rose")
    assert store.enabled() == []


def test_events_come_newest_first_a_page_at_a_time(store):
    endpoint = enable(store)
    # Many in one millisecond: the order they were written in counts.
    store.add_events([(endpoint.id, replace(an_event(7), message=str(n))) for n in range(5)])
    pages, token = [], None
    while True:
        page, token = store.events(WS, "iris", entity="1", page_token=token, limit=2)
        pages.append([found.message for found in page])
        if token is None:
            break
    assert pages == [["4", "3"], ["2", "1"], ["0"]]


def test_a_last_page_that_is_full_has_no_next(store):
    endpoint = enable(store)
    store.add_events([(endpoint.id, an_event(n)) for n in range(2)])
    _, token = store.events(WS, "iris", entity="1", page_token=None, limit=2)
    assert token is None


def test_events_that_arrive_between_two_pages_shift_neither(store):
    endpoint = enable(store)
    store.add_events([(endpoint.id, an_event(n)) for n in range(4)])
    first, token = store.events(WS, "iris", entity="1", page_token=None, limit=2)
    store.add_events([(endpoint.id, an_event(9))])
    second, _ = store.events(WS, "iris", entity="1", page_token=token, limit=2)
    assert [found.timestamp_ms for found in first + second] == [3, 2, 1, 0]


def test_events_of_one_version_are_those_of_no_other(store):
    endpoint = enable(store)
    store.add_events([(endpoint.id, an_event(1, entity="1")), (endpoint.id, an_event(2, entity="2"))])
    page, _ = store.events(WS, "iris", entity="2", page_token=None, limit=10)
    assert [found.entity for found in page] == ["2"]


@pytest.mark.parametrize("token", ["x", "-1", "1.5", "", "9" * 40, "1 OR 1=1", "²"])
def test_a_token_that_was_never_given_is_refused(store, token):
    with pytest.raises(InvalidParameterError, match="page_token"):
        store.events(WS, "iris", entity=None, page_token=token, limit=1)


def test_a_message_with_characters_that_a_database_refuses_is_kept_all_the_same(store):
    # One event that can never be written would hold up all that come after it.
    endpoint = enable(store)
    store.add_events([(endpoint.id, an_event(message="read \x00 and \udcff, then é"))])
    page, _ = store.events(WS, "iris", entity="1", page_token=None, limit=1)
    assert page[0].message.startswith("read ")
    assert page[0].message.endswith("then é")


def test_old_events_are_pruned_and_counted(store):
    endpoint = enable(store)
    store.add_events([(endpoint.id, an_event(n)) for n in (10, 20, 30)])
    assert store.prune_events(20) == 1
    page, _ = store.events(WS, "iris", entity="1", page_token=None, limit=10)
    assert [found.timestamp_ms for found in page] == [30, 20]
    assert store.prune_events(20) == 0


def test_a_configuration_from_a_newer_release_is_read_without_what_is_unknown(store, engine):
    enable(store, config=TWO)
    with engine.begin() as connection:
        connection.execute(text('UPDATE serving_endpoints SET config = \'{"replicas": 3, "colour": "blue"}\''))
    assert store.find(WS, "iris").config == EndpointConfig(replicas=3)


def at_once(count, work):
    barrier = threading.Barrier(count)

    def one(number):
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return [future.result() for future in [threads.submit(one, number) for number in range(count)]]


@pytest.mark.parametrize("round_", range(3))
def test_enabling_from_many_threads_at_once_is_enabling_once(store, round_):
    assert len({endpoint.id for endpoint in at_once(6, lambda _: enable(store))}) == 1
    assert told(store) == ["ENDPOINT_ENABLED"]


@pytest.mark.parametrize("round_", range(3))
def test_enabling_again_from_many_threads_at_once_is_told_once(store, round_):
    enable(store)
    store.disable(WS, "iris", by=None)
    at_once(6, lambda _: enable(store))
    assert told(store) == ["ENDPOINT_ENABLED", "ENDPOINT_DISABLED", "ENDPOINT_ENABLED"]


@pytest.mark.parametrize("round_", range(3))
def test_disabling_from_many_threads_at_once_succeeds_once(store, round_):
    enable(store)
    assert sorted(at_once(6, lambda _: store.disable(WS, "iris", by=None))) == [False] * 5 + [True]
    assert told(store) == ["ENDPOINT_ENABLED", "ENDPOINT_DISABLED"]


def test_writers_do_not_lose_one_another_s_events(store):
    endpoint = enable(store)
    at_once(6, lambda number: [store.add_events([(endpoint.id, an_event(number))]) for _ in range(20)])
    assert told(store).count("VERSION_READY") == 120


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
    assert {VERSION_TABLE, "serving_endpoints", "serving_events", "serving_tokens"} == tables
    with engine.connect() as connection:
        assert connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == "0003"


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
