"""The split of an endpoint's traffic: which entity a request goes to. Pure.

Each request has a *point* from 0 up to 1. Entities have parts of that range, as large as their percentages. The point
of a client's own key is a hash, so that the client stays with its entity on every web worker and host.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

Traffic = Sequence[tuple[str, int]]
"""Entities and their percentages, which are 100 in all."""

TOLERANCE = 1e-6
_POINTS = 2**53


@dataclass(frozen=True, slots=True)
class Shadow:
    """An entity that scores a percentage of the requests once more, after their answers have left."""

    entity: str
    percentage: float
    tolerance: float = TOLERANCE
    """By how much numbers of two answers may differ, absolutely or as a part of the larger number."""


def point_of(endpoint: str, key: str) -> float:
    """The point of a client's key on an endpoint."""
    return int.from_bytes(_hash(f"{endpoint}\x00{key}".encode(errors="replace")), "big") % _POINTS / _POINTS


def pick(traffic: Traffic, usable: Collection[str], point: float) -> str | None:
    """The entity for a point; None without traffic.

    The share of an entity that is not usable goes to the usable ones, in the proportion of their percentages; all
    other points stay with their entities. Without any usable entity, the entity that has the point.
    """
    found = at_point(traffic, point)
    if found is None or found in usable:
        return found
    others = [(name, percent) for name, percent in traffic if name in usable]
    # A second point, as the first one lies within the share of the entity that is not usable.
    again = int.from_bytes(_hash(repr(point).encode()), "big") % _POINTS / _POINTS
    return at_point(others, again) or found


def at_point(traffic: Traffic, point: float) -> str | None:
    """The entity that has a point, whether or not the entity is usable; None without traffic."""
    left = point * sum(percent for _, percent in traffic)
    for name, percent in traffic:
        left -= percent
        if left < 0:
            return name
    return None


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()
