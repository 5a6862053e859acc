"""A real PostgreSQL for a session of tests: a scratch cluster on a unix socket, gone afterwards."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from support import eventually

START_S = 60.0


def postgres_binaries() -> Path | None:
    """The directory with ``initdb`` and ``postgres``, None when there is no PostgreSQL on this machine."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    # Debian keeps them off PATH.
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((path for path in found if (path / "initdb").exists() and (path / "postgres").exists()), None)


class Postgres:
    """One cluster; a context manager. ``new_database`` gives the URI of an empty database.

    With a ``port`` it also listens there, and asks those who come that way for their passwords.
    """

    def __init__(self, binaries: Path, port: int | None = None) -> None:
        self._binaries = binaries
        self._hosts = "localhost" if port else ""
        self._port = port or 5432
        self._root = Path(tempfile.mkdtemp(prefix="mls-pg-"))
        self._data = self._root / "data"
        self._log = self._root / "log"
        # PostgreSQL refuses to run as root.
        self._user = "postgres" if os.getuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._shared = ""

    def __enter__(self) -> Postgres:
        try:
            if self._user:
                shutil.chown(self._root, self._user, pwd.getpwnam(self._user).pw_gid)
            access = ("-U", "postgres", "-A", "trust", "--auth-host=scram-sha-256")
            self._run("initdb", "-D", str(self._data), *access, "-E", "UTF8", "--no-sync")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            # End at once, with no last words to the disk: nobody reads it again.
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self._root, ignore_errors=True)

    def start(self) -> None:
        """Start it, also after ``stop``, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._binaries / "postgres", "-D", str(self._data), "-k", str(self._root)),
                    *("-c", f"listen_addresses={self._hosts}", "-p", str(self._port), "-c", "fsync=off"),
                ],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._root,
            )
        eventually(self._answers, START_S, tail=self._tail)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: by default in good order, but with no regard to whoever is connected."""
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @contextlib.contextmanager
    def hung(self) -> Iterator[None]:
        """Within, no process of it does anything, and connections stay open."""
        server = psutil.Process(self._process.pid)
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def new_database(self) -> str:
        """The URI of a database that nobody has used."""
        name = f"test_{next(self._numbers)}"
        self._psql(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg2://postgres@/{name}?host={self._root}"

    def emptied_database(self) -> str:
        """The URI of the one database that tests share which leave nothing open; all that was in it is gone.

        Making a database takes half a second, and removing its files as long.
        """
        if not self._shared:
            self._shared = self.new_database()
        name = self._shared.partition("@/")[2].partition("?")[0]
        self._psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", name)
        return self._shared

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"PostgreSQL ended:\n{self._tail()}")
        try:
            self._psql("SELECT 1")
        except subprocess.CalledProcessError:
            return False
        return True

    def environ(self) -> dict[str, str]:
        """Variables with which PostgreSQL's own programs find it, as the superuser."""
        path = f"{self._binaries}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, "PGHOST": str(self._root), "PGPORT": str(self._port), "PGUSER": "postgres"}

    def _psql(self, statement: str, database: str = "postgres") -> None:
        options = [
            "-h",
            str(self._root),
            "-p",
            str(self._port),
            "-U",
            "postgres",
            "-d",
            database,
            "-v",
            "ON_ERROR_STOP=1",
        ]
        self._run("psql", *options, "-c", statement)

    def _run(self, program: str, *args: str) -> None:
        command = [str(self._binaries / program), *args]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd=self._root)

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else "(no log)"
