"""Every setting of the server, in one frozen dataclass: the only reader of ``MLFLOW_SERVING_*`` variables.

A field ``hold_timeout_s`` is set by ``MLFLOW_SERVING_HOLD_TIMEOUT_S``. Times are seconds (``_s``) or days,
sizes are bytes.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.errors import ConfigurationError

PREFIX = "MLFLOW_SERVING_"


def _setting(default: Any, help_text: str, *, at_least: float | None = None) -> Any:
    return field(default=default, metadata={"help": help_text, "at_least": at_least})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one tracking server. ``mlflow-serving settings`` prints them with these helps."""

    state_dir: str = _setting(
        "",
        "Directory for workers, logs and fetched models. Default: ~/.mlflow/serving/<key of the database>.",
    )
    database_uri: str = _setting(
        "",
        "Database of the plugin's own tables. Default: the tracking server's, or SQLite in the state directory.",
    )
    base_app: str = _setting(
        "", "The app that serving is wrapped around: basic-auth, oidc-auth or another. Default: MLflow without one."
    )
    auth_cache_s: float = _setting(
        5.0, "How long a checked password or permission is believed; a change counts after this time.", at_least=0
    )
    auth_outage_s: float = _setting(
        300.0, "How long somebody checked before is let in while nobody can be checked.", at_least=0
    )
    sandbox_by_default: bool = _setting(
        False, "Run the models in the sandbox (bubblewrap) whose endpoint says neither on nor off."
    )
    poll_interval_s: float = _setting(
        30.0, "How often the registry is read for changes made behind the server's back.", at_least=0.1
    )
    tick_interval_s: float = _setting(1.0, "How often workers are looked at.", at_least=0.05)
    hold_timeout_s: float = _setting(30.0, "How long a request waits for a version that is starting.", at_least=0)
    request_timeout_s: float = _setting(
        60.0, "How long a prediction may take, unless the endpoint says otherwise.", at_least=0.001
    )
    overdue_grace_s: float = _setting(
        1.0, "How long a prediction may run past its timeout before its worker is restarted.", at_least=0
    )
    body_timeout_s: float = _setting(
        30.0,
        "How long a client may pause while it sends a body or takes a large reply; a body, ten times as long.",
        at_least=0.1,
    )
    max_body_bytes: int = _setting(16 * 1024 * 1024, "Largest request body.", at_least=1)
    max_in_flight: int = _setting(
        1000, "Requests that may wait on one version in one web worker; more get 429.", at_least=1
    )
    max_waiting_bytes: int = _setting(
        256 * 1024 * 1024, "Bytes of request bodies that one web worker holds at a time; more get 429.", at_least=1
    )
    start_timeout_s: float = _setting(
        900.0, "How long a worker may take from start to its first prediction.", at_least=1
    )
    max_concurrent_starts: int = _setting(
        os.cpu_count() or 2, "Workers that may be starting at the same time.", at_least=1
    )
    max_concurrent_fetches: int = _setting(2, "Model downloads at the same time.", at_least=1)
    environments_dir: str = _setting(
        "", "Directory of the Python environments built for models. Default: in the state directory."
    )
    environments_max_bytes: int = _setting(
        50 * 1024**3, "Size above which the least recently used environments are removed, none in use.", at_least=0
    )
    max_concurrent_builds: int = _setting(1, "Environments built at the same time.", at_least=1)
    build_timeout_s: float = _setting(1800.0, "How long an environment may take to build.", at_least=1)
    index_url: str = _setting(
        "", "Package index for building environments. Default: what uv or pip use on this machine."
    )
    extra_index_urls: str = _setting("", "Further package indexes, looked in first; separated by blanks.")
    constraints_file: str = _setting("", "Constraints for every environment that is built, in pip's format.")
    offline: bool = _setting(False, "Build from what is on this machine: no index, no download of a Python.")
    only_binary: bool = _setting(False, "Install wheels only, so that building runs no code of the packages.")
    stop_grace_s: float = _setting(5.0, "How long a worker gets to finish before it is killed.", at_least=0)
    orphan_grace_s: float = _setting(30.0, "How long a worker lives on without a controller.", at_least=1)
    backoff_base_s: float = _setting(2.0, "Wait after a version's first failure; doubles with each.", at_least=0)
    backoff_cap_s: float = _setting(300.0, "Longest wait before a failed version is tried again.", at_least=0)
    event_retention_days: float = _setting(30.0, "Events older than this are removed.", at_least=0)
    log_max_bytes: int = _setting(10 * 1024 * 1024, "Size at which a worker's log is rotated.", at_least=1024)
    log_backups: int = _setting(2, "Rotated logs kept per worker.", at_least=0)
    access_log: bool = _setting(False, "Write a line for each scoring request to the web server's access log.")
    debug: bool = _setting(False, "Show a model's traceback to the caller.")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read ``MLFLOW_SERVING_*``; raise ConfigurationError naming the variable that is wrong."""
        values: dict[str, Any] = {}
        for item in fields(cls):
            name = PREFIX + item.name.upper()
            raw = environ.get(name)
            if raw is not None and raw != "":
                values[item.name] = _parse(name, raw, item.default, item.metadata["at_least"])
        return cls(**values)


def _parse(name: str, raw: str, default: Any, at_least: float | None) -> Any:
    if isinstance(default, bool):
        if raw.lower() in {"1", "true", "yes", "on"}:
            return True
        if raw.lower() in {"0", "false", "no", "off"}:
            return False
        raise ConfigurationError(f"{name} is {raw!r}, but must be true or false.")
    if isinstance(default, str):
        return raw
    try:
        value = type(default)(raw)
    except ValueError:
        value = math.nan
    # Infinity is no time that a selector or a command line takes.
    if isinstance(value, float) and not math.isfinite(value):
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise ConfigurationError(f"{name} is {raw!r}, but must be {kind}.")
    if at_least is not None and value < at_least:
        raise ConfigurationError(f"{name} is {raw!r}, but must be at least {at_least}.")
    return value


def default_state_dir(database_uri: str) -> Path:
    """The state directory for servers of this database: the same on each start, apart from any other's."""
    key = hashlib.sha256(database_uri.encode()).hexdigest()[:12]
    return Path.home() / ".mlflow" / "serving" / key
