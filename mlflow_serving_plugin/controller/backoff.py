"""How long a version that failed is left alone. Pure."""

from __future__ import annotations

from dataclasses import dataclass

STEADY_S = 60.0
"""A worker that served for longer than this before it died starts the count anew."""

CRASH_LOOP = 3
"""So many deaths in a row, each before the worker was steady, make a version FAILED rather than restarting."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A version's failures in a row. ``retry_at`` by the clock that ``now`` came from; ``message``: the last one."""

    count: int
    retry_at: float
    message: str
    served: bool
    """Whether the version was serving when it failed."""

    @property
    def final(self) -> bool:
        """Whether to call the version FAILED: it never got ready, or it keeps dying."""
        return not self.served or self.count >= CRASH_LOOP


def after_failure(
    before: Failure | None,
    *,
    now: float,
    message: str,
    served_s: float | None,
    base_s: float,
    cap_s: float,
    jitter: float,
) -> Failure:
    """The next failure. ``served_s``: how long the worker had served, None if it never got ready.

    The first death of a serving worker is retried at once. Else the wait doubles up to ``cap_s`` and is
    shortened by ``jitter`` (0 to 1) times a quarter, so that versions that failed together part.
    """
    steady = served_s is not None and served_s >= STEADY_S
    count = 1 if before is None or steady else before.count + 1
    served = served_s is not None
    delay = 0.0 if served and count == 1 else min(cap_s, base_s * 2.0 ** min(count - 1, 62)) * (1 - jitter / 4)
    return Failure(count, now + delay, message, served)
