"""Waits until each version of a model is ready or has failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mlflow_serving_plugin.cli.client import CliError, ServingClient
from mlflow_serving_plugin.cli.progress import Progress, Step

_LOOK_EVERY_S = 0.5


def wait_until_settled(
    client: ServingClient,
    name: str,
    progress: Progress,
    *,
    check: Callable[[], None] = lambda: None,
    pause: Callable[[], None] = lambda: time.sleep(_LOOK_EVERY_S),
) -> None:
    """Return when the state of each version is settled; CliError when a version has failed.

    The server says which states are settled, so that no state makes the wait endless. ``check`` is called before each
    look and may raise to end the wait.
    """
    failures: dict[str, str] = {}
    while True:
        check()
        status = client.status(name)
        steps = [_step(name, version, failures) for version in client.versions(name)]
        endpoint = Step(name, status["state_message"] or status["label"], _outcome(status))
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
    outcome = _outcome(version)
    if outcome is False:
        failures[label] = message
    elif outcome:
        failures.pop(label, None)
    elif label in failures:
        return Step(label, f"Failed, will be retried. {failures[label]}", outcome=False)
    text = version["label"]
    return Step(label, f"{text}. {message}" if message else text, outcome)


def _outcome(found: dict[str, Any]) -> bool | None:
    return found["tone"] != "failed" if found["settled"] else None
