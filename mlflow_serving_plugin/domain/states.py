"""States of endpoints and entities, by the names that Databricks used on the wire, and what follows from each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

Tone = Literal["ready", "busy", "degraded", "failed", "idle"]
"""How a state is coloured for people."""


@dataclass(frozen=True, slots=True)
class StateFacts:
    """Everything that other modules need to know of a state, so that a new state is described once, here."""

    label: str
    """The state in a person's words."""
    tone: Tone
    version_state: str
    """The state in replies of ``endpoints``."""
    service_state: str
    """The state in replies of ``endpoints-v2``."""
    holdable: bool = False
    """Whether a request waits, up to ``hold_timeout_s``, until a worker is ready."""
    scores: bool = True
    """Whether ready workers take new requests."""
    serves: bool = False
    """Whether a request gets an answer, at once or after a wake: such an entity can be ``latest``."""
    settled: bool = False
    """Whether ``enable --wait`` stops waiting for the entity."""
    explained: str = ""
    """The event, if any, that tells of a new message within the state."""
    deployment: str = "DEPLOYMENT_CREATING"
    """The state in replies of ``serving-endpoints``."""


class EntityState(str, Enum):
    """Where one entity stands. ``PENDING → BUILDING → LAUNCHING → READY → DRAINING``; FAILED from any.

    An entity that may have no workers also goes ``READY → ASLEEP → WAKING → READY``.
    """

    PENDING = "PENDING"
    """Seen. Its model files are being fetched, or it is queued."""
    BUILDING = "BUILDING"
    """Its Python environment is being built, or is queued for a build."""
    LAUNCHING = "LAUNCHING"
    """A worker is loading the model."""
    READY = "READY"
    """A worker has answered a real prediction."""
    ASLEEP = "ASLEEP"
    """Has proved itself, was idle, and has no workers: the next request wakes the entity."""
    WAKING = "WAKING"
    """Was asleep, and a worker is loading the model for the requests that wait."""
    DRAINING = "DRAINING"
    """No longer active: new requests are refused, requests in flight finish."""
    FAILED = "FAILED"
    """Could not be served, for the reason given. Retried with a growing delay."""

    @property
    def facts(self) -> StateFacts:
        """What follows from the state."""
        return _FACTS[self]


_WAITING = "SERVICE_STATE_PENDING"
_FACTS = {
    EntityState.PENDING: StateFacts("Pending", "busy", "VERSION_STATE_PENDING", _WAITING, holdable=True),
    # The old API knows no BUILDING.
    EntityState.BUILDING: StateFacts("Building environment", "busy", "VERSION_STATE_PENDING", _WAITING, holdable=True),
    EntityState.LAUNCHING: StateFacts("Loading model", "busy", "VERSION_STATE_LAUNCHING", _WAITING, holdable=True),
    EntityState.READY: StateFacts(
        "Ready",
        "ready",
        "VERSION_STATE_READY",
        "SERVICE_STATE_READY",
        holdable=True,
        serves=True,
        settled=True,
        explained="VERSION_DEGRADED",
        deployment="DEPLOYMENT_READY",
    ),
    # The old API knows neither: a client of that API can call the version.
    EntityState.ASLEEP: StateFacts(
        "Asleep",
        "idle",
        "VERSION_STATE_READY",
        "SERVICE_STATE_READY",
        holdable=True,
        serves=True,
        settled=True,
        deployment="DEPLOYMENT_READY",
    ),
    EntityState.WAKING: StateFacts(
        "Waking",
        "busy",
        "VERSION_STATE_READY",
        "SERVICE_STATE_READY",
        holdable=True,
        serves=True,
        deployment="DEPLOYMENT_READY",
    ),
    EntityState.DRAINING: StateFacts(
        "Draining",
        "idle",
        "VERSION_STATE_DRAINING",
        "SERVICE_STATE_UNKNOWN",
        scores=False,
        settled=True,
        deployment="DEPLOYMENT_ABORTED",
    ),
    EntityState.FAILED: StateFacts(
        "Failed",
        "failed",
        "VERSION_STATE_FAILED",
        "SERVICE_STATE_FAILED",
        settled=True,
        explained="VERSION_FAILED",
        deployment="DEPLOYMENT_FAILED",
    ),
}


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """Everything that other modules need to know of an endpoint's state."""

    label: str
    """The state in a person's words."""
    tone: Tone
    endpoint_state: str
    """The state in replies of ``endpoints``: the old product calls an endpoint READY that serves nothing."""
    settled: bool = True
    """Whether ``enable --wait`` stops waiting for the endpoint."""


class EndpointState(str, Enum):
    """Where an endpoint stands as a whole. ``domain/endpoint_status.py`` derives the state from the entities."""

    EMPTY = "EMPTY"
    """Serves nothing: there is no active version."""
    STARTING = "STARTING"
    """No version is ready yet."""
    READY = "READY"
    """At least one version is ready, and none has failed."""
    DEGRADED = "DEGRADED"
    """At least one version is ready, and something has failed."""
    FAILED = "FAILED"
    """Every version has failed."""

    @property
    def facts(self) -> EndpointFacts:
        """What follows from the state."""
        return _ENDPOINT_FACTS[self]


_ENDPOINT_FACTS = {
    EndpointState.EMPTY: EndpointFacts("No versions", "idle", "ENDPOINT_STATE_READY"),
    EndpointState.STARTING: EndpointFacts("Starting", "busy", "ENDPOINT_STATE_PENDING", settled=False),
    EndpointState.READY: EndpointFacts("Ready", "ready", "ENDPOINT_STATE_READY"),
    EndpointState.DEGRADED: EndpointFacts("Degraded", "degraded", "ENDPOINT_STATE_READY"),
    EndpointState.FAILED: EndpointFacts("Failed", "failed", "ENDPOINT_STATE_FAILED"),
}
