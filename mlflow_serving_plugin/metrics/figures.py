"""What pages show of the counts: figures of each version. Fed by the totals of a host; feeds the API. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from mlflow_serving_plugin.metrics.families import FAMILIES, LAST_REQUEST, REQUEST_SECONDS, REQUESTS, WORKER_MEMORY
from mlflow_serving_plugin.metrics.files import Totals

DURATION_BOUNDS_S = FAMILIES[REQUEST_SECONDS].bounds
"""The upper bounds of ``Figures.durations``; the last of these has none."""


@dataclass(slots=True)
class Figures:
    """Of one version, since its endpoint was enabled on this host. Counts only grow: rates are differences."""

    requests: int = 0
    """Requests answered, of any status."""
    errors: int = 0
    """Of those, answered with a status from 500 on."""
    durations: list[int] = field(default_factory=list)
    """Requests by how long they took, one number for each bound and one for longer ones; empty without any."""
    memory_bytes: int = 0
    """Of the version's workers, when they were last measured; 0 without workers."""
    last_request: int | None = None
    """When the version was last asked, in milliseconds since 1970; None when not since the server's start."""


def figures_of(totals: Totals) -> defaultdict[tuple[str, str], Figures]:
    """The figures by endpoint id and version; of a version that was never asked, zeros."""
    found: defaultdict[tuple[str, str], Figures] = defaultdict(Figures)
    for (name, *labels), values in totals.items():
        if name == REQUESTS and isinstance(labels[1], str) and isinstance(labels[2], int):
            figures = found[str(labels[0]), labels[1]]
            figures.requests += int(values[0])
            figures.errors += int(values[0]) if labels[2] >= 500 else 0
        elif name == REQUEST_SECONDS and isinstance(labels[1], str):
            found[str(labels[0]), labels[1]].durations = [int(count) for count in values[:-1]]
        elif name == WORKER_MEMORY:
            found[str(labels[0]), str(labels[1])].memory_bytes = int(values[0])
        elif name == LAST_REQUEST and values[0]:
            found[str(labels[0]), str(labels[1])].last_request = int(values[0] * 1000)
    return found
