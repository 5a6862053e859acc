"""One process per environment that has imported what models need, and forks a worker in a third of a second.

Takes one JSON line per connection on a unix socket: ``{"fork": config, "flavor": loader module}`` → ``{"pid": n}``,
and ``{}`` → ``{"version": n, "pid": n}``.

Why a process of its own: importing pandas and MLflow takes seconds and 200 MB, a fork takes neither. The web worker
cannot fork, because it has threads, secrets and another environment. So the zygote stays single-threaded (a lock that
another thread holds would stay locked in the fork), computes nothing (a BLAS or OpenMP thread pool does not survive a
fork), and never imports a model's own code, which every fork would share. ``gc.freeze`` before a fork keeps the shared
pages shared. Workers are sessions of their own: a zygote that dies ends none of them, and the next one is found or
started through its socket. As the parent, and as the subreaper of what a worker leaves behind, the zygote sees how
each worker ended and counts the processes of each.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from typing import Any, Mapping

from . import process, process_tree
from .cache_use import CacheWatch
from .isolation.rights import keep_for_files, keep_for_forks
from .json_lines import read_line, reply
from .kept_fork import fork_kept
from .logs import RotatedLog, write_life_line
from .preload import preload_always, preload_flavor
from .process import PR_SET_CHILD_SUBREAPER, close_inherited, end_with, how_it_ended, join_group, prctl
from .thread_limits import set_limits
from .watchdog import Lease

VERSION = 1
_LOOK_S = 0.2
_STRAY_S = 1.0
"""How long processes that outlive their worker have to end by themselves."""


class Zygote:
    """Listens, imports, forks."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._address = config["address"]
        self._lease = Lease(config["lease"], config["orphan_grace_s"] + 5.0)
        self._log = RotatedLog(config)
        self._workers: dict[int, dict[str, Any]] = {}
        """The forks that have not ended: where and how to log their end, by pid."""
        self._throttle = process_tree.CountThrottle()
        self._strays: set[int] = set()
        self._stop = False
        self._socket: tuple[int, int] | None = None

    def run(self) -> int:
        """Until SIGTERM, until the socket is gone, or until the lease expires, somewhat later than the workers'."""
        fd = self._log.reopen()
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        keep_for_forks()
        awake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._request_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        preload_always()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(OSError):
            os.unlink(self._address)
        listener.bind(self._address)
        os.chmod(self._address, 0o600)
        listener.listen(64)
        self._socket = self._found()
        self._loop(listener, awake)
        process_tree.kill_all(self._find_strays)
        if self._found() == self._socket:
            with contextlib.suppress(OSError):
                os.unlink(self._address)
        return 0

    def _loop(self, listener: socket.socket, awake: int) -> None:
        # Without its socket no backend finds this zygote: the backend starts another.
        while not self._stop and not self._lease.expired() and self._found() == self._socket:
            sources: list[Any] = [listener, awake]
            readable = select.select(sources, [], [], _LOOK_S)[0]
            if awake in readable:
                os.read(awake, 512)
            self._reap()
            if self._throttle.due(_STRAY_S) if self._strays else self._throttle.due():
                self._count()
            self._watch_caches()
            if listener in readable:
                # A malformed request must not end the zygote.
                try:
                    connection, _ = listener.accept()
                    with connection:
                        self._serve(connection)
                except Exception:
                    traceback.print_exc()

    def _found(self) -> tuple[int, int] | None:
        """Device and inode of the socket at the address, to tell it from another one; None without a socket."""
        try:
            found = os.stat(self._address)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _serve(self, connection: socket.socket) -> None:
        request = json.loads(read_line(connection))
        if "fork" not in request:
            reply(connection, {"version": VERSION, "pid": os.getpid()})
            return
        config = request["fork"]
        known = {name: config[name] for name in ("worker_id", "log", "log_max_bytes", "log_backups")}
        known["max_processes"] = config.get("max_processes")
        known["cache"] = CacheWatch.of(config)
        known["kept"] = bool(config.get("isolation"))
        preload_flavor(request.get("flavor", ""))
        gc.collect()
        gc.freeze()
        try:
            pid = _fork(config)
        except OSError as error:
            reply(connection, {"error": str(error.strerror or error)})
            return
        self._workers[pid] = known
        try:
            reply(connection, {"pid": pid})
        except OSError:
            # The backend has given up, and no record of this worker will be written.
            os.kill(pid, signal.SIGKILL)
            raise

    def _count(self) -> None:
        """Kill the workers that have too many processes, and the processes that have outlived their worker."""
        found = process_tree.processes()
        for pid, worker in self._workers.items():
            count, most = len(process_tree.members(found, pid)), worker["max_processes"]
            if most and count > most:
                self._end(pid, worker, process_tree.too_many(count, most))
        strays = self._find_strays(found)
        for pid in strays & self._strays:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self._strays = strays

    def _watch_caches(self) -> None:
        """Kill the workers whose cache is beyond its limit."""
        for pid, worker in self._workers.items():
            watch = worker["cache"]
            if watch is not None and watch.due():
                beyond = watch.beyond(process_tree.members(process_tree.processes(), pid))
                if beyond:
                    self._end(pid, worker, beyond)

    def _end(self, pid: int, worker: dict[str, Any], why: str) -> None:
        write_life_line(worker, why)
        process_tree.kill_all(functools.partial(self._find_family, pid))

    def _find_family(self, pid: int, found: Mapping[int, process_tree.Process]) -> set[int]:
        """A worker and all of its processes, and those that became the zygote's children at its end."""
        return process_tree.members(found, pid) | self._find_strays(found)

    def _find_strays(self, found: Mapping[int, process_tree.Process]) -> set[int]:
        """The processes that became the zygote's children when their worker ended, and all below them."""
        own = os.getpid()
        left = [pid for pid, process in found.items() if process.parent == own and pid not in self._workers]
        return process_tree.members(found, *left)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                worker = self._workers.pop(pid, None)
                # The worker may have left processes behind: count soon.
                self._throttle = process_tree.CountThrottle()
                # A keeper has logged its worker's end, and then ends with 0.
                if worker is not None and not (worker["kept"] and status == 0) and os.path.exists(worker["log"]):
                    ended = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
                    write_life_line(worker, f"ended, {how_it_ended(ended)}")

    def _request_stop(self, _signum: int, _frame: object) -> None:
        self._stop = True


