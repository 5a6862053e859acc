"""Events: what happened to endpoints and entities, in text that every database, JSON and terminal takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an endpoint or to one of its entities. ``entity``: the name; None: to the endpoint.

    ``hosts``: where it happened; none for what people change, which counts everywhere.
    """

    timestamp_ms: int
    workspace: str
    name: str
    entity: str | None
    type: str
    message: str
    hosts: tuple[str, ...] = ()


SAME_WITHIN_MS = 600_000
"""What two hosts tell within so much time in the same words is one event."""


def is_same(earlier: Event, later: Event) -> bool:
    """Whether ``later`` is the same fact on another host, of an event that was told shortly before."""
    told = (earlier.entity, earlier.type, earlier.message) == (later.entity, later.type, storable(later.message))
    near = later.timestamp_ms - earlier.timestamp_ms <= SAME_WITHIN_MS
    return told and near and bool(earlier.hosts and later.hosts) and set(earlier.hosts).isdisjoint(later.hosts)


def storable(text: str) -> str:
    """The text without what PostgreSQL (NUL) or UTF-8 (lone surrogates, as in odd file names) refuses."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
