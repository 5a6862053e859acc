from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from support.guard import SLEEP, Guarded

from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.store.database import for_writing, open_database, upgrade
from mlflow_serving_plugin.store.endpoints import Store
from mlflow_serving_plugin.store.tables import Base
from mlflow_serving_plugin.store.tokens import TokenStore
from mlflow_serving_plugin.testing import MemoryStore, MemoryTokens


@pytest.fixture(
    scope="module",
    params=["memory", "sqlite", "postgresql", "mariadb", pytest.param("mysql", marks=pytest.mark.matrix)],
)
def database(request, tmp_path_factory):
    """The engine of a database with our tables, one for all tests of a module; None: the doubles in memory."""
    if request.param == "memory":
        yield None
        return
    directory = tmp_path_factory.mktemp("database")
    in_file = f"sqlite:///{directory / 'tracking.db'}"
    fixture = {"postgresql": "postgres"}.get(request.param, request.param)
    uri = in_file if request.param == "sqlite" else request.getfixturevalue(fixture).emptied_database()
    engine = open_database(uri)
    upgrade(engine, directory / "lock")
    yield engine
    engine.dispose()


@pytest.fixture
def store(database):
    """An empty store of endpoints and events."""
    if database is None:
        return MemoryStore()
    with for_writing(database).begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    return Store(database)


@pytest.fixture
def tokens(database, store):
    """An empty store of tokens beside it."""
    return MemoryTokens(store) if database is None else TokenStore(database)


@pytest.fixture
def root():
    """A directory with a path short enough for unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="mls-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def paths(root):
    """A state directory."""
    return StatePaths.create(root / "state")


@pytest.fixture
def guard(root):
    """Starts commands under guards: Python code, or a command."""
    made = []

    def start(code=SLEEP, *, command=None, **changes):
        made.append(Guarded(root, *(command or [sys.executable, "-S", "-c", code]), **changes))
        return made[-1]

    yield start
    for guarded in made:
        guarded.clear()
