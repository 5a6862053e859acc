"""The points of requests, by which the split of an endpoint's traffic decides."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from mlflow_serving_plugin.domain.traffic import point_of

HEADER = "x-client-request-id"
"""A client's own key: all requests with one key go to one entity."""

FIELD = "client_request_id"
"""The same as a field of the body, as Databricks has it."""

_FIELD = f'"{FIELD}"'.encode()
_GOLDEN = (5**0.5 - 1) / 2
_LONGEST_KEY = 1024


class Spread:
    """Gives each request its point. Thread-safe.

    Requests without a key get the multiples of the golden ratio, from a random start on: any run of them is spread
    evenly, so that a split holds after some hundred requests already.
    """

    def __init__(self) -> None:
        self._start = random.random()  # noqa: S311 - spreads requests, guards nothing
        self._numbers = itertools.count()

    def point(self, headers: Mapping[str, str], endpoint: str) -> float:
        """The point of a request, as far as the headers (names in lower case) tell."""
        key = headers.get(HEADER)
        return point_of(endpoint, key) if key else (self._start + next(self._numbers) * _GOLDEN) % 1.0


def point_in_body(headers: Mapping[str, str], endpoint: str, body: bytes) -> float | None:
    """The point that a key in the body gives; None without a key in the body, or with one in the headers."""
    if headers.get(HEADER) or _FIELD not in body:
        return None
    document = _parsed(body)
    key = document.get(FIELD) if isinstance(document, dict) else None
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    return point_of(endpoint, key) if isinstance(key, str) and 0 < len(key) <= _LONGEST_KEY else None


def _parsed(body: bytes) -> Any:
    """The document of a body; None for what is no JSON."""
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(body)
    # Bodies with NaN, text that no UTF-8 has, or a mark of the byte order, all of which workers read.
    with suppress(ValueError, RecursionError):
        return json.loads(body)
    return None
