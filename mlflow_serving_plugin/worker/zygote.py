"""One process per environment that has imported what models need, and forks a worker in a third of a second.

Takes one JSON line per connection on a unix socket: ``{"fork": config, "flavour": loader module}`` → ``{"pid": n}``,
and ``{}`` → ``{"version": n, "pid": n}``. It stays single-threaded, computes nothing and never imports a model's own
code: what it has, every fork shares. Workers are sessions of their own and go on without it. It adopts what workers
leave behind, and ends a worker that has more processes than it may.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import Any, Mapping

from . import census
from .lease import Lease
from .logs import RotatedLog, tell
from .process import PR_SET_CHILD_SUBREAPER, close_inherited, how_it_ended, prctl

VERSION = 1
_LARGEST = 64 * 1024 * 1024
_PATIENCE_S = 5.0
"""How long whoever asks for a fork may take to say so: meanwhile nobody else is served."""

_LOOK_S = 0.2
_STRAY_S = 1.0
"""How long what outlives its worker gets to end by itself."""

_ALWAYS = ("asyncio", "concurrent.futures.thread", "pandas", "numpy", "mlflow.pyfunc", "mlflow.pyfunc.scoring_server")
_BY_FLAVOUR = {
    "mlflow.sklearn": (
        *("sklearn", "sklearn.pipeline", "sklearn.linear_model", "sklearn.ensemble", "sklearn.preprocessing"),
        *("sklearn.compose", "sklearn.impute", "sklearn.tree", "sklearn.svm", "sklearn.neighbors", "skops.io"),
    ),
    "mlflow.xgboost": ("xgboost",),
    "mlflow.lightgbm": ("lightgbm",),
    "mlflow.catboost": ("catboost",),
    "mlflow.statsmodels": ("statsmodels.api",),
}
"""What is worth having before a fork. Nothing that starts threads or touches a GPU when it is imported."""


class Zygote:
    """Listens, imports, forks."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._address = config["address"]
        self._lease = Lease(config["lease"], config["orphan_grace_s"] + 5.0)
        self._log = RotatedLog(config["log"], config["log_max_bytes"], config["log_backups"])
        self._preloaded: set[str] = set()
        self._workers: dict[int, dict[str, Any]] = {}
        """What is known of each fork that has not ended, by pid."""
        self._pace = census.Pace()
        self._strays: set[int] = set()
        self._stop = False
        self._socket: tuple[int, int] | None = None

    def run(self) -> int:
        """Until SIGTERM, until its socket is gone, or no controller is left for somewhat longer than workers wait."""
        fd = self._log.reopen()
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        awake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._request_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self._preload(_ALWAYS)
        _learn_packages()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(OSError):
            os.unlink(self._address)
        listener.bind(self._address)
        os.chmod(self._address, 0o600)
        listener.listen(64)
        self._socket = self._found()
        self._loop(listener, awake)
        census.kill_all(self._find_strays)
        if self._found() == self._socket:
            with contextlib.suppress(OSError):
                os.unlink(self._address)
        return 0

    def _loop(self, listener: socket.socket, awake: int) -> None:
        # Without its socket nobody finds it any more, and whoever needs one starts another.
        while not self._stop and not self._lease.expired() and self._found() == self._socket:
            sources: list[Any] = [listener, awake]
            readable = select.select(sources, [], [], _LOOK_S)[0]
            if awake in readable:
                os.read(awake, 512)
            self._reap()
            if self._pace.due(_STRAY_S) if self._strays else self._pace.due():
                self._count()
            if listener in readable:
                # Whatever is said to it, by whomever, it goes on.
                try:
                    connection, _ = listener.accept()
                    with connection:
                        self._serve(connection)
                except Exception:
                    traceback.print_exc()

    def _found(self) -> tuple[int, int] | None:
        """What tells the socket that is at the address from any other; None: there is none."""
        try:
            found = os.stat(self._address)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _serve(self, connection: socket.socket) -> None:
        request = json.loads(_read_line(connection))
        if "fork" not in request:
            _reply(connection, {"version": VERSION, "pid": os.getpid()})
            return
        config, flavour = request["fork"], request.get("flavour", "")
        known = {name: config[name] for name in ("worker_id", "log", "log_max_bytes", "log_backups")}
        known["max_processes"] = config.get("max_processes")
        self._preload((flavour, *_BY_FLAVOUR[flavour]) if flavour in _BY_FLAVOUR else ())
        gc.collect()
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            _become_worker(config)
        self._workers[pid] = known
        try:
            _reply(connection, {"pid": pid})
        except OSError:
            # Whoever asked has given up: nobody would ever know of this worker.
            os.kill(pid, signal.SIGKILL)
            raise

    def _count(self) -> None:
        """End the workers that have too many processes, and what has outlived its worker."""
        found = census.processes()
        for pid, worker in self._workers.items():
            count, most = len(census.members(found, pid)), worker["max_processes"]
            if most and count > most:
                tell(worker, census.too_many(count, most))
                census.kill_all(functools.partial(self._find_family, pid))
        strays = self._find_strays(found)
        for pid in strays & self._strays:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self._strays = strays

    def _find_family(self, pid: int, found: Mapping[int, census.Process]) -> set[int]:
        """A worker and all of its processes; those whom it leaves when it is killed are the zygote's children then."""
        return census.members(found, pid) | self._find_strays(found)

    def _find_strays(self, found: Mapping[int, census.Process]) -> set[int]:
        """Those that were left to the zygote when their worker ended, and all below them."""
        own = os.getpid()
        left = [pid for pid, process in found.items() if process.parent == own and pid not in self._workers]
        return census.members(found, *left)

    def _preload(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self._preloaded:
                self._preloaded.add(name)
                # A library that is not there, or does not import, is the model's worker's to complain of.
                with contextlib.suppress(Exception):
                    importlib.import_module(name)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                worker = self._workers.pop(pid, None)
                # It may have left something behind.
                self._pace = census.Pace()
                if worker is not None and os.path.exists(worker["log"]):
                    ended = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
                    tell(worker, f"ended, {how_it_ended(ended)}")

    def _request_stop(self, _signum: int, _frame: object) -> None:
        self._stop = True


def _learn_packages() -> None:
    """Have MLflow look once, and not in each fork, at what is installed: that is most of what loading a model costs.

    It compares a model's requirements with that, to warn of differences. Its own caches, by names that only some
    versions of MLflow know.
    """
    with contextlib.suppress(Exception):
        from mlflow.utils import requirements_utils

        requirements_utils._init_modules_to_packages_map()
        requirements_utils._init_packages_to_modules_map()


def _become_worker(config: dict[str, Any]) -> None:
    """In the fork. Never returns."""
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        # The zygote's sockets, pipe and log: nothing of them is a model's business.
        close_inherited()
        # What it starts stays below it, to be counted and ended with it, also when it daemonizes.
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.environ.update(config["environment"])
        time.tzset()
        _reseed()
        from .serve import run

        code = run(config)
        # What the model has started goes with it.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _reseed() -> None:
    """Give this fork random numbers of its own, as a process has that imports NumPy itself; ``random`` sees to it."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def _read_line(connection: socket.socket) -> bytes:
    data = bytearray()
    deadline = time.monotonic() + _PATIENCE_S
    while not data.endswith(b"\n"):
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        piece = connection.recv(1 << 16)
        if not piece or len(data) > _LARGEST:
            raise OSError("a request to the zygote was cut short")
        data += piece
    return bytes(data)


def _reply(connection: socket.socket, answer: dict[str, Any]) -> None:
    connection.settimeout(_PATIENCE_S)
    connection.sendall(json.dumps(answer).encode() + b"\n")


def main(argv: list[str]) -> int:
    """``'<json>'``: ``address``, ``lease``, ``orphan_grace_s``, ``log``, ``log_max_bytes``, ``log_backups``."""
    return Zygote(json.loads(argv[0])).run()
