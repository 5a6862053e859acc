"""What the backend, its driver and the agents of nodes say of nodes. Pure, and without Ray."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field

from mlflow_serving_plugin import __version__
from mlflow_serving_plugin.backends.base import WorkerStatus
from mlflow_serving_plugin.domain.config import WorkerSettings

LEFT = "left the cluster"
"""The fingerprint of a worker that Ray no longer knows of: it serves until others, which Ray has placed, are ready."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What an agent says of its node."""

    python: str
    plugin: str
    host: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A cluster now.

    ``workers`` by node: as when the node last answered. ``unusable``: nodes that run none, and why in a sentence.
    ``alive``: all nodes that Ray has, also those that have said nothing yet.
    """

    workers: dict[str, list[WorkerStatus]] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    alive: frozenset[str] = frozenset()
    meeting: bool = False
    """Whether there are nodes that have said nothing yet."""


def facts_here(host: str) -> NodeFacts:
    """Of this process."""
    return NodeFacts(platform.python_version(), __version__, host)


def unfit(there: NodeFacts, here: NodeFacts) -> str:
    """Why a node is used for nothing; empty when it is fit."""
    if there.plugin != here.plugin:
        return f"has mlflow-serving-plugin {there.plugin}, and the server has {here.plugin}."
    if there.python != here.python:
        return f"has Python {there.python}, and the server has {here.python}."
    return ""


def no_room(settings: WorkerSettings) -> str:
    """What no node has."""
    asked = [f"{settings.cpus or 1:g} CPUs", *([f"{settings.gpus:g} GPUs"] if settings.gpus else [])]
    asked += [f"{settings.reserve_memory_mb} MB of memory"] if settings.reserve_memory_mb else []
    labels = f" and the labels {settings.node_labels}" if settings.node_labels else ""
    return f"No node of the Ray cluster has {', '.join(asked)} free{labels}. Add a node, or ask for less."


def why_unmet(error: Exception, waited_s: float) -> str:
    """Why a node has no agent."""
    text = str(error)
    if "ModuleNotFoundError" in text or "No module named" in text:
        return "has no mlflow-serving-plugin."
    if isinstance(error, TimeoutError):
        return f"has not started its agent within {waited_s:g} s."
    return f"could not start its agent ({type(error).__name__}): see the logs of Ray on the node."


def why_failed(cause: object) -> str:
    """Of an agent that raised what no worker is to blame for."""
    return f"The node's agent failed ({type(cause).__name__}): see the logs of Ray on the node."


def labels_of(text: str) -> dict[str, str]:
    """``zone=eu,disk=ssd`` as Ray takes labels."""
    pairs = (word.partition("=") for word in text.split(",") if word.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def port_range(text: str) -> tuple[int, int]:
    """``20000-20100``; empty: any port."""
    first, _, last = text.partition("-")
    return (int(first), int(last or first)) if first else (0, 0)


def head_of(address: str) -> tuple[str, int] | None:
    """Host and port of ``10.0.0.1:6379``; None for ``auto`` and whatever else Ray takes."""
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and "/" not in host and port.isdigit() else None
