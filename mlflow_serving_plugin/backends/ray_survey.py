"""What the nodes of a Ray cluster are good for, found out by a process of its own, which only looks.

Unlike the driver of ``ray_process`` it starts no agents: each node runs one task that tells its versions.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from mlflow_serving_plugin.backends.ray_nodes import NodeFacts, facts_here, unfit, why_unmet

_MEET_S = 12.0
_PROGRAM = "import sys; from mlflow_serving_plugin.backends.ray_survey import main; sys.exit(main())"


@dataclass(frozen=True, slots=True)
class Survey:
    """``fit``: hosts of nodes that can run workers. ``unfit``: a sentence for each of the others."""

    fit: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    why: str = ""
    """Why the cluster could not be joined; empty when it was."""


def survey(address: str, within_s: float) -> Survey:
    """Ask the cluster at an address, or the one that this host is a node of. Blocks; never raises."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            input=json.dumps(address),
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        return Survey(**json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        return Survey(why=f"it does not answer within {within_s:g} s")
    except (ValueError, IndexError, TypeError):
        return Survey(why="the process that asks it has failed")


def main() -> int:
    """See the module."""
    print(json.dumps(asdict(_look(json.loads(sys.stdin.readline() or '""')))), flush=True)
    return 0


def _look(address: str) -> Survey:
    ray: Any = importlib.import_module("ray")
    try:
        ray.init(address=address or "auto", log_to_driver=False, configure_logging=False)
    except Exception as error:
        return Survey(why=_why_apart(error))
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    asked = {}
    for node in ray.nodes():
        # A head without CPUs is there for the driver only.
        if node["Alive"] and node["Resources"].get("CPU"):
            affinity = strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(_facts).options(num_cpus=0, max_retries=0, scheduling_strategy=affinity)
            asked[task.remote(node["NodeManagerAddress"])] = node["NodeManagerAddress"]
    ray.wait(list(asked), num_returns=len(asked), timeout=_MEET_S)
    reasons = {answer: _reason(ray, answer) for answer in asked}
    return Survey(
        [host for answer, host in asked.items() if not reasons[answer]],
        [f"Node {host} {reasons[answer]}" for answer, host in asked.items() if reasons[answer]],
    )


def _facts(host: str) -> dict[str, str]:
    """Runs on a node."""
    return asdict(facts_here(host))


def _reason(ray: Any, answer: Any) -> str:
    try:
        there = NodeFacts(**ray.get(answer, timeout=0))
    except Exception as error:
        return why_unmet(error, _MEET_S)
    return unfit(there, facts_here(""))


def _why_apart(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "Version mismatch" in text:
        return "the cluster has another version of Ray or of Python than this server"
    if isinstance(error, ConnectionError):
        return "no cluster is found there"
    return f"joining it failed ({type(error).__name__})"
