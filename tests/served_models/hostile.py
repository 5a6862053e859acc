"""A model that does to its server what each row says: ``op`` and ``arg``. The answers are texts."""

import contextlib
import ctypes
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


def environ(name):
    """The variables of this process, or of another."""
    return str(dict(os.environ)) if not name else read(f"/proc/{name}/environ")


def read(path):
    with Path(path).open("rb") as file:
        return repr(file.read(100_000))


def fill(arg):
    """A file of so many megabytes."""
    path, _, megabytes = arg.rpartition(" ")
    with Path(path).open("wb") as file:
        for _ in range(int(megabytes)):
            file.write(os.urandom(1024 * 1024))
    return "filled"


def open_to_write(path):
    """Without writing: should the sandbox have a hole, the machine is not to suffer from it."""
    os.close(os.open(path, os.O_WRONLY))
    return "opened"


def write(path):
    with Path(path).open("ab") as file:
        file.write(b"\n")
    return "written"


def count(path):
    """How often this was called, kept in a database."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("create table if not exists calls (at)")
        database.execute("insert into calls values (datetime())")
        return str(database.execute("select count(*) from calls").fetchone()[0])


def temporary(_):
    """Where temporary files are, of which this makes one."""
    with tempfile.NamedTemporaryFile() as file:
        return str(Path(file.name).parent)


def ls(path):
    return str(sorted(entry.name for entry in Path(path).iterdir()))


def files(_):
    """What is open in this process."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(entry.readlink()))
    return str(sorted(found))


def connect(where):
    """To a ``host:port`` or to a unix socket."""
    family = socket.AF_UNIX if where.startswith("/") else socket.AF_INET
    host, _, port = where.rpartition(":")
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(where if family == socket.AF_UNIX else (host, int(port)))
    return "connected"


def signal(pid):
    os.kill(int(pid), 0)
    return "signalled"


def fork(number):
    """So many processes; half of them leave their session and their parent."""
    for n in range(int(number)):
        if os.fork() == 0:
            if n % 2:
                os.setsid()
                if os.fork():
                    os._exit(0)
            time.sleep(600)
            os._exit(0)
    return "forked"


def allocate(_):
    kept = []
    while True:
        kept.append(bytearray(50 * 1024 * 1024))


def say(text):
    """Into the log."""
    print(text, flush=True)
    return "said"


def sleep(seconds):
    time.sleep(float(seconds))
    return "slept"


_kept = []


def keep(megabytes):
    """Memory that is never given back."""
    _kept.append(b"x" * int(megabytes) * 1_000_000)
    return f"{len(_kept)} times {megabytes} MB"


def python(code):
    """What a process of its own prints."""
    return subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False).stdout


def track(_):
    """What a traced function returns, and what MLflow says to calls that need a store."""

    @mlflow.trace
    def traced():
        return "traced"

    said = [traced()]
    for call in (
        lambda: mlflow.log_metric("a", 1.0),
        lambda: mlflow.set_experiment("e"),
        mlflow.start_run,
        lambda: mlflow.pyfunc.load_model("models:/iris/1"),
    ):
        try:
            said.append(str(call()))
        except MlflowException as error:
            said.append(str(error))
    return str(said)


def ptrace(pid):
    """PTRACE_ATTACH to somebody else."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, int(pid), None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return "attached"


class Hostile(PythonModel):
    """Does what it is told, and says what came of it."""

    def predict(self, context, model_input, params=None):
        return [self._do(row.op, row.arg) for row in model_input.itertuples()]

    def _do(self, op, arg):
        if op == "echo":
            return arg
        try:
            return globals()[op](arg)
        except OSError as error:
            return f"refused: {error!r}"


set_model(Hostile())
