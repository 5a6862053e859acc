"""What tests of all kinds share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_POLL_S = 0.05


def eventually(condition: Callable[[], Any], within_s: float = 10.0, tail: Callable[[], str] | None = None) -> Any:
    """Wait until ``condition()`` is true and return it; fail after ``within_s`` seconds with what ``tail()`` says."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {condition}\n{tail() if tail else ''}")
        time.sleep(_POLL_S)
    return found
