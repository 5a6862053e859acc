"""Keeps one isolated worker: makes its socket, writes its log and files, and ends with it.

Fed by the zygote, which forks the keeper in place of the worker; the keeper forks the worker, which isolates itself
before it reads the model. The worker then reaches no file, no socket and no process of the server: the keeper does all
of that, and reads from the worker only what it prints and its ``reports``. For the backend the keeper is the worker:
its pid is in the record, it heads the session, SIGTERM makes the worker drain, and its end is the worker's end.

With namespaces the keeper is the first process of the worker's PID namespace: the kernel kills all other processes in
there when the keeper ends, however it ends. So the keeper must never look for processes by number.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import shutil
import signal
import socket
import time
from typing import Any, Callable, Dict, List, NoReturn, Optional

from .counts import CountsFile
from .isolation.plan import IsolationError, Plan, give_up_rights, hide_from_the_worker, isolate, scratch_of
from .logs import RotatedLog, life_line
from .process import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    close_inherited,
    end_with,
    give_way,
    how_it_ended,
    join_group,
    prctl,
)
from .reports import COUNTS, STATUS, read_reports
from .status import overwrite
from .watchdog import RECORDED_S, Lease

_LOOK_S = 0.2
_STOPPED_S = 2.0
_LARGEST_STATUS = 4096
_PIECE = 64 * 1024


class Keeper:
    """One worker from start to end."""

    def __init__(self, config: Dict[str, Any], plan: Plan, become_worker: Callable[[Dict[str, Any]], int]) -> None:
        self._config = config
        self._plan = plan
        self._become_worker = become_worker
        self._log = RotatedLog(config)
        self._lease = Lease(config["lease"], config["orphan_grace_s"])
        self._counts = CountsFile(config["counts_file"]) if config.get("counts_file") else None
        self._recorded_by = time.monotonic() + RECORDED_S
        self._stop_requested = False
        self._kill_at: Optional[float] = None
        self._stopped_at: Optional[float] = None

    def run(self, *, user_namespace: bool) -> int:
        """Start the worker, and stay until it has ended."""
        os.setsid()
        give_way(self._config)
        close_inherited()
        # This process makes no garbage; a collection would write to every page that it shares with the zygote.
        gc.disable()
        awake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._request_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self._say("started")
        try:
            if not self._plan.namespaces:
                os.makedirs(self._plan.scratch, mode=0o700, exist_ok=True)
            listener = _listen(self._config["address"])
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            self._say(f"could not start: {error}")
            return 1
        reader, writer = os.pipe()
        hide_from_the_worker()
        keeper = os.getpid()
        pid = os.fork()
        if pid == 0:
            for fd in (reader, awake, waker):
                os.close(fd)
            ours.close()
            self._isolated(keeper, listener, theirs, writer, user_namespace=user_namespace)
        for held in (listener, theirs):
            held.close()
        os.close(writer)
        give_up_rights()
        os.set_blocking(reader, False)
        status = self._follow(pid, reader, awake, ours)
        ended = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        self._say(f"ended, {how_it_ended(ended)}")
        if not self._plan.namespaces:
            shutil.rmtree(self._plan.scratch, ignore_errors=True)
        # After another end the backend reads them, and removes them.
        for path in (self._config["address"], self._config["status_file"]) if status == 0 else ():
            with contextlib.suppress(OSError):
                os.unlink(path)
        return 0

    def _isolated(
        self, keeper: int, listener: socket.socket, reports: socket.socket, output: int, *, user_namespace: bool
    ) -> NoReturn:
        """In the worker's process."""
        join_group(self._config)
        for standard in (1, 2):
            os.dup2(output, standard)
        os.close(output)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # The worker ends its group at its end.
        os.setpgid(0, 0)
        home = {name: scratch_of(self._plan) for name in ("HOME", "TMPDIR")}
        config = {
            **self._config,
            "address": f"fd://{listener.detach()}",
            "reports": reports.detach(),
            # The keeper does all that these are for.
            **{"log": None, "record": None, "counts_file": None, "status_file": None},
            "environment": {**home, **self._config["environment"]},
        }

        def run() -> int:
            try:
                isolate(self._plan, user_namespace=user_namespace)
            except OSError as error:
                raise IsolationError(error) from error
            # Without a PID namespace the kernel ends nothing with the keeper.
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != keeper:
                return 1
            return self._become_worker(config)

        end_with(run)

    def _follow(self, pid: int, reader: int, awake: int, reports: socket.socket) -> int:
        """Until the worker has ended: its exit status."""
        sources: List[Any] = [reader, awake, reports]
        while True:
            readable = select.select(sources, [], [], _LOOK_S)[0]
            # A worker that reports without end keeps this process no busier than one that reports a few times a second.
            sources = [source for source in sources if source is not reports]
            if awake in readable:
                os.read(awake, 512)
            if reader in readable and not self._copy(reader):
                sources.remove(reader)
            if reports in readable:
                self._keep_files(reports)
            else:
                sources.append(reports)
            status = self._reap(pid)
            if status is not None:
                self._copy_rest(reader)
                self._keep_files(reports)
                return status
            self._watch(pid)

    def _copy(self, reader: int) -> bool:
        """Copy output into the log; whether there can be more."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(reader, _PIECE)
            self._log.write(data)
            return bool(data)
        return True

    def _copy_rest(self, reader: int) -> None:
        """What the worker has printed before its end; a process that it has left behind may print without end."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(64):
                data = os.read(reader, _PIECE)
                if not data:
                    return
                self._log.write(data)

    def _keep_files(self, reports: socket.socket) -> None:
        """Write what the worker reports. A full disk loses reports, never the worker."""
        found = read_reports(reports)
        with contextlib.suppress(OSError):
            if STATUS in found:
                overwrite(self._config["status_file"], found[STATUS][:_LARGEST_STATUS])
        with contextlib.suppress(OSError):
            if COUNTS in found and self._counts is not None:
                self._counts.write(found[COUNTS])

    def _reap(self, pid: int) -> Optional[int]:
        """The worker's exit status once it has ended. Others are orphans that this process has adopted."""
        with contextlib.suppress(ChildProcessError):
            while True:
                ended, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
                if ended == 0:
                    return None
                if ended == pid:
                    if os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
                        self._stopped_at = time.monotonic() if os.WIFSTOPPED(status) else None
                    else:
                        return status
        return None

    def _watch(self, pid: int) -> None:
        """End the worker that is to end: nobody wants it, it is stopped, or it does not end by itself."""
        now = time.monotonic()
        if self._kill_at is None:
            if self._lease.expired():
                self._say(f"no controller for {self._config['orphan_grace_s']} s")
                self._stop_requested = True
            elif now > self._recorded_by and not os.path.exists(self._config["record"]):
                self._say("no controller has a record of this worker")
                self._stop_requested = True
            if self._stop_requested:
                self._kill_at = now + self._config["stop_grace_s"]
                _signal(pid, signal.SIGTERM)
        elif now > self._kill_at:
            self._say(f"killed: it did not end within {self._config['stop_grace_s']} s")
            self._kill_at = now + self._config["stop_grace_s"]
            _signal(pid, signal.SIGKILL)
        if self._stopped_at is not None and now > self._stopped_at + _STOPPED_S:
            self._stopped_at = None
            self._say("ending: it was stopped by a signal or a debugger")
            _signal(pid, signal.SIGKILL)

    def _request_stop(self, _signum: int, _frame: object) -> None:
        self._stop_requested = True

    def _say(self, what: str) -> None:
        self._log.write(life_line(self._config["worker_id"], what).encode() + b"\n")


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def _listen(path: str) -> socket.socket:
    """The worker's socket, which it could not make itself. Requests wait in it until the model has loaded."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(128)
    return listener
