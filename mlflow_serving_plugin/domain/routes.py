"""The routes snapshot: all that the gateway and the API need to know, published by the controller of the host."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import TypeAdapter

from mlflow_serving_plugin.domain.config import GatewayConfig
from mlflow_serving_plugin.domain.reference import Reference
from mlflow_serving_plugin.domain.states import EndpointState, EntityState
from mlflow_serving_plugin.errors import NotFoundError

FORMAT = 2
"""Raised when the snapshot's shape changes; a reader sets another format aside."""


@dataclass(frozen=True, slots=True)
class WorkerRoute:
    """Where one worker answers. ``protocol`` ``http``: HTTP/1.1 on the unix socket ``address``."""

    worker_id: str
    protocol: str
    address: str
    pid: int
    started_ms: int
    ready: bool


@dataclass(frozen=True, slots=True)
class EntityRoute:
    """One served version as this host sees it. ``workers`` holds those that are up; only ready ones score."""

    number: int
    state: EntityState
    message: str
    stage: str
    since_ms: int
    model_dir: str | None = None
    """The fetched model files, None until they are there."""
    note: str = ""
    """What its worker says of itself: whether it batches, and why."""
    workers: tuple[WorkerRoute, ...] = ()
    environment: str = ""
    """The Python environment it runs in, for a person; empty until that is there."""
    scored_example: bool = False
    """Whether a ready worker has answered the model's own input example."""
    build_log: str | None = None
    """The log of that environment's build, None for the server's own."""

    @property
    def ready_workers(self) -> tuple[WorkerRoute, ...]:
        """The workers that may be sent requests."""
        return tuple(worker for worker in self.workers if worker.ready)


@dataclass(frozen=True, slots=True)
class EndpointRoute:
    """One endpoint as this host sees it: its versions, and what stages and aliases point at."""

    id: str
    workspace: str
    name: str
    state: EndpointState
    message: str
    config: GatewayConfig
    versions: dict[int, EntityRoute] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)

    def resolve(self, reference: Reference) -> EntityRoute:
        """The version that a reference names; NotFoundError says what is served instead.

        A stage held by several versions answers with the highest number, as MLflow does. ``latest`` is the
        highest number that is ready (so a new version takes over once it answers), else the highest.
        """
        number = self._number(reference)
        found = self.versions.get(number) if number is not None else None
        if found is None:
            raise NotFoundError(f"'{reference}' is not served. {self._served_now()}")
        return found

    def _number(self, reference: Reference) -> int | None:
        if reference.kind == "version":
            # A number that is not an int64 is no version, and Python refuses to read one of thousands of digits.
            return int(reference.value) if len(reference.value) < 19 else None
        if reference.kind == "alias":
            return self.aliases.get(reference.value)
        if reference.kind == "latest":
            ready = [n for n, v in self.versions.items() if v.state is EntityState.READY]
            return max(ready or self.versions, default=None)
        wanted = reference.value.lower()
        return max((n for n, v in self.versions.items() if v.stage.lower() == wanted), default=None)

    def stages(self) -> dict[str, int]:
        """Each stage but ``None`` that a served version holds, with the version that answers for it."""
        return {
            version.stage: number
            for number, version in sorted(self.versions.items())
            if version.stage.lower() != "none"
        }

    def _served_now(self) -> str:
        if not self.versions:
            return f"Model '{self.name}' has serving enabled and no active version."
        parts = ["versions " + ", ".join(str(n) for n in sorted(self.versions))]
        if stages := self.stages():
            parts.append("stages " + ", ".join(f"{s} ({n})" for s, n in sorted(stages.items())))
        if self.aliases:
            parts.append("aliases " + ", ".join(f"@{a} ({n})" for a, n in sorted(self.aliases.items())))
        return f"Served now: {'; '.join(parts)}."


@dataclass(frozen=True, slots=True)
class Routes:
    """Everything served on this host. ``endpoints`` is keyed by ``routes_key(workspace, name)``."""

    format: int = FORMAT
    written_ms: int = 0
    endpoints: dict[str, EndpointRoute] = field(default_factory=dict)

    def endpoint(self, workspace: str, name: str) -> EndpointRoute:
        """The endpoint of a model; NotFoundError when serving is not enabled on it."""
        found = self.endpoints.get(routes_key(workspace, name))
        if found is None:
            raise NotFoundError(f"Serving is not enabled on registered model '{name}'.")
        return found


def routes_key(workspace: str, name: str) -> str:
    """The key of a model in the snapshot. Neither part can contain a slash."""
    return f"{workspace}/{name}"


_adapter = TypeAdapter(Routes)


def dump_routes(routes: Routes) -> bytes:
    """The snapshot as JSON."""
    return _adapter.dump_json(routes)


def load_routes(data: bytes) -> Routes:
    """The snapshot from JSON; ValueError when it is damaged or of another format."""
    routes = _adapter.validate_json(data)
    if routes.format != FORMAT:
        raise ValueError(f"routes snapshot of format {routes.format}, expected {FORMAT}")
    return routes
