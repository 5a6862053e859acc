"""Capabilities of the server's own processes: what each may keep, as root; an ordinary user has none.

Numbers from ``linux/capability.h``. A process without a capability is still root to files of root.
"""

from __future__ import annotations

import os
import sys
from typing import Callable, FrozenSet

from . import calls, namespaces

_READ_FILES_OF_OTHERS = 2
_SET_PCAP, _NET_ADMIN, _SYS_ADMIN, _SET_FCAP = 8, 12, 21, 31
_FOR_A_USER_NAMESPACE = frozenset({_SET_FCAP})
"""Root needs it to be root in a user namespace too: user_namespaces(7)."""
_WITHOUT_A_USER_NAMESPACE = frozenset({_READ_FILES_OF_OTHERS, _SET_PCAP, _NET_ADMIN, _SYS_ADMIN})

_NOT_FOR_A_SERVER = frozenset(
    {
        *(9, 11, 13, 15),  # immutable files, broadcasts, raw sockets, IPC objects of others
        *(16, 17, 19, 20, 22, 25, 26, 27),  # modules, ports of devices, ptrace, accounting, reboot, clock, tty, mknod
        *(29, 30, 32, 33, 34),  # the audit, mandatory access control, the kernel's log
        *(35, 36, 37, 38, 39, 40),  # wake-up alarms, suspend, reading the audit, perf, BPF, checkpoints
    }
)


def keep_for_a_server() -> None:
    """Give up what neither MLflow's server nor this plugin needs: tracing of processes, modules, devices, the clock.

    Other threads of this process keep theirs; processes that it starts have no more than this thread.
    """
    if calls.KNOWN and os.geteuid() == 0:
        calls.keep_capabilities(frozenset(range(calls.MOST_CAPABILITIES)) - _NOT_FOR_A_SERVER)


def keep_for_forks() -> None:
    """Give up all that forking isolated workers does not need, and for good. Called in a process of one thread."""
    if not calls.KNOWN:
        return
    if os.geteuid() == 0:
        calls.keep_capabilities(_needed_for_forks() | _needed_for_files())
    calls.control(calls.PR_SET_NO_NEW_PRIVS, 1)


def keep_for_files() -> None:
    """In a worker without the sandbox: give up what only its zygote needed."""
    if calls.KNOWN and os.geteuid() == 0:
        calls.keep_capabilities({_READ_FILES_OF_OTHERS})


def _needed_for_forks() -> FrozenSet[int]:
    """What this machine wants from root who makes namespaces; nothing where it grants root none."""
    for kept, with_users in ((_FOR_A_USER_NAMESPACE, True), (_WITHOUT_A_USER_NAMESPACE, False)):
        if _succeeds(lambda: _makes_namespaces(kept, with_users)):  # noqa: B023 - called at once
            return kept
    return frozenset()


def _makes_namespaces(kept: FrozenSet[int], with_users: bool) -> bool:
    calls.keep_capabilities(kept)
    return namespaces.unshare_user_and_processes() or not with_users


def _needed_for_files() -> FrozenSet[int]:
    """Root may run a Python that is in the home directory of another user, where only that user may look."""
    paths = [path for path in (sys.executable, sys.prefix, sys.base_prefix, *sys.path) if os.path.exists(path)]
    return frozenset() if _succeeds(lambda: _may_read(paths)) else frozenset({_READ_FILES_OF_OTHERS})


def _may_read(paths: list[str]) -> bool:
    calls.keep_capabilities(())
    return all(os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0)) for path in paths)


def _succeeds(attempt: Callable[[], bool]) -> bool:
    """Whether an attempt succeeds in a process of its own, which keeps the consequences."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if attempt() else 1
        except OSError:
            pass
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0
