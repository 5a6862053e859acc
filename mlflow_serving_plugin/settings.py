"""Every setting of the server, in one frozen dataclass: the only reader of ``MLFLOW_SERVING_*`` variables.

A field ``hold_timeout_s`` is set by ``MLFLOW_SERVING_HOLD_TIMEOUT_S``. Times are seconds (``_s``) or days,
sizes are bytes.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.setting_values import parse

PREFIX = "MLFLOW_SERVING_"


def _setting(default: Any, help_text: str, *, at_least: float | None = None, one_of: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"help": help_text, "at_least": at_least, "one_of": one_of})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one tracking server. ``mlflow-serving settings`` prints them with these helps."""

    state_dir: str = _setting(
        "",
        "Directory of workers, logs and fetched models. Default: ~/.mlflow/serving/<hash of the database URI>.",
    )
    database_uri: str = _setting(
        "",
        "Database of the plugin's own tables. Default: the tracking server's, or SQLite in the state directory.",
    )
    base_app: str = _setting(
        "", "Auth app that serving is wrapped around: basic-auth, oidc-auth or another. Default: none."
    )
    auth_cache_s: float = _setting(
        5.0, "How long a checked password or permission is cached; a change takes effect after this time.", at_least=0
    )
    auth_outage_s: float = _setting(
        300.0, "While the auth database is unreachable, accept callers verified within this time.", at_least=0
    )
    sandbox_by_default: bool = _setting(True, "Sandbox every endpoint whose `sandbox` is `auto`.")
    sandbox_optional: bool = _setting(
        False, "Let whoever may manage a model turn its sandbox off, and so run its code as the server's user."
    )
    sandbox_readable_paths: str = _setting(
        "", "Files and directories that every model in the sandbox may read, such as a cache; separated by colons."
    )
    sandbox_writable_paths: str = _setting(
        "", "Files and directories that every model in the sandbox may read and change; separated by colons."
    )
    poll_interval_s: float = _setting(
        30.0, "How often the registry is read for changes that were not made through this server.", at_least=0.1
    )
    tick_interval_s: float = _setting(1.0, "How often the controller checks the workers.", at_least=0.05)
    hold_timeout_s: float = _setting(
        30.0, "How long a request waits for a version that is starting; then it gets 503.", at_least=0
    )
    request_timeout_s: float = _setting(
        60.0, "Timeout of a prediction, unless the endpoint's configuration has its own.", at_least=0.001
    )
    overdue_grace_s: float = _setting(
        1.0, "How long a prediction may continue after its timeout before its worker is restarted.", at_least=0
    )
    body_timeout_s: float = _setting(
        30.0,
        "How long a client may pause while sending a body or receiving a large reply. A whole body: ten times as long.",
        at_least=0.1,
    )
    max_body_bytes: int = _setting(
        16 * 1024 * 1024, "Maximum size of a request body; larger bodies get 413.", at_least=1
    )
    max_in_flight: int = _setting(
        1000, "Maximum number of requests in flight for one version in one web worker; more get 429.", at_least=1
    )
    max_waiting_bytes: int = _setting(
        256 * 1024 * 1024, "Maximum bytes of request bodies in the memory of one web worker; more get 429.", at_least=1
    )
    memory_limit_mb: int = _setting(
        0,
        "Maximum memory (MB) of each process of a worker, unless the endpoint's configuration has its own. "
        "0: three quarters of the machine's memory. -1: no limit.",
        at_least=-1,
    )
    min_replicas: int = _setting(
        -1,
        "Fewest workers of a version, unless the endpoint's configuration has its own. 0: every version sleeps while "
        "idle, and a request wakes the version. -1: as many as the endpoint's `replicas`.",
        at_least=-1,
    )
    max_replicas: int = _setting(
        0,
        "Most workers of a version, unless the endpoint's configuration has its own. 0: as many as the endpoint's "
        "`replicas`.",
        at_least=0,
    )
    target_requests: float = _setting(
        8.0,
        "Requests in hand, scored or waiting, for which a version is given one worker, unless the endpoint's "
        "configuration has its own. Counts only where the most replicas are above the fewest.",
        at_least=0.1,
    )
    idle_timeout_s: float = _setting(
        1800.0,
        "Time without a request after which a version sleeps, unless the endpoint's configuration has its own. "
        "Counts only where the fewest replicas are 0.",
        at_least=0.1,
    )
    max_memory_bytes: int = _setting(
        0,
        "Maximum memory of all workers of this host together. A worker that would take more makes the versions sleep "
        "that may sleep and were idle for longest, or waits. 0: 80 % of the memory of the machine, or of the server's "
        "control group. -1: no limit.",
        at_least=-1,
    )
    max_workers: int = _setting(
        0, "Maximum number of workers of this host, kept like `max_memory_bytes`. 0: no limit.", at_least=0
    )
    start_timeout_s: float = _setting(900.0, "Timeout from the start of a worker to its first prediction.", at_least=1)
    max_concurrent_starts: int = _setting(
        os.cpu_count() or 2, "Maximum number of workers that start at the same time.", at_least=1
    )
    max_concurrent_fetches: int = _setting(2, "Maximum number of model downloads at the same time.", at_least=1)
    gpus: str = _setting(
        "",
        "GPUs of this host for workers with `gpus`, as in CUDA_VISIBLE_DEVICES, such as 0,1. Default: those of the "
        "server's CUDA_VISIBLE_DEVICES, else those in /dev.",
    )
    backend: str = _setting(
        "local",
        "Where workers run. local: as processes of this host. ray: also on the nodes of a Ray cluster, see `placement` "
        "in an endpoint's configuration; needs the extra `ray`.",
        one_of=("local", "ray"),
    )
    ray_address: str = _setting(
        "", "Address of the Ray cluster, such as 10.0.0.1:6379. Default: the cluster that this host is a node of."
    )
    ray_ports: str = _setting(
        "", "Ports of which each node takes one for its workers, such as 20000-20100. Default: any free port."
    )
    ray_node_dir: str = _setting(
        "",
        "Directory on each node for workers, models and environments. Default: one in the node's directory for "
        "temporary files.",
    )
    environments_dir: str = _setting(
        "", "Directory of the Python environments built for models. Default: a folder of the state directory."
    )
    environments_max_bytes: int = _setting(
        50 * 1024**3,
        "Total size above which the least recently used environments are evicted, except those in use.",
        at_least=0,
    )
    max_concurrent_builds: int = _setting(1, "Maximum number of environments built at the same time.", at_least=1)
    build_timeout_s: float = _setting(1800.0, "Timeout of an environment's build.", at_least=1)
    index_url: str = _setting(
        "", "Package index for building environments. Default: the one that uv or pip are configured with."
    )
    extra_index_urls: str = _setting("", "More package indexes, searched before `index_url`; separated by spaces.")
    constraints_file: str = _setting("", "File of constraints for every environment that is built, in pip's format.")
    offline: bool = _setting(False, "Build environments without network: no index, no download of a Python.")
    only_binary: bool = _setting(
        False, "Install wheels only, so that building an environment runs no code of its packages."
    )
    stop_grace_s: float = _setting(
        5.0, "How long a stopping worker may finish its work before it is killed.", at_least=0
    )
    orphan_grace_s: float = _setting(
        300.0,
        "How long a worker keeps running without a controller: longer than the server takes to start again.",
        at_least=1,
    )
    backoff_base_s: float = _setting(
        2.0, "Delay of the retry after a version's first failure; doubles with each failure.", at_least=0
    )
    backoff_cap_s: float = _setting(300.0, "Maximum delay before a failed version is retried.", at_least=0)
    event_retention_days: float = _setting(30.0, "Events older than this are deleted.", at_least=0)
    audit_retention_days: float = _setting(365.0, "Entries of the audit older than this are deleted.", at_least=0)
    log_max_bytes: int = _setting(10 * 1024 * 1024, "Size at which a version's log is rotated.", at_least=1024)
    log_backups: int = _setting(2, "Number of rotated logs kept for each version.", at_least=0)
    request_log_roots: str = _setting(
        "",
        "Places below which an endpoint's `request_log` may be: directories, s3://, gs:// or abfss:// URIs, separated "
        "by commas. Default: a folder of the state directory.",
    )
    request_log_waiting_bytes: int = _setting(
        2**30, "Size of what waits on this host's disk to be written to request logs. More is dropped.", at_least=0
    )
    history_max_bytes: int = _setting(
        512 * 1024**2,
        "Maximum size of the history that charts are drawn from: 24 hours in steps of ten seconds and 30 days in steps "
        "of five minutes, or as much as fits. 0: no history.",
        at_least=0,
    )
    grpc_port: int = _setting(
        0,
        "Port of the Open Inference Protocol (V2) over gRPC; needs the extra `[grpc]`. 0: no gRPC.",
        at_least=0,
    )
    grpc_host: str = _setting("127.0.0.1", "Address on which gRPC listens; 0.0.0.0: on all of the machine.")
    grpc_certificate_file: str = _setting(
        "", "File of the certificate chain of gRPC, in PEM. Default: gRPC without TLS."
    )
    grpc_key_file: str = _setting("", "File of the certificate's private key, in PEM.")
    tracking_uri: str = _setting(
        "",
        "Address of this server for models with `tracking: on`, with its static prefix, such as http://10.0.0.1:5000. "
        "Default: that of `mlflow server` on this host, unless options of the web server hide it.",
    )
    access_log: bool = _setting(False, "Write one line for each scoring request to the web server's access log.")
    debug: bool = _setting(False, "Show the traceback of a model's error to the caller.")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read ``MLFLOW_SERVING_*``; raise ConfigurationError naming the variable that is wrong."""
        values: dict[str, Any] = {}
        for item in fields(cls):
            name = PREFIX + item.name.upper()
            raw = environ.get(name)
            if raw is not None and raw != "":
                values[item.name] = parse(name, raw, item.default, item.metadata["at_least"], item.metadata["one_of"])
        return cls(**values)


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """One sentence for each ``MLFLOW_SERVING_*`` variable that is no setting, with the nearest name of one."""
    known = {PREFIX + item.name.upper() for item in fields(Settings)}
    sentences = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            hint = f" Did you mean {nearest[0]}?" if nearest else " `mlflow-serving settings` lists all settings."
            sentences.append(f"{name} is no setting and has no effect.{hint}")
    return sentences


def default_state_dir(database_uri: str) -> Path:
    """The state directory of the servers that use this database: the same on each start."""
    key = hashlib.sha256(database_uri.encode()).hexdigest()[:12]
    return Path.home() / ".mlflow" / "serving" / key
