"""How long a version that failed is left alone. Pure."""

from __future__ import annotations

from dataclasses import dataclass

STEADY_S = 60.0
"""A worker that served for longer than this before it died is no sign of a crash loop."""

CRASH_LOOP = 3
"""So many deaths in a row, of workers that hardly served, make a version FAILED rather than restarting."""

_FAILED_RESTARTS = 2
"""So many starts in a row that fail make a version FAILED that has served before."""


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

    ``proved``: it had answered many requests. Such a worker, or one that served for long, is replaced at once, as
    often as it takes: whatever kills it, serving gets on. So is the first one in a row after it, or of a version
    that has served at all. Else the wait doubles up to ``cap_s`` and is shortened by ``jitter`` (0 to 1) times a
    quarter, so that versions that failed together part.
    """
    starting = served_s is None
    well = served_s is not None and (proved or served_s >= STEADY_S)
    count = 0 if well else 1 if before is None else before.count + 1
    served = not starting or (before is not None and before.served)
    at_once = served and count <= 1
    delay = 0.0 if at_once else min(cap_s, base_s * 2.0 ** min(count - 1, 62)) * (1 - jitter / 4)
    return Failure(count, now + delay, message, served, starting)
