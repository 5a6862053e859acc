"""The contract between the controller and a backend, which runs workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Protocol

from mlflow_serving_plugin import __version__
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey, Example
from mlflow_serving_plugin.environments.ready import Environment, own_environment
from mlflow_serving_plugin.environments.recipe import Recipe
from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.host.memory import Taken
from mlflow_serving_plugin.worker import wire

OVERDUE = "A prediction ran on long after its request timeout."
"""Why a worker drains or is ended, for a person."""


class WorkerFailedError(ServingError):
    """A worker did not become ready; the message is the reason, for a person."""


class NoRoomError(WorkerFailedError):
    """Others hold what the worker needs. Nothing is wrong with the version, which waits."""


class OutOfSightError(WorkerFailedError):
    """A worker may have come that nobody here has seen yet."""


class WorkerPhase(str, Enum):
    """Where one worker stands."""

    STARTING = "STARTING"
    READY = "READY"
    """It has answered a real prediction."""
    DRAINING = "DRAINING"
    """It finishes the predictions that it has begun, takes no more requests, and ends."""
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """All that a backend needs to start a worker. ``log`` is shared by the workers of a version.

    ``example`` None: the model was logged without one, and readiness is an answered ping. ``model_dir`` and
    ``environment`` are on this host; ``source`` (the version's artifact URI) and ``recipe`` are what a backend on
    another host fetches and builds the same from. ``replicas``: the most workers that the
    version has on a host. ``cache``: a directory of this host for what the model's libraries keep, as large as
    ``settings.cache_mb``; None without.
    """

    key: EntityKey
    fingerprint: str
    model_dir: Path
    log: Path
    settings: WorkerSettings
    example: Example | None
    environment: Environment = field(default_factory=own_environment)
    source: str = ""
    recipe: Recipe | None = None
    replicas: int = 1
    cache: Path | None = None
    tracking: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The variables that let the model's code use the server's tracking API, a token among them."""
    token_id: str = ""

    @property
    def writable(self) -> list[Path]:
        """What the worker may change on this host, besides its temporary files."""
        return [self.cache] if self.cache else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker that was started, and where it answers. Times in milliseconds since 1970."""

    worker_id: str
    key: EntityKey
    fingerprint: str
    protocol: str
    address: str
    started_ms: int
    pid: int | None = None
    """None for a worker on another host."""
    secret: str = field(default="", repr=False)
    """What callers from other hosts prove that they know, see ``relay.proof``; empty on a unix socket."""
    ready_since_ms: int | None = None
    scored_example: bool = True
    """Whether it has answered the model's own input example; one without an example only answered a ping."""
    example_form: int | None = 0
    """Which of the example's forms it has answered; None: it has refused all of them."""
    example_note: str = ""
    """What it answered, for a person, when it has refused a form of the model's own example; without any data."""

    node: str = ""
    """The node of the cluster that it runs on; empty on this host."""
    token_id: str = ""
    """The token with which the model's code uses the server's tracking API, for whoever ends the worker."""
    sandbox: str = ""
    """What isolates it, for a person; empty when its sandbox is off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus(Worker):
    """One worker as the backend sees it now. ``message`` says why it is dead."""

    phase: WorkerPhase
    message: str = ""
    note: str = ""
    """What the worker says of itself, for a person: whether it batches, and why."""
    has_served: bool = False
    """Whether it has answered enough requests to show that the model can be served."""

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        return self.phase is WorkerPhase.READY


@dataclass(frozen=True, slots=True)
class Memory:
    """What the workers of this host take, by their ids; ``kept_ready``: bytes of what is kept ready for launches."""

    workers: Mapping[str, Taken] = field(default_factory=dict)
    kept_ready: int = 0


def fingerprint(source: str, settings: WorkerSettings) -> str:
    """Names what a worker serves and how; a worker with another fingerprint is replaced."""
    named = {item.name: getattr(settings, item.name) for item in fields(settings)}
    if settings.runtime == "native":
        # Each request to a native worker carries its own timeout.
        del named["request_timeout_s"]
    text = json.dumps([__version__, wire.VERSION, source, named], sort_keys=True, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_NOT_PUBLIC = ("environment", "tracking_owner")


def worker_arguments(settings: WorkerSettings) -> dict[str, object]:
    """The settings as a worker, its guard and its zygote read them. Not the variables: a command line is public."""
    return {name: value for name, value in asdict(settings).items() if name not in _NOT_PUBLIC}


class Backend(Protocol):
    """Runs workers. Thread-safe; ``launch`` and ``stop`` block, ``observe`` does not."""

    def adopt(self) -> None:
        """Find the workers that an earlier controller started."""

    def launch(self, spec: WorkerSpec) -> None:
        """Start a worker and wait until it is READY; WorkerFailedError, with no process left, when that fails."""

    def observe(self) -> list[WorkerStatus]:
        """Every worker that was launched or adopted and not yet forgotten."""

    def memory(self) -> Memory:
        """What the workers take now. Blocks: takes milliseconds for each worker."""

    def stop(self, worker_id: str, *, at_once: bool = False) -> None:
        """End a worker, let requests in flight finish within the grace, and forget it. Unknown ids are fine.

        ``at_once``: it hangs, give it no grace.
        """

    def retain(self, environments: Collection[Environment]) -> None:
        """Release what is kept ready for launches in other environments than these. Blocks."""

    def cancel(self) -> None:
        """Make running ``launch`` calls give up soon; their workers live on and can be adopted."""
