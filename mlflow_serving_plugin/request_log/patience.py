"""Calls of stores that may hang: the writer waits for a while, and goes on with other places."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

PATIENCE_S = 20.0


@dataclass(slots=True)
class _Call:
    ended: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Patience:
    """One call at a time for each place, each in a thread of its own. Used from one thread."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._calls: dict[str, _Call] = {}

    def run(self, place: str, work: Callable[[], object]) -> None:
        """Return when the work has ended, and raise what the work raises.

        OSError when the work takes too long, or when earlier work for the place still hangs. Work that takes too long
        goes on, so it has to be such that a second run does no harm.
        """
        before = self._calls.get(place)
        if before is not None and not before.ended.is_set():
            raise OSError("an earlier call of this place has no answer yet")
        call = self._calls[place] = _Call()
        threading.Thread(target=_do, args=(work, call), name="serving request log store", daemon=True).start()
        if not call.ended.wait(self._patience_s):
            raise OSError(f"this place gave no answer within {self._patience_s:g} s")
        del self._calls[place]
        if call.error is not None:
            raise call.error


def _do(work: Callable[[], object], call: _Call) -> None:
    try:
        work()
    except BaseException as error:
        call.error = error
    finally:
        call.ended.set()
