"""Waits for served versions, and shows the progress: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from mlflow_serving_plugin.cli.client import ServingClient
from mlflow_serving_plugin.cli.errors import CliError

_LOOK_EVERY_S = 0.5
_SIGN_OF_LIFE_S = 10.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a command. ``label`` identifies the step. ``outcome``: None while the step runs, True for success."""

    label: str
    text: str
    outcome: bool | None = None


class Progress:
    """A context in which steps are shown. ``clock`` is in seconds.

    Lines have the time since the beginning, one clock for all steps; a line every ten seconds says that work goes on.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._steps: dict[str, Step] = {}
        self._started = self._last_line = clock()
        self._began: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(console=console, get_renderable=self._render, refresh_per_second=8)

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, steps: Sequence[Step]) -> None:
        """Add or change the given steps; the other steps stay as they are."""
        now = self._clock()
        for step in steps:
            began = self._began.setdefault(step.label, now)
            if self._steps.get(step.label) == step:
                continue
            self._steps[step.label] = step
            if step.outcome is None:
                self._took.pop(step.label, None)
            else:
                self._took[step.label] = now - began
            self._print(step, now)
        if now - self._last_line >= _SIGN_OF_LIFE_S:
            for step in self._steps.values():
                if step.outcome is None:
                    self._print(step, now)

    def _print(self, step: Step, now: float) -> None:
        if self._live is None:
            self._last_line = now
            self._console.print(Text(f"[{now - self._started:4.0f} s] {step.label}: {step.text}"), soft_wrap=True)

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 2))
        # A copy: rich renders in a thread of its own.
        for step in list(self._steps.values()):
            seconds = self._took.get(step.label, self._clock() - self._began[step.label])
            table.add_row(_mark(step), Text(step.label), Text(f"{seconds:4.0f} s"), Text(step.text))
        return table


_spinner = Spinner("dots")


def _mark(step: Step) -> Text | Spinner:
    if step.outcome is None:
        return _spinner
    return Text("✓", style="green") if step.outcome else Text("✗", style="bold red")


def wait_until_settled(
    client: ServingClient,
    name: str,
    progress: Progress,
    *,
    check: Callable[[], None] = lambda: None,
    pause: Callable[[], None] = lambda: time.sleep(_LOOK_EVERY_S),
) -> None:
    """Return when the state of each version is settled; CliError when a version has failed.

    The server says what is settled: a state that its controller published before it knew of the last change asked for
    is not. ``check`` is called before each look and may raise to end the wait.
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
    _raise_if_lost(failures, served)
    if not steps and endpoint.outcome is False:
        raise CliError(f"'{name}' could not be served. {status['state_message']}")


def wait_until_awake(
    client: ServingClient,
    name: str,
    version: int | None,
    progress: Progress,
    *,
    pause: Callable[[], None] = lambda: time.sleep(_LOOK_EVERY_S),
) -> None:
    """Wake the versions of a model, or one version, until each is ready; CliError when a version has failed."""
    failures: dict[str, str] = {}
    while True:
        client.prewarm(name, version)
        found = [one for one in client.versions(name) if version in {None, int(one["endpoint_version_name"])}]
        steps = [_awake_step(name, one, failures) for one in found]
        progress.show(steps)
        if all(step.outcome is not None for step in steps):
            break
        pause()
    _raise_if_lost(failures, {step.label for step in steps})


def _raise_if_lost(failures: Mapping[str, str], served: Container[str]) -> None:
    lost = [f"{label}: {message}" for label, message in failures.items() if label in served]
    if lost:
        raise CliError(f"Not every version could be served. {' '.join(lost)}")


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
    return Step(label, _in_words(version["label"], message), outcome)


def _in_words(state: str, message: str) -> str:
    """A state and what is said of it. What says no more than the state ("Loading the model.") is left out."""
    more = message.removesuffix(".").replace(" the ", " ") != state
    return f"{state}. {message}" if message and more else state


def _awake_step(name: str, version: dict[str, Any], failures: dict[str, str]) -> Step:
    step = _step(name, version, failures)
    return replace(step, outcome=None) if version["asleep"] else step


def _outcome(found: dict[str, Any]) -> bool | None:
    return found["tone"] not in {"failed", "degraded"} if found["settled"] else None
