"""From a worker's log to the one line that says why it died. Pure."""

from __future__ import annotations

import re

_LONGEST = 400
_ERROR = re.compile(r"^(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Warning|NotFound)\b.*")
# What MLflow's own command line says of any failure of the server below it.
_NOISE = ("returned non zero return code", "SystemExit", "KeyboardInterrupt", "CancelledError", "Warning")
_LIFE = re.compile(r"^--- .* worker (\S+) (started$|ended)")


def death_reason(log_tail: str, worker_id: str) -> str | None:
    """The last error that the worker printed, None when it printed none.

    Only what stands between the worker's own start and end counts; a version's workers share a log.
    """
    errors = [line for line in _lines_of(log_tail, worker_id) if _ERROR.match(line)]
    telling = [line for line in errors if not any(noise in line for noise in _NOISE)]
    if telling:
        return _shorten(telling[-1])
    return None


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


def _shorten(line: str) -> str:
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
