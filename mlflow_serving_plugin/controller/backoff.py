"""The delay before a failed version is retried. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

STEADY_S = 60.0
"""The death of a worker that served for longer than this does not count towards a crash loop."""

CRASH_LOOP = 4
"""After so many deaths in a row, of workers that served only briefly, a version is FAILED. One request ends three."""

_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|no space left on the disk")
"""A reason that says nothing about the version."""

_FAILED_RESTARTS = 2
"""After so many failed starts in a row, a version that has served before is FAILED."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A version's failures in a row. ``retry_at`` by the clock that ``now`` came from; ``message``: the last one."""

    count: int
    """0: the last worker had served well."""
    retry_at: float
    message: str
    served: bool
    """Whether the version has served in this row."""
    starting: bool = False
    """Whether the last failure was that of a start."""
    retry_ms: int | None = None
    """``retry_at`` in milliseconds since 1970, for people."""

    @property
    def final(self) -> bool:
        """Whether to call the version FAILED: it never got ready, does not any more, or it keeps dying."""
        return not self.served or self.count >= (_FAILED_RESTARTS if self.starting else CRASH_LOOP)


def after_failure(
    before: Failure | None,
    *,
    now: float,
    message: str,
    served_s: float | None,
    proved: bool,
    base_s: float,
    cap_s: float,
    jitter: float,
) -> Failure:
    """The next failure. ``served_s``: how long the worker had served, None if it never got ready.

    ``proved``: the worker had answered many requests.

    - A worker that was proved or served for long is replaced at once, however often such workers die.
    - The first failure after that, or of a version that has served, is retried at once as well.
    - A start that found no space on the disk counts for nothing, and is retried after ``base_s``: a version that has
      served before waits for space.
    - Any further failure waits twice as long as the last one, up to ``cap_s``. ``jitter`` (0 to 1) takes up to a
      quarter off, so that versions that failed together are not retried together.
    """
    starting = served_s is None
    well = served_s is not None and (proved or served_s >= STEADY_S)
    count = 0 if well else 1 if before is None else before.count + 1
    served = not starting or (before is not None and before.served)
    if starting and served and _DISK_FULL.search(message):
        return Failure(before.count if before is not None else 0, now + base_s, message, served, starting)
    at_once = served and count <= 1
    delay = 0.0 if at_once else min(cap_s, base_s * 2.0 ** min(count - 1, 62)) * (1 - jitter / 4)
    return Failure(count, now + delay, message, served, starting)
