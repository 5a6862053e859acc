"""Forks a keeper in place of a worker, with namespaces into the first process of a new PID namespace.

Fed by the zygote. A process enters a PID namespace by being forked into it, and the zygote has to stay outside, so a
process between the two makes the namespace, forks the keeper and ends.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict

from .isolation.namespaces import unshare_user_and_processes
from .isolation.plan import Plan
from .keeper import Keeper
from .process import end_with


def fork_kept(config: Dict[str, Any], become_worker: Callable[[Dict[str, Any]], int]) -> int:
    """In the zygote: fork a keeper, and return its pid. OSError when the kernel grants no namespaces any more."""
    plan = Plan.read(config["isolation"])
    if not plan.namespaces:
        pid = os.fork()
        if pid == 0:
            end_with(lambda: Keeper(config, plan, become_worker).run(user_namespace=False))
        return pid
    reader, writer = os.pipe()
    between = os.fork()
    if between == 0:
        end_with(lambda: _fork_into_namespaces(config, plan, become_worker, writer))
    os.close(writer)
    with open(reader) as answer:
        said = answer.readline().strip()
    os.waitpid(between, 0)
    if not said.isdigit():
        raise OSError(said or "no process for the sandbox")
    # The process between has ended: the keeper is a child of the zygote now, its nearest subreaper.
    return int(said)


def _fork_into_namespaces(
    config: Dict[str, Any], plan: Plan, become_worker: Callable[[Dict[str, Any]], int], writer: int
) -> int:
    try:
        user_namespace = unshare_user_and_processes()
        pid = os.fork()
    except OSError as error:
        os.write(writer, f"{error.strerror}\n".encode())
        return 1
    if pid == 0:
        end_with(lambda: Keeper(config, plan, become_worker).run(user_namespace=user_namespace))
    os.write(writer, f"{pid}\n".encode())
    return 0
