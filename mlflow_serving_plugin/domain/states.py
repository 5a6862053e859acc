"""States of endpoints and served versions, by the names that Databricks used on the wire."""

from __future__ import annotations

from enum import Enum


class EntityState(str, Enum):
    """Where one served version stands. ``PENDING → BUILDING → LAUNCHING → READY → DRAINING``; FAILED from any."""

    PENDING = "PENDING"
    """Seen; its model files are being fetched, or it waits for its turn."""
    BUILDING = "BUILDING"
    """Its Python environment is being built."""
    LAUNCHING = "LAUNCHING"
    """Its worker is loading the model."""
    READY = "READY"
    """A worker has answered a real prediction."""
    DRAINING = "DRAINING"
    """No longer active; requests in flight finish."""
    FAILED = "FAILED"
    """Could not be served, for the reason given; tried again with a growing pause."""


class EndpointState(str, Enum):
    """Where an endpoint stands as a whole."""

    PENDING = "PENDING"
    READY = "READY"
    FAILED = "FAILED"
