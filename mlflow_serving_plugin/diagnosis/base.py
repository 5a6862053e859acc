"""A finding, the place that is looked at, and how checks run: beside each other, each with a deadline."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mlflow_serving_plugin.settings import Settings

OK, WARNING, ERROR, SKIPPED = STATUSES = ("ok", "warning", "error", "skipped")
"""``warning``: serving works, with less than there could be. ``error``: a part does not work. ``skipped``: unknown."""

DEADLINE_S = 25.0
"""Of one check. Longer than a database takes that does not answer."""


class Finding(NamedTuple):
    """What one check found. No path of the server, no URI and no secret stands in a finding."""

    area: str
    """``software``, ``settings``, ``database``, ``artifacts``, ``access``, ``sandbox``, ``state``, ``machine``, ``ray``
    or ``server``."""
    check: str
    status: str
    found: str
    """What is there, in a sentence or a few words."""
    advice: str = ""
    """What to do; empty when nothing is to be done."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server as its settings describe it, whether it runs or not."""

    settings: Settings
    environ: Mapping[str, str]
    backend_store_uri: str = ""
    """``--backend-store-uri``; empty: not known."""
    artifacts_destination: str = ""
    """``--artifacts-destination``; empty: not known."""
    state_dir: Path | None = None
    """None: not known, because it depends on the database."""
    address: tuple[str, int] | None = None
    """Host and port where the server is to listen. None: the server runs, and this is one of its web workers."""


Check = Callable[[Place], Iterable[Finding]]


def can_write(directory: Path) -> bool:
    """Whether this user can make something there. Tried, because permissions do not tell root of a read-only place."""
    try:
        tempfile.TemporaryDirectory(prefix=".doctor-", dir=directory).cleanup()
    except OSError:
        return False
    return True


def run_checks(checks: Sequence[tuple[str, Check]], place: Place, deadline_s: float = DEADLINE_S) -> list[Finding]:
    """All findings, in the order of the checks, which are run beside each other. ``checks``: each with its area.

    A check that fails, or that does not end within ``deadline_s``, is a finding itself.
    """
    results: list[list[Finding] | None] = [None] * len(checks)

    def run(number: int) -> None:
        area, check = checks[number]
        try:
            results[number] = list(check(place))
        except Exception as error:
            found = f"The check failed: {type(error).__name__}."
            results[number] = [Finding(area, _name(check), ERROR, found, "Please report this as a defect of doctor.")]

    # Daemons: a thread that hangs in a driver must not keep the command from ending.
    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(checks))]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + deadline_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [
        finding
        for found, (area, check) in zip(results, checks, strict=True)
        for finding in (found if found is not None else [_unanswered(area, check, deadline_s)])
    ]


def _unanswered(area: str, check: Check, deadline_s: float) -> Finding:
    advice = "Look whether this machine can reach the host behind it: firewall, proxy, name."
    return Finding(area, _name(check), ERROR, f"No answer within {deadline_s:g} s.", advice)


def _name(check: Check) -> str:
    return str(getattr(check, "__name__", "check")).replace("_", " ")
