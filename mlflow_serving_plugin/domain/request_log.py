"""How an endpoint's requests are logged: the keys of ``request_log``, and where a log may be. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import quote, unquote

from mlflow_serving_plugin.errors import InvalidParameterError

WHOLE_REQUEST, WHOLE_RESPONSE = "$request", "$response"
"""In ``redact``: all of the body."""

_SCHEMES = ("s3", "gs", "abfss", "file")
_PLAIN_IN_URIS = "/@:+,;=!$&'()*~"
_URI = re.compile(r"(?P<scheme>[a-z0-9+.-]+)://(?P<path>[^?#]*)")

_LOCATION = r"^(abfss://[^\x00-\x1f?#@:/]+@)?[^\x00-\x1f?#@]+$(?!\n)"
"""Without credentials. A container of Azure has its account behind an @. Python lets a line end stand before ``$``."""

LOG_SCHEMA: dict[str, Any] = {
    "maxProperties": 8,
    "additionalProperties": False,
    "properties": {
        "enabled": {"type": "boolean"},
        "location": {"type": "string", "minLength": 1, "maxLength": 1000, "pattern": _LOCATION},
        "format": {"enum": ["parquet", "delta"]},
        "sampling_fraction": {"type": "number", "minimum": 0, "maximum": 1},
        "max_payload_bytes": {"type": "integer", "minimum": 0, "maximum": 64 * 2**20},
        "redact": {"type": "array", "maxItems": 200, "items": {"type": "string", "minLength": 1, "maxLength": 500}},
        "retention_days": {"type": "number", "exclusiveMinimum": 0, "maximum": 3650},
        "max_bytes": {"type": "integer", "minimum": 2**20, "maximum": 2**50},
    },
}
"""As keywords of JSON Schema. A key that is left out has the default of ``LogConfig``."""


@dataclass(frozen=True, slots=True)
class LogConfig:
    """The keys of ``request_log``."""

    enabled: bool = False
    location: str = ""
    """Below this place the log has a directory of its own; empty: the first of the server's roots."""
    format: str = "parquet"
    sampling_fraction: float = 1.0
    """Of the requests, the share that is logged."""
    max_payload_bytes: int = 2**20
    """A longer body is null in the log, with a code."""
    redact: tuple[str, ...] = ()
    """Names of fields and columns whose values are left out."""
    retention_days: float = 30.0
    max_bytes: int = 10 * 2**30
    """Of the whole log; the oldest files are removed first."""


def read_log_config(given: Mapping[str, Any]) -> LogConfig:
    """The configuration with its defaults. Values have been checked when somebody gave them."""
    known = {item.name for item in fields(LogConfig)}
    values = {name: value for name, value in given.items() if name in known and value is not None}
    if "redact" in values:
        values["redact"] = tuple(values["redact"])
    return LogConfig(**values)


@dataclass(frozen=True, slots=True)
class LogRoots:
    """Where logs may be: directories, and URIs with what pyarrow is to know in their query."""

    roots: tuple[str, ...]

    @classmethod
    def of(cls, setting: str, default: str) -> LogRoots:
        """The roots that a setting names, separated by commas."""
        named = tuple(root.strip().rstrip("/") for root in setting.split(",") if root.strip())
        return cls(named or (default.rstrip("/"),))

    def place_of(self, location: str, workspace: str, name: str, *, serving: bool) -> str | None:
        """The directory or URI of an endpoint's own log; None for a location that is below none of the roots.

        Every endpoint has a directory of its own, so that nobody writes or reads the log of another endpoint.
        """
        wanted = _plain(location or "".join(self.roots[:1]))
        for root in self.roots:
            plain = _plain(root)
            if plain is not None and wanted is not None and f"{wanted}/".startswith(f"{plain}/"):
                directory = _directory_in_uri if "://" in wanted else _directory
                own = [directory(workspace), *(["serving-endpoints"] if serving else []), directory(name)]
                _, mark, query = root.partition("?")
                return f"{wanted}/{'/'.join(own)}{mark}{query}"
        return None


NOWHERE = LogRoots(())


def check_log_config(given: Mapping[str, Any], roots: LogRoots) -> None:
    """InvalidParameterError for a log at a place that the server's operator does not name."""
    if given.get("location") and roots.place_of(given["location"], "w", "n", serving=False) is None:
        raise InvalidParameterError(
            "config.request_log.location must be below one of the places that the server's operator names in "
            "MLFLOW_SERVING_REQUEST_LOG_ROOTS. Without a location the log is at the first of these places."
        )


def _plain(place: str) -> str | None:
    """A directory or URI without its query, in one spelling; None for what is neither."""
    found = _URI.match(place)
    scheme, path = (found["scheme"], found["path"]) if found else ("file", place.partition("?")[0])
    if scheme != "file":
        # Libraries of stores read %2e%2e as two dots, too.
        path = unquote(path)
    if scheme not in _SCHEMES or ".." in path.split("/") or (scheme == "file" and not path.startswith("/")):
        return None
    path = posixpath.normpath(path)
    if scheme == "file":
        return f"/{path.strip('/')}"
    return f"{scheme}://{quote(path.strip('/'), safe=_PLAIN_IN_URIS)}"


def _directory(name: str) -> str:
    """A model's name as that of a directory: ``.`` and ``..`` name others."""
    quoted = quote(name, safe="")
    return quoted.replace(".", "%2E") if set(quoted) == {"."} else quoted


def _directory_in_uri(name: str) -> str:
    """The same in a URI, whose readers unquote it once: what remains is one directory below the place."""
    quoted = quote(name, safe="").replace("%25", "%2525").replace("%2F", "%252F")
    return quoted.replace(".", "%252E") if set(quoted) == {"."} else quoted