def _fork(config: dict[str, Any]) -> int:
    """Fork a worker, or the keeper of a worker that isolates itself; its pid. OSError."""
    if config.get("isolation"):
        return fork_kept(config, _become_worker)
    pid = os.fork()
    if pid == 0:
        end_with(functools.partial(_become_open_worker, config))
    return pid


def _become_open_worker(config: dict[str, Any]) -> int:
    """In the fork: be a worker that is not isolated."""
    join_group(config)
    os.setsid()
    process.give_way(config)
    signal.set_wakeup_fd(-1)
    # The zygote's sockets, pipe and log.
    close_inherited()
    keep_for_files()
    return _become_worker(config)


def _become_worker(config: dict[str, Any]) -> int:
    """In the fork, which has a session and no file of the zygote's: be a worker until the worker's end."""
    # Processes that the worker starts stay below the worker, also when they daemonize, and end with it.
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(config["environment"])
    # Asked for again, by this worker's variables.
    tempfile.tempdir = None
    set_limits(config["environment"])
    time.tzset()
    _reseed()
    from .serve import run

    code = run(config)
    # Processes that the model has started end with the worker.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    return code


def _reseed() -> None:
    """Give this fork random numbers of its own, as NumPy does on import. The module ``random`` does so by itself."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def main(argv: list[str]) -> int:
    """``'<json>'``: ``address``, ``lease``, ``orphan_grace_s``, ``log``, ``log_max_bytes``, ``log_backups``."""
    return Zygote(json.loads(argv[0])).run()
