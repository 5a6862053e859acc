"""Writes ``databases/*.sql``: what the code of 46564e1 made of a serving database, to be upgraded from in tests.

Run with a checkout and an environment of that commit, from its root:
``python …/tests/data/make_databases.py sqlite:///scratch.db`` (or a PostgreSQL URI, with ``pg_dump`` on PATH).
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from mlflow_serving_plugin.store.store import Event, Store
from sqlalchemy.engine import make_url

from mlflow_serving_plugin.domain.endpoint import EndpointConfig
from mlflow_serving_plugin.domain.token import Scope, Token
from mlflow_serving_plugin.store.database import open_database, upgrade
from mlflow_serving_plugin.store.tokens import TokenStore

HERE = Path(__file__).parent / "databases"
TWO = EndpointConfig(replicas=2, environment={"A": "ü"}, request_timeout_s=2.5, max_batch_rows=8)


def fill(uri: str) -> None:
    """Endpoints on, off, in two workspaces and renamed; events of versions and of endpoints; tokens."""
    engine = open_database(uri)
    upgrade(engine, Path(tempfile.mkdtemp()) / "lock")
    store, tokens = Store(engine), TokenStore(engine)
    iris = store.enable("default", "iris", model_created_ms=1, config=TWO, by="ada")
    store.enable("team", "rosé 🌹", model_created_ms=2, config=None, by=None)
    store.enable("default", "off", model_created_ms=3, config=TWO, by="ada")
    store.disable("default", "off", by="bob")
    renamed = store.enable("default", "before", model_created_ms=4, config=None, by="ada")
    store.rename(renamed, "after")
    story = [(3, "VERSION_READY", "Serving."), (12, "VERSION_FAILED", "no 'x'"), (None, "ENDPOINT_READY", "Serving.")]
    store.add_events((iris.id, Event(1000 + n, "default", "iris", *told)) for n, told in enumerate(story))
    tokens.add_token(Token("t1", "ada", "a1", "for CI", 5, scope=Scope("default", "iris")), "d" * 64)
    tokens.add_token(Token("t2", "bob", "b1", "", 6, 7, last_used_ms=8), "e" * 64)
    tokens.remove_token("t2", owner=None, by="root")
    engine.dispose()


def main(uri: str) -> None:
    """Fill the database and dump it."""
    fill(uri)
    url = make_url(uri)
    HERE.mkdir(exist_ok=True)
    if url.get_backend_name() == "sqlite":
        with sqlite3.connect(str(url.database)) as connection:
            text = "\n".join(connection.iterdump()) + "\n"
    else:
        options = ["--inserts", "--no-owner", "-h", str(url.query["host"]), "-U", str(url.username), str(url.database)]
        dump = subprocess.run(["pg_dump", *options], check=True, capture_output=True, text=True)
        # psql's own commands, and settings that other releases do not know.
        kept = [line for line in dump.stdout.splitlines() if line and not line.startswith(("\\", "--", "SET "))]
        text = "\n".join(kept) + "\n"
    (HERE / f"at_46564e1.{url.get_backend_name()}.sql").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
