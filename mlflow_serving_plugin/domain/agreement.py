"""Whether two answers to one request agree. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum
from typing import Any

import orjson


class Agreement(Enum):
    """How a shadow's answer compares with the answer that the caller got."""

    EQUAL = "equal"
    WITHIN_TOLERANCE = "within_tolerance"
    DIFFERS = "differs"


def agreement(answer: bytes, shadow: bytes, tolerance: float) -> Agreement:
    """Compare two bodies.

    Numbers are within the tolerance when they differ by no more than ``tolerance``, or by no more than that part of
    the larger number. All else in JSON has to be equal, in the same places. Bodies that are not JSON have to be equal.
    """
    if answer == shadow:
        return Agreement.EQUAL
    try:
        found = _compare(orjson.loads(answer), orjson.loads(shadow), tolerance)
    except (orjson.JSONDecodeError, RecursionError):
        return Agreement.DIFFERS
    return (Agreement.EQUAL, Agreement.WITHIN_TOLERANCE, Agreement.DIFFERS)[found]


def _compare(one: Any, other: Any, tolerance: float) -> int:
    """0: equal, 1: within the tolerance, 2: different."""
    if _is_number(one) and _is_number(other):
        if one == other:
            return 0
        return 1 if math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance) else 2
    if type(one) is not type(other):
        return 2
    if isinstance(one, list) and len(one) == len(other):
        return _worst(zip(one, other, strict=True), tolerance)
    if isinstance(one, dict) and one.keys() == other.keys():
        return _worst(((one[key], other[key]) for key in one), tolerance)
    return 0 if one == other else 2


def _worst(pairs: Iterable[tuple[Any, Any]], tolerance: float) -> int:
    worst = 0
    for one, other in pairs:
        worst = max(worst, _compare(one, other, tolerance))
        if worst == 2:
            break
    return worst


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
