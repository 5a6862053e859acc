"""The database of our tables, and the store of the models' files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from mlflow_serving_plugin.diagnosis.base import ERROR, OK, SKIPPED, WARNING, Finding, Place, can_write
from mlflow_serving_plugin.errors import ConfigurationError
from mlflow_serving_plugin.store.condition import Condition, UnreachableError, condition_of, database_file
from mlflow_serving_plugin.store.database import database_uri_for

_SLOW_S = 0.05
"""A change of an endpoint is some ten queries."""

_SKEW_S = 5.0


def database(place: Place) -> Iterator[Finding]:
    """Whether the database answers, and whether its tables are those of this version."""
    uri = place.settings.database_uri or place.backend_store_uri
    if not uri:
        advice = "Give --backend-store-uri as to the server, or set MLFLOW_SERVING_DATABASE_URI."
        yield Finding("database", "connection", SKIPPED, "not known which database", advice)
        return
    if not place.settings.database_uri:
        if place.state_dir is None:
            return
        uri = database_uri_for(uri, place.state_dir)
    file = database_file(uri)
    if file is not None and not file.exists():
        yield _missing_file(file)
        return
    try:
        found = condition_of(uri)
    except UnreachableError as error:
        advice = "Look at the host, port, user and password in the database's URI, and at the database's own log."
        yield Finding("database", "connection", ERROR, f"The database does not answer: {error.message}.", advice)
        return
    except ConfigurationError as error:
        advice = "Install its driver. A URI is driver://user:password@host/database; write special characters as %XX."
        yield Finding("database", "connection", ERROR, error.message, advice)
        return
    if file is not None and not os.access(file, os.W_OK):
        advice = "Give the file and its directory to the server's user."
        yield Finding("database", "connection", ERROR, "This user cannot write to the SQLite file.", advice)
    else:
        yield _connection(found)
    yield _migrations(found)
    if found.clock_ahead_s is not None:
        yield clock("database", "clock", found.clock_ahead_s)


def _missing_file(file: Path) -> Finding:
    directory = file.absolute().parent
    if directory.is_dir() and can_write(directory):
        return Finding("database", "connection", OK, "a SQLite file that the server makes when it starts")
    advice = "The URI of an absolute path has four slashes (sqlite:////srv/mlflow.db). Make the directory."
    return Finding("database", "connection", ERROR, "The directory of the SQLite file is missing.", advice)


def _connection(found: Condition) -> Finding:
    text = f"{found.kind}, {found.round_trip_s * 1000:.1f} ms a query"
    if found.round_trip_s > _SLOW_S:
        advice = "Scoring needs no database. The control API and the tab are slow: bring database and server together."
        return Finding("database", "connection", WARNING, text, advice)
    return Finding("database", "connection", OK, text)


def _migrations(found: Condition) -> Finding:
    if not found.known:
        advice = "Install the newer plugin again, or restore the backup of the database from before the upgrade."
        text = "The tables were made by a newer version of the plugin."
        return Finding("database", "migrations", ERROR, text, advice)
    if found.revision is None:
        return Finding("database", "migrations", OK, "no tables yet; the server makes the tables when it starts")
    if found.revision != found.newest:
        advice = "Make a backup of the database; the server migrates the tables when it starts."
        return Finding("database", "migrations", WARNING, f"{found.revision}, the newest is {found.newest}", advice)
    return Finding("database", "migrations", OK, found.revision)


def clock(area: str, check: str, ahead_s: float) -> Finding:
    """Whether two clocks agree. ``ahead_s``: how far the other one is ahead of this machine's."""
    if abs(ahead_s) > _SKEW_S:
        advice = "Set both clocks by NTP: tokens expire and histories are written by these clocks."
        text = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
        return Finding(area, check, WARNING, text, advice)
    return Finding(area, check, OK, "agrees with this machine's")


def artifacts(place: Place) -> Iterator[Finding]:
    """Whether the files of models can be listed, with the credentials of this environment."""
    destination = place.artifacts_destination
    if not destination:
        advice = "Give --artifacts-destination as to the server."
        yield Finding("artifacts", "store", SKIPPED, "not known which store", advice)
        return
    url = urlparse(destination)
    if url.scheme in {"", "file"}:
        yield _directory(Path(url2pathname(url.path)) if url.scheme else Path(destination))
        return
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        get_artifact_repository(destination).list_artifacts()
    except Exception as error:
        # Messages of stores name buckets, keys and hosts.
        advice = (
            "Look at the credentials in the server's environment and at the name of the bucket or container; "
            "mlflow artifacts list --artifact-uri shows the whole error."
        )
        kind = _code(error)
        yield Finding("artifacts", "store", ERROR, f"The {url.scheme} store cannot be listed: {kind}.", advice)
    else:
        yield Finding("artifacts", "store", OK, f"{url.scheme}, can be listed")


def _code(error: Exception) -> str:
    """The store's own word for an error (``NoSuchBucket``), else the error's name."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(code) if isinstance(code, str) and code.isalnum() else type(error).__name__


def _directory(directory: Path) -> Finding:
    there = directory.absolute()
    if not there.exists():
        parent = next(parent for parent in there.parents if parent.exists())
        if can_write(parent):
            return Finding("artifacts", "store", OK, "a directory that MLflow makes with the first model")
        advice = "Make the directory and give it to the server's user."
        return Finding("artifacts", "store", ERROR, "The directory is missing, and this user cannot make it.", advice)
    if not os.access(there, os.R_OK | os.X_OK):
        advice = "Give the directory to the server's user."
        return Finding("artifacts", "store", ERROR, "This user cannot read the directory.", advice)
    if not can_write(there):
        advice = "Give the directory to the server's user, unless this is meant."
        return Finding("artifacts", "store", WARNING, "read-only: models are served, none can be logged", advice)
    return Finding("artifacts", "store", OK, "a directory, writable")
