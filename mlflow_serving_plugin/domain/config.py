"""Each configuration key of an endpoint, described once: title, help, limits, default and who uses the key. Pure.

All else is derived from the fields of ``EndpointConfig``: the JSON schema (validation, the form in the UI, the
reference page), what a worker is started with, the worker's fingerprint, and the gateway's part of the route. A new
key is one line here, and the line that uses the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from mlflow_serving_plugin.domain.request_log import LOG_SCHEMA
from mlflow_serving_plugin.domain.variables import VARIABLES_SCHEMA

RUNTIMES = ("native", "mlflow")
"""The runtimes this server has."""

CONTROLLER, WORKER, GATEWAY = "controller", "worker", "gateway"
"""Who uses a key. Changing a worker's key replaces the workers; changing any other key does not."""


def _key(default: Any, title: str, help_text: str, *for_: str, **limits: Any) -> Any:
    """A key. ``limits`` are keywords of JSON Schema; ``for_``: at least one of the three above."""
    metadata = {"title": title, "help": help_text, "for_": for_, "limits": limits}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


# fmt: off
@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """How an endpoint's versions are served."""

    replicas: int = _key(1, "Replicas", "Number of workers of each version.", CONTROLLER, minimum=1, maximum=64)
    min_replicas: int | None = _key(
        None, "Fewest replicas",
        "0: a version that was idle for idle_timeout_s ends its workers and sleeps, and the next request wakes the "
        "version. Empty: the server's default, which is as many as replicas.",
        CONTROLLER, minimum=0, maximum=64)
    max_replicas: int | None = _key(
        None, "Most replicas",
        "Maximum number of workers of each version: with more requests in hand a version gets more workers, from "
        "min_replicas up to this number. Empty: the server's default, which is as many as replicas.",
        CONTROLLER, minimum=1, maximum=64)
    target_requests: float | None = _key(
        None, "Requests per replica",
        "Number of requests in hand, scored or waiting, for which a version is given one worker. Counts only where "
        "max_replicas is above min_replicas. Empty: the server's default.",
        CONTROLLER, exclusiveMinimum=0, maximum=1000)
    idle_timeout_s: float | None = _key(
        None, "Idle timeout (s)",
        "Time without a request after which a version sleeps. Counts only with min_replicas 0. Empty: the server's "
        "default.",
        CONTROLLER, exclusiveMinimum=0, maximum=2592000)
    env_manager: str = _key(
        "auto", "Environment manager",
        "What builds the model's Python environment. local uses the server's own environment; auto uses the server's "
        "own where the model asks for exactly that, and otherwise builds one.",
        WORKER, enum=["auto", "uv", "virtualenv", "conda", "local"])
    runtime: str = _key(
        "native", "Runtime",
        "The server inside a worker: native is the plugin's own, mlflow is 'mlflow models serve' as shipped.",
        WORKER, enum=list(RUNTIMES))
    batching: str = _key(
        "auto", "Batching",
        "Score waiting requests together. auto does so for a model whose classes are all known to score row by row; on "
        "is for other models that score each row by itself.",
        WORKER, enum=["auto", "on", "off"])
    max_batch_rows: int = _key(
        256, "Rows in a batch", "Maximum number of rows scored together.", WORKER, minimum=1, maximum=10000)
    max_concurrency: int | None = _key(
        None, "Concurrent predictions",
        "Maximum number of predictions that a worker computes at the same time. 1: one after another, in the thread "
        "that loaded the model, for a model that is not thread-safe. Empty: as many as 'mlflow models serve'. Models "
        "that may be batched compute one at a time in any case. Not for the runtime mlflow.",
        WORKER, minimum=1, maximum=1024)
    max_streams: int | None = _key(
        None, "Concurrent streams",
        "Maximum number of streamed answers that a worker has under way at the same time; further streams wait. Empty: "
        "as many as max_concurrency, or 256. With a max_concurrency of 1 a stream is alone: all other requests wait.",
        WORKER, minimum=1, maximum=4096)
    threads: int | None = _key(
        None, "Threads",
        "Number of threads that BLAS and OpenMP use for one prediction. Empty: one replica leaves the number to the "
        "libraries, and several replicas share the cores of the host, at least 1 each. Variables of the environment "
        "such as OMP_NUM_THREADS go first.",
        WORKER, minimum=1, maximum=1024)
    request_timeout_s: float | None = _key(
        None, "Request timeout (s)", "Maximum time of a prediction. Empty: the server's default.",
        WORKER, GATEWAY, exclusiveMinimum=0, maximum=3600)
    max_cells: int = _key(
        10_000_000, "Cells",
        "Maximum number of cells (values of a table or a tensor) in a request's body; larger bodies get 400.",
        WORKER, GATEWAY, minimum=1000, maximum=2**31 - 1)
    memory_limit_mb: int | None = _key(
        None, "Memory limit (MB)",
        "Maximum memory of a worker; of each process of the worker where the server has no control groups. Empty: the "
        "server's default.",
        WORKER, minimum=64, maximum=1048576)
    cpus: float | None = _key(
        None, "CPUs",
        "Maximum number of CPUs that a worker uses, such as 0.5 or 2. Where the server has no control groups, a worker "
        "is kept to whole CPUs. Empty: no limit.",
        WORKER, exclusiveMinimum=0, maximum=1024)
    priority: str = _key(
        "auto", "Priority",
        "Share of busy processors that a worker gets: background is a tenth of normal. auto: background for the shadow "
        "of a serving endpoint that has no traffic of its own, normal for all others.",
        WORKER, enum=["auto", "normal", "background"])
    max_processes: int = _key(
        256, "Processes", "Maximum number of processes of one worker. A worker with more is restarted.",
        WORKER, minimum=16, maximum=65536)
    max_open_files: int = _key(
        4096, "Open files", "Maximum number of open files and connections of each process of a worker.",
        WORKER, minimum=64, maximum=1048576)
    cache_mb: int | None = _key(
        None, "Cache (MB)",
        "Size of a directory that outlives the workers, for what the model's libraries keep: compiled code, downloaded "
        "weights. XDG_CACHE_HOME names the directory; only versions of the same model share it. A worker beyond the "
        "size is restarted with an empty one. Empty: no such directory. Not for workers placed by Ray.",
        WORKER, minimum=1, maximum=1048576)
    sandbox: str = _key(
        "auto", "Sandbox",
        "Keep the model's code from all files, processes and sockets but its own (Linux). auto: with as many layers as "
        "the server's machine has. on: version fails where namespaces are missing. off: the code runs as the server's "
        "user; means auto unless the server's operator permits that.",
        WORKER, enum=["auto", "on", "off"])
    network: str = _key(
        "on", "Network", "Let the model use the network. off needs the sandbox.", WORKER, enum=["on", "off"])
    tracking: str = _key(
        "off", "Tracking",
        "Let the model's code use this server's tracking API and Model Registry, with the rights of the user who "
        "switches tracking on.",
        WORKER, enum=["off", "on"])
    placement: str = _key(
        "auto", "Placement",
        "Where the workers run: local is the server's host, ray the nodes of its Ray cluster, and auto the host while "
        "it has fewer workers than CPUs. Without MLFLOW_SERVING_BACKEND=ray, auto is local.",
        WORKER, enum=["auto", "local", "ray"])
    gpus: float | None = _key(
        None, "GPUs",
        "GPUs of a worker, such as 1 or 0.5, which its CUDA_VISIBLE_DEVICES names. On a node of a Ray cluster Ray "
        "reserves them; on the server's host they are counted, and a worker waits until enough are free. Empty: not "
        "counted.",
        WORKER, exclusiveMinimum=0, maximum=1024)
    reserve_memory_mb: int | None = _key(
        None, "Reserved memory (MB)",
        "Memory that Ray reserves for a worker; memory_limit_mb is what a worker cannot go beyond. Only for workers "
        "placed by Ray.",
        WORKER, minimum=1, maximum=1048576)
    node_labels: str = _key(
        "", "Node labels",
        "Labels that a node must have to run a worker, such as zone=eu,disk=ssd. Only for workers placed by Ray.",
        WORKER, maxLength=1000, pattern=r"^\s*([\w./-]+\s*=\s*[\w.-]+\s*(,\s*[\w./-]+\s*=\s*[\w.-]+\s*)*)?$")
    default_dialect: str = _key(
        "modern", "Default dialect",
        "Format of the answer to a body that is valid for MLflow 1 and for later versions: modern is the later one.",
        GATEWAY, enum=["modern", "legacy"])
    calls_per_minute: int | None = _key(
        None, "Calls per minute",
        "Maximum number of scoring requests within a minute, of all callers together; more get 429 until the minute is "
        "over. Counted on each host, over all web workers. Empty: no limit.",
        GATEWAY, minimum=0, maximum=1_000_000_000)
    calls_per_minute_per_user: int | None = _key(
        None, "Calls per minute and user",
        "Maximum number of scoring requests of one user within a minute; more get 429 until the minute is over. "
        "Without authentication all callers count as one user. Empty: no limit.",
        GATEWAY, minimum=0, maximum=1_000_000_000)
    request_log: Mapping[str, Any] = _key(
        {}, "Request log",
        "What is logged of requests and answers: an object of enabled, location, format (parquet or delta), "
        "sampling_fraction, max_payload_bytes, redact, retention_days and max_bytes. Empty: nothing.",
        GATEWAY, **LOG_SCHEMA)
    trace_experiment: str = _key(
        "", "Experiment of traces",
        "Experiment for the traces that models make (MLflow Tracing), made at the first trace. Empty: "
        "serving/<endpoint>.",
        GATEWAY, maxLength=200)
    trace_sampling: float = _key(
        1.0, "Sampled traces",
        "Share of the requests whose traces are stored, from 0 to 1. 0: no traces are stored.",
        GATEWAY, minimum=0, maximum=1)
    context_headers: str = _key(
        "", "Headers for the model",
        "Names of request headers, separated by commas, that the model finds in MLflow's prediction context. "
        "Never Authorization and Cookie.",
        GATEWAY, maxLength=1000, pattern=r"^[A-Za-z0-9_\-]*([ ]*,[ ]*[A-Za-z0-9_\-]+)*$")
    environment: Mapping[str, str] = _key(
        {}, "Environment variables", "Variables of the workers. Values can be set, but not read back.",
        WORKER, **VARIABLES_SCHEMA)
    tracking_owner: Mapping[str, str] = field(default_factory=dict, metadata={"for_": (WORKER,), "hidden": True})
    """Whose rights the model's code has with ``tracking: on``: name and account. Never written or read by callers."""
