"""The tiers and the lanes of the tests, and the servers that they share.

A tier is a marker that the place of a test gives it. A lane is a process of pytest-xdist; tests of one server run in
one lane. ``scripts/test --help`` tells both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from support.auth import ALLOWED_HOSTS, BasicAuthServer, Cast, client_of
from support.cells import put_up
from support.mariadb import MariaDB, mariadb_program, mysql_program
from support.matrix import APP
from support.models import Models, register
from support.postgres import Postgres, postgres_binaries
from support.preloaded import start_session
from support.server import TrackingServer, free_port
from support.shared import run_directory

from mlflow_serving_plugin.backends import native

TIERS = {"acceptance": "server", "browser": "browser", "chaos": "chaos", "conformance": "conformance"}
"""The tier of the tests in a folder; without one, and unless it is marked otherwise, a test is ``fast``."""

KINDS = ("plain", "strict", "basic", "prefixed", "oidc", "house", "exposing", "many", "serving", "threaded")
"""Fixtures that start a server for many tests: those run in one lane, one after the other."""

_MOST_LANES = 4

# A test's time says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

SLOWEST_FIRST = ("eras", "flavors", "ray", "conformance", "chaos", "browser", "server", "fast")


def pytest_configure(config: pytest.Config) -> None:
    """Without a path and without ``-m`` only the fast tests run."""
    run_directory()
    named = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    if not (named or config.option.markexpr):
        config.option.markexpr = "fast"


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Lanes: one more than processors, for tests mostly wait; none for a path, or to debug."""
    alone = config.option.usepdb or config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    return 0 if alone else min(_MOST_LANES, (os.cpu_count() or 1) + 1)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test with its tier and with the server that it shares, before pytest-xdist looks for groups."""
    if not any(item.get_closest_marker(tier) for tier in SLOWEST_FIRST):
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        item.add_marker(TIERS.get(folder, "fast"))
    if kind := _kind(item):
        item.add_marker(pytest.mark.xdist_group(kind))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With lanes, the longest come first; without, the quickest to fail."""
    lanes = hasattr(config, "workerinput") or config.getoption("dist", "no") != "no"
    items.sort(key=_rank, reverse=not lanes)


def _kind(item: pytest.Item) -> str | None:
    given = item.callspec.params if hasattr(item, "callspec") else {}
    # A fixture with parameters starts a server for each, and one may be a name of the others.
    for value in given.values():
        if isinstance(value, str) and value in KINDS:
            return value
    name = next((name for name in KINDS if name in item.fixturenames), None)
    if name is None:
        return _module_of(item)
    return f"{name}-{given[name]}" if name in given else name


def _module_of(item: pytest.Item) -> str | None:
    """The module of a test that starts a worker or a database for all its tests: each lane would start one."""
    if item.get_closest_marker("xdist_group") or "integration" not in item.path.parts:
        return None
    made = item._fixtureinfo.name2fixturedefs.values()
    return item.path.stem if any(found[-1].scope == "module" for found in made) else None


def _rank(item: pytest.Item) -> int:
    return next(rank for rank, tier in enumerate(SLOWEST_FIRST) if item.get_closest_marker(tier))


@pytest.fixture(scope="session", autouse=True)
def preloaded() -> Iterator[None]:
    """Zygotes are forked, those of this process and those of servers, unless a test has them ``as_in_production``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "start_session", start_session)
        yield


@pytest.fixture(scope="session")
def models() -> Models:
    """The models, saved once a run when first asked for."""
    return Models(run_directory() / "models")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL."""
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL on this machine (apt-get install postgresql)")
    with Postgres(binaries) as running:
        yield running


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A running MariaDB."""
    program = mariadb_program()
    if program is None:
        pytest.skip("no MariaDB on this machine (apt-get install mariadb-server)")
    with MariaDB(program) as running:
        yield running


@pytest.fixture(scope="session")
def mysql() -> Iterator[MariaDB]:
    """A running MySQL."""
    program = mysql_program()
    if program is None:
        pytest.skip("no MySQL on this machine (conda install -c conda-forge mysql-server)")
    with MariaDB(program) as running:
        yield running


@pytest.fixture(scope="session")
def plain(models: Models) -> Iterator[TrackingServer]:
    """uvicorn with three web workers, all settings as they are by default; ``iris`` is served in one version."""
    with TrackingServer("uvicorn", workers=3, extra_args=ALLOWED_HOSTS) as server:
        register(server.client, "iris", models.path("iris-1"))
        server.enable("iris")
        server.wait_ready("iris", 1)
        yield server


@pytest.fixture(scope="session")
def strict(models: Models) -> Iterator[TrackingServer]:
    """uvicorn with one web worker and little patience, so that every limit can be hit; ``iris`` is served."""
    settings = {"hold_timeout_s": 2, "max_in_flight": 4, "overdue_grace_s": 1, "backoff_base_s": 3600}
    with TrackingServer("uvicorn", settings=settings | {"backoff_cap_s": 3600}) as server:
        register(server.client, "iris", models.path("iris-1"))
        server.enable("iris")
        server.wait_ready("iris", 1)
        yield server


@pytest.fixture(scope="session")
def prefixed() -> Iterator[TrackingServer]:
    """gunicorn's synchronous web workers below ``/mlflow``, on MLflow's file store; nothing is served."""
    with TrackingServer("gunicorn-sync", workers=2, static_prefix="/mlflow", backend="file") as server:
        yield server


@pytest.fixture(scope="session")
def threaded(postgres: Postgres) -> Iterator[TrackingServer]:
    """gunicorn's web workers with threads, two, on PostgreSQL; nothing is served. Tests stop and kill it."""
    with TrackingServer("gunicorn", workers=2, backend=postgres.new_database()) as server:
        yield server


@pytest.fixture(scope="session")
def basic(models: Models) -> Iterator[BasicAuthServer]:
    """``basic-auth`` with two web workers, and gRPC; ``iris`` is served, ``spare`` is enabled and has no versions.

    Pages of ``APP`` are allowed.
    """
    pages = ("--cors-allowed-origins", APP)
    settings = {"grpc_port": free_port()}
    with BasicAuthServer(workers=2, extra_args=(*ALLOWED_HOSTS, *pages), settings=settings) as server:
        server.grpc_port = settings["grpc_port"]
        with client_of(server) as client:
            put_up(server, client, models)
        yield server


@pytest.fixture(scope="session")
def cast(basic: BasicAuthServer) -> Cast:
    """Somebody of every kind on the server with ``basic-auth``."""
    return Cast(basic)
