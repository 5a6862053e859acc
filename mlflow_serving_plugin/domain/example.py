"""A model's input example, as a scoring request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """A scoring request in the canonical dialect."""

    body: bytes
    content_type: str
