"""The routes snapshot: all that the gateway and the API need to know, published by the controller of the host."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from mlflow_serving_plugin.domain.config import GatewayConfig
from mlflow_serving_plugin.domain.entity import EntityKey, ModelRef, name_order
from mlflow_serving_plugin.domain.library import Library
from mlflow_serving_plugin.domain.reference import ENTITY, Reference
from mlflow_serving_plugin.domain.states import EndpointState, EntityState
from mlflow_serving_plugin.domain.traffic import Shadow
from mlflow_serving_plugin.errors import NotFoundError

FORMAT = 6
"""Raised when the snapshot's shape changes. A reader sets a snapshot of another format aside."""


@dataclass(frozen=True, slots=True)
class WorkerRoute:
    """Where one worker answers. ``protocol`` ``http``: HTTP/1.1 on the unix socket ``address``."""

    worker_id: str
    protocol: str
    address: str
    pid: int | None
    """None for a worker on another host."""
    started_ms: int
    ready: bool
    secret: str = field(default="", repr=False)
    """What callers from other hosts prove that they know; empty on a unix socket, which file permissions guard."""
    node: str = ""
    """The node of the cluster that it runs on; empty on this host."""
    draining: bool = False
    """Whether it takes no more requests, finishes those that it has, and ends."""


@dataclass(frozen=True, slots=True)
class EntityRoute:
    """One entity as this host sees it. ``workers`` holds the workers that are up; only ready workers score."""

    key: EntityKey
    model: ModelRef
    state: EntityState
    message: str
    stage: str
    since_ms: int
    model_dir: str | None = None
    """The fetched model files, None until they are there."""
    note: str = ""
    """What a worker reports about itself: whether it batches, and why."""
    workers: tuple[WorkerRoute, ...] = ()
    environment: str = ""
    """The Python environment of the workers, for a person; empty until the environment is there."""
    scored_example: bool = False
    """Whether a ready worker has answered the model's own input example."""
    example_form: int | None = 0
    """Which of the example's forms the model takes; None: the model refuses its own example."""
    example_note: str = ""
    """Why the model refuses its own example, or a form of it, for a person."""
    libraries: tuple[Library, ...] = ()
    """What the model was logged with, beside what it runs with; empty when the model's files do not say."""
    mlflow_version: str = ""
    """The version of MLflow that serves the model; empty until the environment is there."""
    build_log: str | None = None
    """The log of the environment's build, None for the server's own environment."""
    replicas: int = 1
    """How many workers the entity is to have."""
    changing: bool = False
    """Whether workers of the present configuration are still to come, or older workers to go."""
    retry_ms: int | None = None
    """When a failed start is tried again, in milliseconds since 1970; None without a failure."""
    served_name: str = ""
    """The name that a serving endpoint gives the entity."""
    asks: bool = False
    """Whether the model's code may ask who calls, and may make traces."""

    @property
    def name(self) -> str:
        """The entity's name within its endpoint."""
        return self.key.name

    @property
    def title(self) -> str:
        """The entity in a sentence."""
        return f"entity '{self.served_name}'" if self.served_name else f"version {self.name}"

    @property
    def degraded(self) -> bool:
        """Whether the entity serves, but not as it was last asked to: the message says why."""
        return self.state is EntityState.READY and bool(self.message)

    @property
    def settled(self) -> bool:
        """Whether nothing more happens by itself, but for retries of what has failed."""
        failed = self.degraded or self.state is EntityState.FAILED
        return self.state.facts.settled and (failed or not self.changing)

    @property
    def explanation(self) -> str:
        """What to tell a person beside the state."""
        return self.message or self.example_note

    @property
    def worker_states(self) -> Counter[str]:
        """The number of workers that are ``ready``, ``starting`` and ``draining``."""
        leaves = self.state is EntityState.DRAINING
        return Counter(
            "ready" if worker.ready else "draining" if leaves or worker.draining else "starting"
            for worker in self.workers
        )

    @property
    def ready_workers(self) -> tuple[WorkerRoute, ...]:
        """The workers that may be sent requests."""
        return tuple(worker for worker in self.workers if worker.ready)


