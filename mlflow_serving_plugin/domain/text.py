"""Text from outside, as every database, JSON and terminal takes it."""

from __future__ import annotations


def storable(text: str) -> str:
    """The text without what PostgreSQL (NUL) or UTF-8 (lone surrogates, as in odd file names) refuses."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
