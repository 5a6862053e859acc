"""Where the workers of an entity run, for a person. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from mlflow_serving_plugin.domain.routes import WorkerRoute

_SHORT = 8
"""Digits of a node's id that tell the nodes of a cluster apart."""


def placement(workers: Iterable[WorkerRoute]) -> str:
    """The hosts of the ready workers and how many each has; empty while all are on the server's own host."""
    workers = [worker for worker in workers if worker.ready]
    if not any(worker.node for worker in workers):
        return ""
    counts = Counter(_where(worker) for worker in workers)
    return f"Workers: {', '.join(f'{count} on {where}' for where, count in sorted(counts.items()))}."


def _where(worker: WorkerRoute) -> str:
    if not worker.node:
        return "the server's host"
    host = worker.address.partition("://")[2].partition("/")[0].rpartition(":")[0]
    return f"{host} (node {worker.node[:_SHORT]})"