@dataclass(frozen=True, slots=True)
class EndpointRoute:
    """One endpoint as this host sees it: the names of its entities, and what stages and aliases point at."""

    id: str
    workspace: str
    name: str
    state: EndpointState
    message: str
    config: GatewayConfig
    entities: tuple[str, ...] = ()
    """Entities that take requests, in the order of their names; versions by number."""
    draining: tuple[str, ...] = ()
    """Entities that only finish the requests in flight."""
    latest: str | None = None
    """The newest entity that is ready, so that a new version takes over once it answers; else the newest."""
    stages: dict[str, str] = field(default_factory=dict)
    """Stage → entity, the stage ``None`` too, which MLflow can resolve."""
    aliases: dict[str, str] = field(default_factory=dict)
    latest_message: str = ""
    """Why ``latest`` is not the newest entity; empty when it is."""
    reason: str | None = None
    """The entity that the state and the message come from."""
    inactive: dict[str, str] = field(default_factory=dict)
    """Version → why the version is not served: it is archived, or not registered completely."""
    generation: int = 0
    """The endpoint's generation that all of this was derived from."""
    served: dict[str, str] = field(default_factory=dict)
    """Of a serving endpoint: the name that people know → entity, of those that answer."""
    traffic: tuple[tuple[str, int], ...] = ()
    """Of a serving endpoint: entities and their percentages."""
    shadow: Shadow | None = None
    """Of a serving endpoint: the entity, by its name here, that scores requests once more."""
    models: tuple[str, ...] | None = None
    """Of a serving endpoint: the registered models that a caller has to be allowed to read; None: ``name`` alone."""

    def resolve(self, reference: Reference) -> str:
        """The name of the entity that a reference means, stages in any case; NotFoundError says what is served."""
        if reference.kind == "version":
            found = reference.value if reference.value in self.entities else None
        elif reference.kind == "alias":
            found = self.aliases.get(reference.value)
        elif reference.kind == "latest":
            found = self.latest
        elif reference.kind == ENTITY:
            found = self.served.get(reference.value)
        else:
            wanted = reference.value.lower()
            found = next((name for stage, name in self.stages.items() if stage.lower() == wanted), None)
        if found is None:
            raise NotFoundError(f"'{reference}' is not served. {self._served_now()}")
        return found

    def named_stages(self) -> dict[str, str]:
        """Stage → entity without the stage ``None``, by stage."""
        return {stage: name for stage, name in sorted(self.stages.items()) if stage.lower() != "none"}

    def _served_now(self) -> str:
        if self.models is not None:
            return f"Entities of the endpoint: {', '.join(self.served)}."
        if not self.entities:
            return f"Model '{self.name}' has serving enabled and no active version."
        parts = ["versions " + ", ".join(self.entities)]
        if stages := self.named_stages():
            parts.append("stages " + ", ".join(f"{s} ({n})" for s, n in stages.items()))
        if self.aliases:
            parts.append("aliases " + ", ".join(f"@{a} ({n})" for a, n in sorted(self.aliases.items())))
        return f"Served now: {'; '.join(parts)}."


@dataclass(frozen=True, slots=True)
class Routes:
    """Everything served on this host.

    ``endpoints`` is keyed by ``routes_key(workspace, name)``, ``entities`` by ``str(EntityKey)``. The entities of an
    endpoint that was just disabled outlive the endpoint here until their workers have finished.
    """

    format: int = FORMAT
    written_ms: int = 0
    endpoints: dict[str, EndpointRoute] = field(default_factory=dict)
    entities: dict[str, EntityRoute] = field(default_factory=dict)

    def endpoint(self, workspace: str, name: str, *, serving: bool = False) -> EndpointRoute:
        """The endpoint of a model, or (``serving``) a serving endpoint; NotFoundError."""
        found = self.endpoints.get((serving_key if serving else routes_key)(workspace, name))
        if found is None:
            raise NotFoundError((no_such_endpoint if serving else not_enabled)(name))
        return found

    def only(self, endpoint_id: str) -> Routes:
        """The routes of one endpoint."""
        return replace(self, endpoints={key: e for key, e in self.endpoints.items() if e.id == endpoint_id})

    def entities_of(self, endpoint: EndpointRoute) -> list[EntityRoute]:
        """The entities of an endpoint, those that drain too, by name."""
        names = sorted({*endpoint.entities, *endpoint.draining}, key=name_order)
        return [self.entities[f"{endpoint.id}/{name}"] for name in names]

    def resolve(self, workspace: str, reference: Reference) -> tuple[EndpointRoute, EntityRoute]:
        """The endpoint and the entity that a reference means; NotFoundError."""
        endpoint = self.endpoint(workspace, reference.name, serving=reference.of_serving_endpoint)
        entity = self.entities.get(f"{endpoint.id}/{endpoint.resolve(reference)}")
        if entity is None:
            raise NotFoundError(f"The registry has no model version for '{reference}'.")
        return endpoint, entity


def not_enabled(name: str) -> str:
    """What a caller is told of a model that is not served, or that the caller may not read."""
    return f"Serving is not enabled on registered model '{name}', or you have no READ permission on the model."


def no_such_endpoint(name: str) -> str:
    """What a caller is told of a serving endpoint that does not exist, or of which the caller may not read a model."""
    return f"There is no serving endpoint '{name}', or you have no READ permission on a model that it serves."


def routes_key(workspace: str, name: str) -> str:
    """The key of an endpoint in the snapshot. Neither part can contain a slash."""
    return f"{workspace}/{name}"


def serving_key(workspace: str, name: str) -> str:
    """The key of a serving endpoint, which may have the name of a registered model."""
    return f"{workspace}/serving-endpoints/{name}"
