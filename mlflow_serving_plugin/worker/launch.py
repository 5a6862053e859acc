"""``<python> <path to worker/> launch '<plan>' <directory> <command> …``: isolates itself, then becomes a command.

For a command that cannot isolate itself: MLflow's own server, below a guard, which ignores SIGTERM on behalf of this
process. With namespaces two processes stay beside the command's: this one, which waits outside, and the first process
of the PID namespace, which reaps.
"""

from __future__ import annotations

import json
import os
import signal
from typing import Callable, List, NoReturn

from .isolation.namespaces import unshare_user_and_processes
from .isolation.plan import IsolationError, Plan, give_up_rights, isolate
from .process import PR_SET_PDEATHSIG, end_with, prctl

_KILLED = 128
"""As a shell's exit codes: with a signal's number for a process that the signal has killed."""


def main(argv: List[str]) -> int:
    """The command's exit code. IsolationError when the kernel refuses a layer."""
    plan, directory, command = Plan.read(json.loads(argv[0])), argv[1], argv[2:]
    if not plan.namespaces:
        os.makedirs(plan.scratch, mode=0o700, exist_ok=True)
        _isolate(plan, user_namespace=False)
        _become(command, directory)
    try:
        user_namespace = unshare_user_and_processes()
    except OSError as error:
        raise IsolationError(error) from error
    first = _fork(lambda: _be_first(command, directory, plan, user_namespace))
    give_up_rights()
    return _wait_for(first)


def _be_first(command: List[str], directory: str, plan: Plan, user_namespace: bool) -> int:
    """The first process of the namespace sees no more than the command, which could look through its eyes."""
    _isolate(plan, user_namespace=user_namespace)
    return _wait_for(_fork(lambda: _become(command, directory)))


def _isolate(plan: Plan, *, user_namespace: bool) -> None:
    try:
        isolate(plan, user_namespace=user_namespace)
    except OSError as error:
        raise IsolationError(error) from error


def _become(command: List[str], directory: str) -> NoReturn:
    os.chdir(directory)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.execvp(command[0], command)  # noqa: S606 - the backend's command


def _fork(run: Callable[[], int]) -> int:
    """The pid of a fork that runs this, and that ends with this process."""
    pid = os.fork()
    if pid == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        end_with(run)
    return pid


def _wait_for(command: int) -> int:
    """Reap what ends, until the command has ended: its exit code.

    A command that SIGTERM has ended may have left a server that finishes its requests: the kernel would kill that
    together with the first process of the namespace.
    """
    code = 0
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return code
        if pid == command:
            code = _KILLED + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            if code != _KILLED + signal.SIGTERM:
                return code
