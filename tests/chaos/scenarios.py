"""All scenarios by name, in the order in which they run."""

from __future__ import annotations

from .crashes import killed_workers_of_one, killed_workers_of_two
from .report import Scenario

SCENARIOS: dict[str, Scenario] = {
    "workers-2": killed_workers_of_two,
    "workers-1": killed_workers_of_one,
}
