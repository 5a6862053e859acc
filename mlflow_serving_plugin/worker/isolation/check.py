"""``<python> <path to worker/> isolation.check '<plan>'``: what of isolation this machine grants this user, as JSON.

``namespaces``: empty when they work, else the error; ``landlock``: the interface's version, or 0; ``seccomp``.
Each is tried, in a process of its own: a kernel may know a call and still forbid it.
"""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Dict, List

from . import calls, namespaces
from .plan import Plan, isolate

_UNKNOWN = "This kind of machine is not known."


def main(argv: List[str]) -> int:
    """Print the answer. The plan is one that shows the system's directories."""
    plan = Plan.read(json.loads(argv[0]))
    print(json.dumps(levels(plan)))
    return 0


def levels(plan: Plan) -> Dict[str, Any]:
    """What works here, layer by layer."""
    if not calls.KNOWN:
        return {"namespaces": _UNKNOWN, "landlock": 0, "seccomp": False}
    bare = plan._replace(namespaces=False, landlock=0, seccomp=False)
    version = _landlock_version()
    if version and _error_of(lambda: isolate(bare._replace(landlock=version), user_namespace=False)):
        version = 0
    return {
        "namespaces": _error_of(lambda: _in_namespaces(bare._replace(namespaces=True))),
        "landlock": version,
        "seccomp": not _error_of(lambda: isolate(bare._replace(seccomp=True), user_namespace=False)),
    }


def _landlock_version() -> int:
    try:
        return calls.landlock_version()
    except OSError:
        return 0


def _in_namespaces(plan: Plan) -> None:
    user_namespace = namespaces.unshare_user_and_processes()
    error = _error_of(lambda: isolate(plan, user_namespace=user_namespace))
    if error:
        raise OSError(error)


def _error_of(attempt: Callable[[], None]) -> str:
    """What a process that is forked for it says of an attempt; empty when that succeeded."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = ""
        try:
            attempt()
        except BaseException as error:
            said = str(getattr(error, "strerror", None) or error)[:200] or type(error).__name__
        finally:
            os.write(writer, said.encode() or b"\0")
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        said = answer.read().decode("utf-8", "replace")
    os.waitpid(pid, 0)
    return "" if said == "\0" else said or "The process that tried was killed."
