"""The delay before a failed version is retried. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

STEADY_S = 60.0
"""The death of a worker that served for longer than this does not count towards a crash loop."""

CRASH_LOOP = 4
"""After so many deaths in a row, of workers that served only briefly and had nothing in hand, a version is FAILED."""

CRASH_LOOP_IN_HAND = 20
"""The same of deaths with a request in hand. One request ends three workers, and the version may score all others."""

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
    in_hand: int = 0
    """Deaths in this row with a request in hand, which do not count in ``count``."""
    retry_ms: int | None = None
    """``retry_at`` in milliseconds since 1970, for people."""
    waits: bool = False
    """Whether the last start found no room, which says nothing about the version."""

    @property
    def final(self) -> bool:
        """Whether to call the version FAILED: it never got ready, does not any more, or it keeps dying."""
        most = _FAILED_RESTARTS if self.starting else CRASH_LOOP
        kept_failing = self.count >= most or self.in_hand >= CRASH_LOOP_IN_HAND
        return not self.waits and (not self.served or kept_failing)


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a worker that was ready for ``served_s``.

    ``proved``: the worker had answered many requests; ``in_hand``: the worker died with a request in hand.
    """

    served_s: float
    proved: bool = False
    in_hand: bool = False


def after_failure(
    before: Failure | None,
    *,
    now: float,
    message: str,
    death: Death | None,
    base_s: float,
    cap_s: float,
    jitter: float,
    waits: bool = False,
) -> Failure:
    """The next failure. ``death`` None: the worker never got ready.

    - A worker that was proved or served for long is replaced at once, however often such workers die.
    - The first failure after that, or of a version that has served, is retried at once as well.
    - A death with a request in hand is the request's, until such deaths are many. Such deaths wait for ``base_s``.
    - A start that found no space on the disk counts for nothing, and is retried after ``base_s``: a version that has
      served before waits for space. The same holds for ``waits``: a start that found what it needs held by others.
    - Any further failure waits twice as long as the last one, up to ``cap_s``. ``jitter`` (0 to 1) takes up to a
      quarter off, so that versions that failed together are not retried together.
    """
    starting = death is None
    well = death is not None and (death.proved or death.served_s >= STEADY_S)
    served = not starting or (before is not None and before.served)
    others, in_hand = (before.count, before.in_hand) if before is not None and not well else (0, 0)
    if waits or (starting and served and _DISK_FULL.search(message)):
        return Failure(others, now + base_s, message, served, starting, in_hand, waits=waits)
    if death is not None and death.in_hand and not well:
        delay = min(cap_s, base_s) * (1 - jitter / 4) if in_hand or others else 0.0
        return Failure(others, now + delay, message, served, in_hand=in_hand + 1)
    count = 0 if well else others + 1
    at_once = served and count <= 1
    delay = 0.0 if at_once else min(cap_s, base_s * 2.0 ** min(count - 1, 62)) * (1 - jitter / 4)
    return Failure(count, now + delay, message, served, starting, in_hand)
