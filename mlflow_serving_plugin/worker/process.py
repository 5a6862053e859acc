"""System calls on behalf of a process: limits, signals, reaping."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import traceback
from typing import Any, Callable, Mapping, NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36

_BACKGROUND = 10
"""A niceness: about a tenth of the time that a process of niceness 0 gets."""


def prctl(option: int, value: int) -> None:
    """prctl(2) on Linux, nothing elsewhere."""
    if sys.platform.startswith("linux"):
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value)


def hide_from_other_processes() -> None:
    """Only root reads this process's memory, variables and open files, or traces this process.

    Other processes of the same user, such as a model without a sandbox, could do so otherwise. Holds for forks too,
    until a fork executes another program.
    """
    prctl(PR_SET_DUMPABLE, 0)


def join_group(config: Mapping[str, Any]) -> None:
    """Move this process, and all that it will start, to the control group that the backend has made for the worker."""
    group = config.get("group")
    if group:
        with open(os.path.join(group, "cgroup.procs"), "w") as procs:
            procs.write("0")


def _keep_to_cpus(cpus: float, first: int) -> None:
    """Let this process run on so many of the server's CPUs, from ``first`` on, round and round."""
    if hasattr(os, "sched_setaffinity"):
        here = sorted(os.sched_getaffinity(0))
        wanted = math.ceil(cpus)
        if wanted < len(here):
            os.sched_setaffinity(0, {here[(first + number) % len(here)] for number in range(wanted)})


def limit(config: Mapping[str, Any]) -> None:
    """Limit this process and its children, before the model's code runs.

    ``memory_limit_mb``: data (heap and private mappings) of each process; ``max_open_files``; ``cpus``, as whole CPUs
    from ``first_cpu`` on, unless a control group limits them; None: no change. Core dumps are off, because a core dump
    would hold the data of requests.
    """
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if config.get("cpus") and not config.get("cpu_group"):
        _keep_to_cpus(config["cpus"], config.get("first_cpu", 0))
    memory_mb, files = config.get("memory_limit_mb"), config.get("max_open_files")
    for kind, wanted in ((resource.RLIMIT_DATA, (memory_mb or 0) * 1024 * 1024), (resource.RLIMIT_NOFILE, files)):
        if wanted:
            hard = resource.getrlimit(kind)[1]
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(kind, (most, most))


def give_way(config: Mapping[str, Any]) -> None:
    """With the ``priority`` background: this process, the head of a session, and all that the process will start.

    Not ``SCHED_IDLE``: on a busy host such a process may have to wait for minutes, and would be taken for one that
    hangs.
    """
    if config.get("priority") == "background":
        os.nice(_BACKGROUND)
        # Where Linux shares processors among sessions, the above counts within this session alone.
        with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as group:
            group.write(str(_BACKGROUND))


def end_with(run: Callable[[], int]) -> NoReturn:
    """End this process with what ``run`` returns, and at once: the model's threads and children are not waited for."""
    code = 1
    try:
        code = run()
    except BaseException:
        say_error()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)


def say(line: str) -> None:
    """Write a line to the version's log. Never raises: the model may have closed its standard output."""
    with contextlib.suppress(Exception):
        print(line, flush=True)


def say_error() -> None:
    """Write the traceback of the exception that is handled now to the version's log. Never raises, as ``say``."""
    with contextlib.suppress(Exception):
        traceback.print_exc()


def close_inherited() -> None:
    """Close every file but standard input, output and error."""
    import resource

    try:
        highest = max(int(name) for name in os.listdir("/dev/fd"))
    except (OSError, ValueError):
        highest = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    os.closerange(3, highest + 1)


def reap_orphans(child: int) -> None:
    """Reap the ended processes that this process has adopted, but not ``child``, which this process started."""
    with contextlib.suppress(ChildProcessError, AttributeError):  # no waitid: macOS, where nobody is adopted
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid == child:
                return
            os.waitpid(ended.si_pid, 0)


def how_it_ended(exit_code: int) -> str:
    """How a process ended, for the log. A negative exit code is a signal's number, as ``subprocess`` has it."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    known = {number.value: number.name for number in signal.Signals}
    return f"killed by {known.get(-exit_code, -exit_code)}"