# fmt: on


_HINTS = get_type_hints(EndpointConfig)


def _part(name: str, for_: str) -> Any:
    """A frozen class of the keys that are for one user."""
    chosen = [item for item in fields(EndpointConfig) if for_ in item.metadata["for_"]]
    copies: list[Any] = [
        (item.name, _HINTS[item.name], field(default=item.default, default_factory=item.default_factory))
        for item in chosen
    ]
    return make_dataclass(name, copies, frozen=True, slots=True, namespace={"__module__": __name__})


if TYPE_CHECKING:
    # A type checker takes the parts for the whole; at run time a part has no other keys than its own.
    class WorkerSettings(EndpointConfig):
        """What a worker is started with, by ``resolve``."""

        request_timeout_s: float

    class GatewayConfig(EndpointConfig):
        """What the gateway needs to know, by ``resolve``; part of a route."""

        request_timeout_s: float

    class ScalingConfig(EndpointConfig):
        """How many workers the controller runs of a version, and when, by ``resolve``."""

        min_replicas: int
        max_replicas: int
        target_requests: float
        idle_timeout_s: float

else:
    WorkerSettings = _part("WorkerSettings", WORKER)
    ScalingConfig = _part("ScalingConfig", CONTROLLER)
    GatewayConfig = _part("GatewayConfig", GATEWAY)


def keys_for(user: str) -> tuple[str, ...]:
    """The keys that CONTROLLER, WORKER or GATEWAY uses."""
    return tuple(item.name for item in fields(EndpointConfig) if user in item.metadata["for_"])


_Part = TypeVar("_Part", bound=EndpointConfig)


def part_of(config: EndpointConfig, kind: type[_Part]) -> _Part:
    """The part of a resolved configuration that is for a worker, the gateway or the controller (ScalingConfig)."""
    return kind(**{item.name: getattr(config, item.name) for item in fields(kind)})
