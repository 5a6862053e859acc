"""Runs one command as the head of a session: rotates its log, holds its lease, ends all of its processes together.

Started as ``<python> <path to worker/> guard '<json>' <command> …`` in a session of its own. Standard library,
Python 3.8 or later. JSON: ``log``, ``log_max_bytes``, ``log_backups``, ``lease``, ``orphan_grace_s``, ``stop_grace_s``,
``socket``, ``worker_id``, ``memory_limit_mb`` (or null), ``max_processes``, ``max_open_files``, ``sandboxed``, and
``cache`` (a directory, or null) with ``cache_mb``.

For commands that cannot watch themselves: MLflow's own server, and a worker in the sandbox. A sandboxed command gets
the listening ``socket`` as its standard input, because the sandbox shows it no directory to make a socket in.

The command's output goes through a pipe into the log, so that the guard can rotate the log. The end of the pipe
tells that every process below has ended. When the lease expires, the session ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import time
from typing import Any, Iterator, Mapping

from . import process_tree
from .cache_use import CacheWatch
from .logs import RotatedLog, life_line
from .process import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    give_way,
    how_it_ended,
    join_group,
    limit,
    prctl,
    reap_orphans,
)
from .watchdog import Lease

_EXIT_S = 1.0
_LOOK_S = 0.2


def _before_exec(config: Mapping[str, Any]) -> None:
    # If the guard is killed, nothing watches the command any more: the command ends too.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if config.get("sandboxed"):
        # SIGTERM would end bubblewrap, and bubblewrap the worker, which is to drain.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    join_group(config)
    give_way(config)
    limit(config)


class Guard:
    """One command from start to end."""

    def __init__(self, config: dict[str, Any], command: list[str]) -> None:
        self._config = config
        self._command = command
        self._log = RotatedLog(config)
        self._lease = Lease(config["lease"], config["orphan_grace_s"])
        self._throttle = process_tree.CountThrottle()
        self._cache = CacheWatch.of(config)
        self._stop_requested = False

    def run(self) -> int:
        """Start the command and stay until all of its processes have ended."""
        # select() goes on after a signal (PEP 475), so the signal has to come through a pipe.
        awake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._request_stop)
        signal.signal(signal.SIGINT, self._request_stop)
        # Orphans of the command become the guard's children, to be reaped and killed.
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self._say("started")
        reader, writer = os.pipe()
        try:
            with self._standard_input() as standard_input:
                child = subprocess.Popen(
                    self._command,
                    stdin=standard_input,
                    stdout=writer,
                    stderr=writer,
                    preexec_fn=lambda: _before_exec(self._config),
                )
        except OSError as error:
            self._say(f"could not start: {error}")
            return 1
        os.close(writer)
        if self._config.get("sandboxed"):
            from .isolation.plan import give_up_rights

            give_up_rights()
        self._follow(reader, awake, child)
        code = child.poll()
        self._say("ended" if code is None else f"ended, {how_it_ended(code)}")
        with contextlib.suppress(OSError):
            os.unlink(self._config["socket"])
        # Kill the processes that closed their output and stayed. The second call ends the guard as well.
        process_tree.kill_all(self._others)
        os.killpg(0, signal.SIGKILL)
        return 0

    @contextlib.contextmanager
    def _standard_input(self) -> Iterator[Any]:
        if not self._config.get("sandboxed"):
            yield subprocess.DEVNULL
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(self._config["socket"])
            os.chmod(self._config["socket"], 0o600)
            listener.listen(128)
            yield listener

    def _follow(self, reader: int, awake: int, child: subprocess.Popen[bytes]) -> None:
        deadline = None
        while True:
            readable, _, _ = select.select([reader, awake], [], [], _LOOK_S)
            if awake in readable:
                os.read(awake, 512)
            if reader in readable:
                data = os.read(reader, 65536)
                if not data:
                    # A process closes its output a moment before it can be asked for its exit code.
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(_EXIT_S)
                    return
                self._log.write(data)
            reap_orphans(child.pid)
            if self._too_many() or self._beyond_cache():
                return
            if deadline is None and (self._stop_requested or self._lease.expired() or child.poll() is not None):
                if not self._stop_requested and child.poll() is None:
                    self._say(f"no controller for {self._config['orphan_grace_s']} s")
                deadline = time.monotonic() + self._config["stop_grace_s"]
                self._stop_requested = True
                os.killpg(0, signal.SIGTERM)
            if deadline is not None and time.monotonic() > deadline:
                self._say(f"killed: it did not end within {self._config['stop_grace_s']} s")
                return

    def _too_many(self) -> bool:
        """Whether the command has more processes than ``max_processes``; the log says so."""
        most: int = self._config.get("max_processes") or 0
        if not most or not self._throttle.due():
            return False
        count = len(self._others(process_tree.processes()))
        if count > most:
            self._say(process_tree.too_many(count, most))
        return count > most

    def _beyond_cache(self) -> bool:
        """Whether the command's cache is beyond its limit; the log says so."""
        if self._cache is None or not self._cache.due():
            return False
        beyond = self._cache.beyond(self._others(process_tree.processes()))
        if beyond:
            self._say(beyond)
        return beyond is not None

    def _others(self, found: Mapping[int, process_tree.Process]) -> set[int]:
        return process_tree.members(found, os.getpid()) - {os.getpid()}

    def _request_stop(self, _signum: int, _frame: object) -> None:
        self._stop_requested = True

    def _say(self, what: str) -> None:
        self._log.write(life_line(self._config["worker_id"], what).encode() + b"\n")


def main(argv: list[str]) -> int:
    """``'<json>' <command> …``; the exit code."""
    return Guard(json.loads(argv[0]), argv[1:]).run()
