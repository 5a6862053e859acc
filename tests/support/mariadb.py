"""A real MariaDB or MySQL for a session of tests: a scratch server on a unix socket, gone afterwards."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from support import eventually

START_S = 60.0


def mariadb_program() -> Path | None:
    """``mariadbd``; None when there is no MariaDB on this machine."""
    return _program("mariadbd")


def mysql_program() -> Path | None:
    """``mysqld`` of MySQL, not MariaDB's of the same name; None when there is no MySQL on this machine."""
    found = _program("mysqld")
    if found is None:
        return None
    said = subprocess.run([found, "--no-defaults", "--version"], capture_output=True, text=True, check=False).stdout
    return None if "MariaDB" in said else found


def _program(name: str) -> Path | None:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/libexec:/opt/mysql/bin")
    return Path(found).resolve() if found else None


class MariaDB:
    """One server; a context manager. ``new_database`` gives the URI of an empty database."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._root = Path(tempfile.mkdtemp(prefix="mls-my-"))
        self._data = self._root / "data"
        self._socket = self._root / "s"
        self._log = self._root / "log"
        # The server refuses to run as root, unless root is named.
        self._user = _account() if os.getuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._shared = ""

    def __enter__(self) -> MariaDB:
        try:
            if self._user:
                shutil.chown(self._root, self._user, pwd.getpwnam(self._user).pw_gid)
                self._root.chmod(0o755)
            self._make()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            # With no last words to the disk: nobody reads it again.
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._root, ignore_errors=True)

    def new_database(self) -> str:
        """The URI of a database that nobody has used."""
        name = f"test_{next(self._numbers)}"
        self._run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return f"mysql+pymysql://root@localhost/{name}?unix_socket={self._socket}"

    def emptied_database(self) -> str:
        """The URI of the one database that tests share which leave nothing open; all that was in it is gone."""
        if not self._shared:
            self._shared = self.new_database()
        name = self._shared.partition("localhost/")[2].partition("?")[0]
        self._run(f"DROP DATABASE {name}")
        self._run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return self._shared

    def _make(self) -> None:
        if self._program.name == "mariadbd":
            script = shutil.which("mariadb-install-db") or "mariadb-install-db"
            made = [script, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
            command = [made[0], "--no-defaults", f"--datadir={self._data}", *made[1:]]
        else:
            command = [str(self._program), "--no-defaults", "--initialize-insecure", f"--datadir={self._data}"]
        done = subprocess.run(command, capture_output=True, user=self._user, cwd=self._root, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")[-3000:]

    def _start(self) -> None:
        options = ["--skip-networking", "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0"]
        only_mysql = (
            [] if self._program.name == "mariadbd" else ["--mysqlx=OFF", "--skip-log-bin", "--secure-file-priv=NULL"]
        )
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._program, "--no-defaults", f"--datadir={self._data}", f"--socket={self._socket}"),
                    *(*options, *only_mysql, f"--pid-file={self._root / 'pid'}"),
                ],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._root,
            )
        eventually(self._answers, START_S, tail=self._tail)

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"The database ended:\n{self._tail()}")
        from pymysql import OperationalError

        try:
            self._run("SELECT 1")
        except OperationalError:
            return False
        return True

    def _run(self, statement: str) -> None:
        # Here, so that an environment from before the driver was required runs all other tests.
        import pymysql

        with pymysql.connect(unix_socket=str(self._socket), user="root") as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else "(no log)"


def _account() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "mysql" if "mysql" in names else "nobody"
