"""All checks of a place; a new one is a name here."""

from __future__ import annotations

from mlflow_serving_plugin.diagnosis import access, cluster, machine, software, state, stores
from mlflow_serving_plugin.diagnosis.base import DEADLINE_S, Check, Finding, Place, run_checks

CHECKS: tuple[tuple[str, tuple[Check, ...]], ...] = (
    ("software", (software.versions, software.internals, software.optional_parts)),
    ("settings", (software.settings_variables,)),
    ("database", (stores.database,)),
    ("artifacts", (stores.artifacts,)),
    ("access", (access.auth_app,)),
    ("sandbox", (machine.sandbox,)),
    ("state", (state.state_directory, state.socket_paths, state.disk, state.port)),
    ("machine", (machine.memory, machine.limits)),
    ("ray", (cluster.ray,)),
)


def diagnose(place: Place, deadline_s: float = DEADLINE_S) -> list[Finding]:
    """What all checks find. Takes seconds; blocks."""
    pairs = [(area, check) for area, checks in CHECKS for check in checks]
    return run_checks(pairs, place, deadline_s)
