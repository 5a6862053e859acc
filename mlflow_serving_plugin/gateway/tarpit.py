"""Callers who guess passwords wait for each refusal, on an event loop, where waiting holds no thread.

Fed by ``core`` and ``control`` with heads, before a thread is taken. A guess that is refused at once is followed by
the next at once: thousands of refusals a second would keep every other caller waiting.
"""

from __future__ import annotations

from mlflow_serving_plugin.access.base import Access
from mlflow_serving_plugin.gateway.messages import Head, Pause, Steps

_WAIT_S = 1.0
_MOST = 1000
"""Refusals that wait at a time. Further ones leave at once: waiting costs the memory of a request."""


class Tarpit:
    """Holds back refusals of guesses. Belongs to one web worker."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._waiting = 0

    def pass_by(self, head: Head) -> Steps[None]:
        """Nothing for whoever sends no guess; UnauthenticatedError or TooManyRequestsError late for all others."""
        refusal = self._access.refuse_guess(head.headers, head.client)
        if refusal is None:
            return
        if self._waiting < _MOST:
            self._waiting += 1
            try:
                yield Pause(_WAIT_S, needless=True)
            finally:
                self._waiting -= 1
        raise refusal
