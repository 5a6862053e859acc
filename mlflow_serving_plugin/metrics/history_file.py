"""The history of one host as an SQLite file: the controller writes, every web worker reads.

``steps`` has a row for each ten seconds, and for each five minutes, in which an entity did or became something;
``measured`` has the steps in which somebody measured at all. Times are in seconds since 1970, of a step's beginning.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from mlflow_serving_plugin.metrics.deltas import Key
from mlflow_serving_plugin.metrics.sample import Sample, load_sample

_logger = logging.getLogger(__name__)

FINE_S, COARSE_S = 10, 300
KEEP_FINE_S, KEEP_COARSE_S = 24 * 3600, 30 * 24 * 3600
RETOLD_S = 3600
"""The gauges of an entity are written at least so often, also when nothing changes."""

_FORMAT = 1
_SCHEMA = """
CREATE TABLE entities (id INTEGER PRIMARY KEY, endpoint TEXT, name TEXT, UNIQUE (endpoint, name));
CREATE TABLE steps (
    step INTEGER, time INTEGER, entity INTEGER, requests INTEGER, sample BLOB, PRIMARY KEY (step, time, entity)
) WITHOUT ROWID;
CREATE TABLE measured (step INTEGER, time INTEGER, PRIMARY KEY (step, time)) WITHOUT ROWID;
"""


class HistoryFile:
    """The controller's end. One thread at a time. A damaged file, or one of another format, begins anew.

    All methods raise OSError when the file cannot be written.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._ids: dict[Key, int] = {}

    def write(self, time: int, samples: Mapping[Key, Sample]) -> None:
        """Add a step. A step that is there already, as after a clock was set back, is added to."""

        def change(connection: sqlite3.Connection) -> None:
            query = "SELECT 1 FROM measured WHERE step = ? AND time = ?"
            over = connection.execute(query, (FINE_S, time)).fetchone() is not None
            connection.execute("INSERT OR IGNORE INTO measured VALUES (?, ?)", (FINE_S, time))
            rows = {self._id(connection, key): sample for key, sample in samples.items()}
            _put(connection, FINE_S, time, rows, over=over)

        self._change(change)

    def tidy(self, now: int) -> None:
        """Make the five minutes that have ended, and remove what is too old or too much."""

        def change(connection: sqlite3.Connection) -> None:
            newest = "SELECT max(time), min(time) FROM measured WHERE step = ?"
            last, _ = connection.execute(newest, (COARSE_S,)).fetchone()
            _, first = connection.execute(newest, (FINE_S,)).fetchone()
            begin = (first or now) if last is None else last + COARSE_S
            for time in range(max(begin, now - KEEP_FINE_S) // COARSE_S * COARSE_S, now - COARSE_S + 1, COARSE_S):
                _roll_up(connection, time)
            for step, keep_s in ((FINE_S, KEEP_FINE_S), (COARSE_S, KEEP_COARSE_S)):
                _forget(connection, step, now - keep_s)
            self._shrink(connection)
            connection.execute("DELETE FROM entities WHERE id NOT IN (SELECT entity FROM steps)")
            self._ids.clear()

        self._change(change)

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        self._ids.clear()

    def _change(self, change: Callable[[sqlite3.Connection], None]) -> None:
        """One transaction; on a new file when the present one is damaged."""
        try:
            try:
                self._commit(change)
            except sqlite3.OperationalError:
                raise
            except (sqlite3.DatabaseError, ValueError, TypeError, KeyError) as error:
                _logger.warning("The history is damaged and begins anew: %s", error)
                self.close()
                _remove(self._path)
                self._commit(change)
        except sqlite3.Error as error:
            self.close()
            raise OSError(f"the history cannot be written: {error}") from error

    def _commit(self, change: Callable[[sqlite3.Connection], None]) -> None:
        connection = self._open()
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            change(connection)

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and not _is_file(self._path, self._inode):
            self.close()
        if self._connection is None:
            self._connection = connection = _connect(self._path)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _FORMAT):
                raise sqlite3.DatabaseError(f"its format is {version}, not {_FORMAT}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA journal_size_limit={16 * 2**20}")
            if version == 0:
                connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={_FORMAT}; COMMIT;")
            self._inode = self._path.stat().st_ino
        return self._connection

    def _id(self, connection: sqlite3.Connection, key: Key) -> int:
        if key not in self._ids:
            connection.execute("INSERT OR IGNORE INTO entities (endpoint, name) VALUES (?, ?)", key)
            query = "SELECT id FROM entities WHERE endpoint = ? AND name = ?"
            self._ids[key] = connection.execute(query, key).fetchone()[0]
        return self._ids[key]

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Remove the oldest steps until the file's pages in use are fewer than its limit."""
        for step in (FINE_S, FINE_S, COARSE_S):
            page, pages, free = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_size", "page_count", "freelist_count")
            )
            if page * (pages - free) <= self._max_bytes:
                return
            times = "SELECT min(time), max(time) FROM measured WHERE step = ?"
            first, last = connection.execute(times, (step,)).fetchone()
            if first is not None:
                _forget(connection, step, first + max(step, (last - first) // 4))


def _connect(path: Path) -> sqlite3.Connection:
    path.touch(0o600)
    # Transactions begin and end as this module says.
    return sqlite3.connect(path, timeout=2.0, isolation_level=None, check_same_thread=False)


def _is_file(path: Path, inode: int) -> bool:
    try:
        return path.stat().st_ino == inode
    except OSError:
        return False


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        with contextlib.suppress(OSError):
            path.with_name(name).unlink()


def _put(
    connection: sqlite3.Connection, step: int, time: int, rows: Mapping[int, Sample], *, over: bool = False
) -> None:
    rows = dict(rows)
    query = "SELECT entity, sample FROM steps WHERE step = ? AND time = ?"
    for entity, text in connection.execute(query, (step, time)).fetchall() if over else ():
        if entity in rows:
            before = load_sample(text)
            before.add(rows[entity])
            rows[entity] = before
    connection.executemany(
        "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?)",
        ((step, time, entity, one.requests, one.dump()) for entity, one in rows.items()),
    )


def _roll_up(connection: sqlite3.Connection, time: int) -> None:
    window = (FINE_S, time, time + COARSE_S)
    query = "SELECT 1 FROM measured WHERE step = ? AND time >= ? AND time < ?"
    if connection.execute(query, window).fetchone() is None:
        return
    rows: dict[int, Sample] = {}
    query = "SELECT entity, sample FROM steps WHERE step = ? AND time >= ? AND time < ? ORDER BY time"
    for entity, text in connection.execute(query, window):
        rows.setdefault(entity, Sample()).add(load_sample(text))
    connection.execute("INSERT OR IGNORE INTO measured VALUES (?, ?)", (COARSE_S, time))
    _put(connection, COARSE_S, time, rows)


def _forget(connection: sqlite3.Connection, step: int, before: int) -> None:
    connection.execute("DELETE FROM steps WHERE step = ? AND time < ?", (step, before))
    connection.execute("DELETE FROM measured WHERE step = ? AND time < ?", (step, before))
