"""What a worker is left with, and the one function that takes all else away."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional

from . import calls, landlock, namespaces, seccomp, view

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts")


class IsolationError(Exception):
    """A worker could not be isolated. The backend reads the message in the last line of the log."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"The sandbox could not be set up: {error.strerror}.")


class Plan(NamedTuple):
    """Made by the backend, in JSON. Paths are absolute; those that are missing are passed over."""

    namespaces: bool
    """Whether the worker gets namespaces and a view; if not, Landlock alone hides files."""
    landlock: int
    """The version of Landlock's interface; 0 without Landlock."""
    seccomp: bool
    network: bool
    readable: List[str]
    writable: List[str]
    own: List[str]
    """Directories that the worker may change for itself: with a view, what it writes stays in memory until its end."""
    devices: List[str]
    """More devices than every program has, such as those of a GPU."""
    links: Dict[str, str]
    """Symbolic links of the view."""
    scratch: str
    """Without a view: a directory for the worker's temporary files, which its keeper makes and removes."""
    tmp_bytes: Optional[int]
    """The most that /tmp, /dev/shm and the changes to ``own`` may hold each."""

    @classmethod
    def read(cls, facts: Dict[str, Any]) -> "Plan":
        """From JSON."""
        return cls(**facts)


def isolate(plan: Plan, *, user_namespace: bool) -> None:
    """Take away from this process what the plan does not name; for good, and for all that it starts. OSError.

    Called in a process of one thread, before the model's code runs; with ``plan.namespaces`` in the first namespaces
    of ``unshare_user_and_processes``.
    """
    if plan.namespaces:
        namespaces.unshare_the_rest(network=plan.network)
        files = view.Files(plan.readable, plan.writable, plan.own, plan.devices, plan.links, plan.tmp_bytes)
        view.enter(files, forbid_user_namespaces=user_namespace)
    calls.keep_capabilities(())
    calls.control(calls.PR_SET_NO_NEW_PRIVS, 1)
    if plan.landlock:
        _restrict_files(plan)
    if plan.seccomp:
        # Without a network namespace the filter is what denies the network, and without a view unix sockets.
        network = plan.network or plan.namespaces
        families = seccomp.allowed_families(unix=plan.namespaces, network=network)
        calls.filter_calls(seccomp.call_filter(calls.MACHINE, families))
    # So that the processes of the worker can look at each other.
    calls.control(calls.PR_SET_DUMPABLE, 1)


def _restrict_files(plan: Plan) -> None:
    if plan.namespaces:
        readable, writable, devices = ["/"], [*plan.own, view.TMP, view.SHM], ["/dev"]
    else:
        readable, writable, devices = [*plan.readable, *plan.own, "/proc"], [plan.scratch], [*_DEVICES, *plan.devices]
    landlock.restrict(
        plan.landlock,
        readable=readable,
        writable=[*writable, *plan.writable],
        devices=devices,
        network=plan.network,
    )


def hide_from_the_worker() -> None:
    """Forbid tracing of this process, and reading of its memory and its files, by the worker that it starts."""
    calls.control(calls.PR_SET_DUMPABLE, 0)


def give_up_rights() -> None:
    """Be an ordinary process of this user from now on, also as root: who looks after a worker reads what it says."""
    if calls.KNOWN:
        calls.keep_capabilities(())
        calls.control(calls.PR_SET_NO_NEW_PRIVS, 1)


def scratch_of(plan: Plan) -> str:
    """Where the worker's temporary files are: in a /tmp of its own, or in the directory that its keeper makes."""
    return view.TMP if plan.namespaces else plan.scratch
