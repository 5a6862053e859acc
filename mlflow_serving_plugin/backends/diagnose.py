"""Finds in a worker's log the one line that says why the worker died. Pure."""

from __future__ import annotations

import re
import signal
from itertools import takewhile

from mlflow_serving_plugin.domain.advice import explain, shorten
from mlflow_serving_plugin.domain.places import without_places

_LAST_LINES = 3
_ERROR = re.compile(
    r"^(?:bwrap: |(?:[A-Za-z_][\w.]*\.)?_?[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Warning|NotFound)\b).*"
)
"""The last line of a traceback, or what bubblewrap says when it cannot start."""

# What MLflow's command line prints after any failure of its server process.
_NOISE = ("returned non zero return code", "SystemExit", "KeyboardInterrupt", "CancelledError", "Warning")
_LIFE = re.compile(r"^--- .* worker (\S+) (started$|ended)")
_KILLED = re.compile(r"^--- .* worker (\S+) ended, killed by (\w+)$", re.MULTILINE)
_ENDED_BY_PARENT = re.compile(r"^--- .* worker (\S+) ending: (.*)$", re.MULTILINE)
"""Written by the guard or the zygote before it ends a worker."""

_SERVER_KILLED = re.compile(r"returned non zero return code\. Return code = -(\d+)$")
"""Printed by MLflow's command line when its server was killed, with the signal's number."""

_LOADED = re.compile(r"^Loaded\. Fast path: |.*Application startup complete\.$")
"""Printed by a worker, native or stock, whose model has loaded."""

_FATAL = "Fatal Python error: "
"""Printed by CPython's fault handler before a crash ends the process."""

_ENDING = "Ending: "
"""Printed by a native worker that ends itself."""

_WHY_KILLED = {
    "SIGKILL": "probably out of memory",
    "SIGSEGV": "the model, or a library that it uses, crashed",
    "SIGABRT": "the model, or a library that it uses, aborted",
}


def death_reason(log_tail: str, worker_id: str, *, served: bool = False) -> str | None:
    """The signal that killed the worker, or the last error in the worker's output; None when there is neither.

    Errors that a worker printed after it has ``served`` are ignored: these are errors of requests, and may quote them.

    Only lines between the worker's own start and end count, because the workers of a version share a log.
    """
    if (reason := _reason_of_parent(log_tail, worker_id)) is not None:
        return reason
    lines = _lines_of(log_tail, worker_id)
    for line in lines:
        if killed := _SERVER_KILLED.search(line):
            return _killed_by(_signal_name(int(killed.group(1))))
        if line.startswith(_ENDING):
            return shorten(line[len(_ENDING) :]).capitalize()
        if line.startswith(_FATAL):
            return f"The worker crashed: {shorten(line[len(_FATAL) :])}."
    errors = [line for line in _while_loading(lines) if _ERROR.match(line) and not served]
    informative = [line for line in errors if not any(noise in line for noise in _NOISE)]
    return explain(informative[-1], "load", "\n".join(lines)) if informative else None


def _reason_of_parent(log_tail: str, worker_id: str) -> str | None:
    for ended_id, why in reversed(_ENDED_BY_PARENT.findall(log_tail)):
        if ended_id == worker_id:
            return f"The worker was stopped: {shorten(why)}."
    for killed_id, name in reversed(_KILLED.findall(log_tail)):
        if killed_id == worker_id:
            return _killed_by(name)
    return None


def last_output(log_tail: str, worker_id: str) -> str:
    """The last lines that the worker printed; empty when there are none."""
    lines = [line for line in _while_loading(_lines_of(log_tail, worker_id)) if line and not _LIFE.match(line)]
    return f"Last output: {shorten(without_places(' / '.join(lines[-_LAST_LINES:])))}" if lines else ""


def _killed_by(name: str) -> str:
    why = _WHY_KILLED.get(name)
    return f"The worker was killed by {name}{f', {why}' if why else ''}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _while_loading(lines: list[str]) -> list[str]:
    """The lines before the model had loaded: later lines are about requests, the model's own example among them."""
    return list(takewhile(lambda line: not _LOADED.match(line), lines))


def _lines_of(log_tail: str, worker_id: str) -> list[str]:
    lines: list[str] = []
    for line in log_tail.splitlines():
        life = _LIFE.match(line)
        if life and life.group(1) == worker_id:
            if life.group(2) == "ended":
                break
            lines = []
        lines.append(line.strip())
    return lines
