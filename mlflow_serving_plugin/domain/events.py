"""Events: what happened to endpoints and entities, in text that every database, JSON and terminal takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an endpoint or to one of its entities. ``entity``: the name; None: to the endpoint."""

    timestamp_ms: int
    workspace: str
    name: str
    entity: str | None
    type: str
    message: str


def storable(text: str) -> str:
    """The text without what PostgreSQL (NUL) or UTF-8 (lone surrogates, as in odd file names) refuses."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
