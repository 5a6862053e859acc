"""Slows down callers who guess passwords: after some wrong ones, further tries have to wait, longer each time.

Failures are counted by user and address together, by user, and by address, in each web worker for itself. Credentials
that were right before never wait. From another address than the guesser's a user waits a few seconds at most, so nobody
can lock a user out by guessing. Behind a proxy that does not pass on the clients' addresses all callers share the
proxy's; the delay of an address is short for that reason. Guesses that go on renew the delay of a user and of an
address, so a password that has waited once is checked then, as long as its user has hardly failed from its address.
"""

from __future__ import annotations

import base64
import binascii
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

from mlflow_serving_plugin.errors import TooManyRequestsError
from mlflow_serving_plugin.host.throttled import Throttled

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_logger = logging.getLogger(__name__)

_MOST_ENTRIES = 10_000
_FORGET_S = 600.0
"""Failures count until there was none for so long."""


@dataclass(frozen=True, slots=True)
class _Patience:
    """``free`` failures cost nothing; from then on the delay doubles with each, from one second up to ``cap_s``."""

    free: int
    cap_s: float

    def delay_s(self, failures: int) -> float:
        return 0.0 if failures <= self.free else min(self.cap_s, 2.0 ** min(failures - self.free - 1, 32))


_OF_BOTH, _OF_EITHER = _Patience(free=5, cap_s=60.0), _Patience(free=20, cap_s=4.0)
_HARDLY = 3
"""With fewer failures of a user from an address, each password waits once only. So many users, so many more guesses."""


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    until: float = 0.0
    """When the next try is allowed."""


class Guesses:
    """Thread-safe. ``report`` is called with ``wrong`` or ``delayed`` for each try that failed or had to wait."""

    def __init__(
        self, report: Callable[[str], None] = lambda outcome: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[Hashable, _Failures] = OrderedDict()
        self._right: OrderedDict[bytes, None] = OrderedDict()
        """Keys of credentials that were right, the most recently used last."""
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        """Keys of credentials that were wrong. A program that repeats an old password does not guess."""
        self._turns: OrderedDict[bytes, float] = OrderedDict()
        """Keys of credentials that wait, and when it is their turn."""
        self._line = Throttled(_logger, clock=clock)

    def were_right(self, key: bytes) -> bool:
        """Whether the credentials were right when they were last checked."""
        return key in self._right

    def delay(self, key: bytes, user: str, address: str) -> TooManyRequestsError | None:
        """Before a password is checked: the refusal when the caller has to wait.

        ``key`` stands for the credentials as a whole.
        """
        with self._lock:
            if key in self._right:
                return None
            wait_s = self._wait_s(key, user, address, self._clock())
        if wait_s <= 0:
            return None
        self._report("delayed")
        self._line.log(logging.WARNING, "A try of a password has to wait %.0f s; address %s.", wait_s, address)
        return TooManyRequestsError(
            f"Too many wrong passwords. Try again in {math.ceil(wait_s)} s.", retry_after_s=math.ceil(wait_s)
        )

    def failed(self, key: bytes, user: str, address: str) -> None:
        """The password was wrong."""
        with self._lock:
            self._right.pop(key, None)
            self._turns.pop(key, None)
            if key in self._wrong:
                return
            _keep(self._wrong, key, None)
            now = self._clock()
            for who, patience in _counted(user, address):
                self._fail(who, patience, now)
        self._report("wrong")
        self._line.log(logging.WARNING, "A wrong password was sent; address %s.", address)

    def succeeded(self, key: bytes) -> None:
        """The password was right."""
        with self._lock:
            _keep(self._right, key, None)
            self._turns.pop(key, None)

    def _wait_s(self, key: bytes, user: str, address: str, now: float) -> float:
        found = [self._failures.get(who) or _Failures(until=now) for who, _ in _counted(user, address)]
        of_both, until = found[0], max(failures.until for failures in found)
        if of_both.count < _HARDLY and until > now:
            turn = self._turns.get(key, until)
            _keep(self._turns, key, turn)
            until = min(until, turn)
        return until - now

    def _fail(self, who: Hashable, patience: _Patience, now: float) -> None:
        found = self._failures.get(who) or _Failures()
        found.count = 1 if now - found.last > _FORGET_S else found.count + 1
        found.last, found.until = now, now + patience.delay_s(found.count)
        _keep(self._failures, who, found)


def _counted(user: str, address: str) -> tuple[tuple[Hashable, _Patience], ...]:
    """By what a failure is counted."""
    return ((user, address), _OF_BOTH), (("user", user, ""), _OF_EITHER), (("address", address, ""), _OF_EITHER)


def user_of(authorization: str) -> str | None:
    """The user name in a ``Basic`` Authorization header; None when the header holds no password."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, _ = base64.b64decode(encoded.strip()).decode("utf-8", "replace").partition(":")
    except (binascii.Error, ValueError):
        return ""
    return name[:256]


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _MOST_ENTRIES:
        kept.popitem(last=False)
