"""Waits until each version of a model is ready or has failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mlflow_serving_plugin.cli.client import CliError, ServingClient
from mlflow_serving_plugin.cli.progress import Progress, Step
from mlflow_serving_plugin.cli.tables import short_state

_LOOK_EVERY_S = 0.5


def wait_until_settled(
    client: ServingClient,
    name: str,
    progress: Progress,
    *,
    check: Callable[[], None] = lambda: None,
    pause: Callable[[], None] = lambda: time.sleep(_LOOK_EVERY_S),
) -> None:
    """Return when all versions are READY; CliError when all have settled and one of them is FAILED.

    ``check`` is called before each look and may raise to end the wait.
    """
    failures: dict[str, str] = {}
    while True:
        check()
        status = client.status(name)
        steps = [_step(name, version, failures) for version in client.versions(name)]
        endpoint = Step(name, status["state_message"] or short_state(status["state"]), _outcome(status["state"]))
        progress.show([endpoint, *steps])
        served = {step.label for step in steps}
        if all(step.outcome is not None for step in steps or [endpoint]):
            break
        pause()
    lost = [f"{label}: {message}" for label, message in failures.items() if label in served]
    if lost:
        raise CliError(f"Not every version could be served. {' '.join(lost)}")
    if not steps and endpoint.outcome is False:
        raise CliError(f"'{name}' could not be served. {status['state_message']}")


def _step(name: str, version: dict[str, Any], failures: dict[str, str]) -> Step:
    """A failed version counts as settled while the server retries, until the version is ready."""
    label, message = f"{name}/{version['endpoint_version_name']}", version["state_message"]
    outcome = _outcome(version["state"])
    if outcome is False:
        failures[label] = message
    elif outcome:
        failures.pop(label, None)
    elif label in failures:
        return Step(label, f"FAILED, will be retried. {failures[label]}", outcome=False)
    text = short_state(version["state"])
    return Step(label, f"{text}. {message}" if message else text, outcome)


def _outcome(wire: str) -> bool | None:
    return {"READY": True, "FAILED": False}.get(short_state(wire))
