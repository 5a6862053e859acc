"""What was asked and answered, from the log of an endpoint's requests. Needs MANAGE: bodies hold what callers sent."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.access.base import require_manage
from mlflow_serving_plugin.api import requests
from mlflow_serving_plugin.api.mlflow_endpoints.context import Context
from mlflow_serving_plugin.api.requests import current_workspace, one_of, read_fields
from mlflow_serving_plugin.domain.request_log import LogConfig, read_log_config
from mlflow_serving_plugin.domain.routes import EntityRoute
from mlflow_serving_plugin.errors import (
    InvalidParameterError,
    NotFoundError,
    PermissionDeniedError,
    TemporarilyUnavailableError,
)
from mlflow_serving_plugin.registry.examples import accepted_example

_logger = logging.getLogger(__name__)

_STATUS = re.compile(r"[1-5](\d\d|xx)")
_TOKEN = re.compile(r"(\d{1,18})-(.{0,200})", re.DOTALL)
_IN_A_PAGE = 50
_EVER_MS = 2**53
_DAY_MS = 24 * 3600 * 1000
_MOST_REQUESTS, _MOST_CELLS = 10_000, 500_000
_CANNOT_READ = "The request log cannot be read now. The server's log has the reason."


@dataclass(frozen=True, slots=True)
class _Log:
    """An endpoint's log. ``place`` None: the configuration names a place that the server no longer permits."""

    endpoint_id: str
    config: LogConfig
    place: str | None
    entities: tuple[EntityRoute, ...]
    """Those that this host serves."""


def list_requests(context: Context) -> dict[str, Any]:
    """A page of requests without their bodies, newest first. ``enabled``: whether requests are logged now."""
    fields = read_fields(requests.REQUESTS)
    # pyarrow takes half a second and 60 MB, which a server without logs does not spend.
    from mlflow_serving_plugin.request_log import reader

    log, most = _log(context, fields), fields.get("max_results", _IN_A_PAGE)
    name = fields.get("endpoint_version_name") or fields.get("served_entity_name")
    wanted = reader.Wanted(
        log.endpoint_id,
        begin_us=fields.get("from", 0) * 1000,
        end_us=fields.get("to", _EVER_MS) * 1000,
        entity=None if name is None else str(name),
        statuses=_statuses(fields.get("status")),
        least_ms=fields.get("min_ms", 0),
        before=_before(fields.get("page_token")),
    )
    rows = []
    if log.place is not None:
        with _reading():
            rows = reader.newest(log.place, log.config.format, wanted, most + 1)
    reply = {"enabled": log.config.enabled, "requests": [_shape(row, reader) for row in rows[:most]]}
    if len(rows) > most:
        last = rows[most - 1]
        reply["next_page_token"] = f"{reader.time_us(last)}-{last['databricks_request_id']}"
    return reply


def get_request(context: Context) -> dict[str, Any]:
    """One request with its bodies; NotFoundError. ``request_time``, in milliseconds, makes the search short."""
    fields = read_fields(requests.REQUEST)
    from mlflow_serving_plugin.request_log import reader

    log = _log(context, fields)
    begin_ms, end_ms = 0, _EVER_MS
    if "request_time" in fields:
        begin_ms, end_ms = fields["request_time"], fields["request_time"] + 1
    row = None
    if log.place is not None:
        with _reading():
            row = reader.one(
                log.place, log.config.format, log.endpoint_id, fields["request_id"], begin_ms * 1000, end_ms * 1000
            )
    if row is None:
        raise NotFoundError("The request log has no request with this id. A request is in the log within a minute.")
    bodies = {name: row[name] for name in ("request", "response", "logging_error_codes")}
    return _shape(row, reader) | bodies


def get_drift(context: Context) -> dict[str, Any]:
    """How the successful requests of one version, the last day's by default, differ from its input example.

    At most ``_MOST_REQUESTS`` requests and ``_MOST_CELLS`` values are looked at, the newest.
    """
    fields = read_fields(requests.DRIFT)
    label = one_of(fields, "endpoint_version_name", "served_entity_name")
    from mlflow_serving_plugin.request_log import drift, reader
    from mlflow_serving_plugin.request_log.inputs import columns_of, join

    log, name = _log(context, fields), str(fields[label])
    end_ms = fields.get("to", int(time.time() * 1000))
    begin_ms = fields.get("from", end_ms - _DAY_MS)
    if begin_ms >= end_ms:
        raise InvalidParameterError("Parameter 'from' must be earlier than 'to'.")
    wanted = reader.Wanted(log.endpoint_id, begin_ms * 1000, end_ms * 1000, entity=name, statuses=(200, 299))
    entity = next((one for one in log.entities if name in (one.name, one.served_name)), None)
    example = accepted_example(Path(entity.model_dir), entity.example_form) if entity and entity.model_dir else None
    expected = columns_of(example.body) if example is not None else None
    tables, cells = [], 0
    with _reading():
        found = reader.bodies(log.place, log.config.format, wanted, _MOST_REQUESTS) if log.place is not None else ()
        for body in found:
            if (table := columns_of(body, list(expected or ()))) is not None:
                tables.append(table)
                cells += sum(map(len, table.values()))
                if cells >= _MOST_CELLS:
                    break
    rows = join(tables)
    return {
        "enabled": log.config.enabled,
        "rows": len(next(iter(rows.values()), [])),
        "baseline": "input_example" if rows and expected is not None else None,
        "columns": drift.drift_of(rows, expected) if rows else [],
    }


def _log(context: Context, fields: dict[str, Any]) -> _Log:
    """The log of the endpoint that a request names; PermissionDeniedError without MANAGE."""
    caller, workspace = context.caller(), current_workspace()
    if one_of(fields, "registered_model_name", "serving_endpoint_name") == "registered_model_name":
        served = context.endpoints.describe(caller, workspace, fields["registered_model_name"])
        endpoint, entities = served.endpoint, tuple(served.versions)
        require_manage(context.deps.access, caller, workspace, endpoint.name)
        config, serving = read_log_config(endpoint.config.request_log), False
    else:
        found = context.deps.serving.describe(caller, workspace, fields["serving_endpoint_name"])
        if not found.manages:
            raise PermissionDeniedError("You need CAN_MANAGE on the serving endpoint to see its requests.")
        endpoint, entities, serving = found.endpoint, tuple(found.entities.values()), True
        config = read_log_config(found.spec.request_log)
    place = context.endpoints.log_roots.place_of(config.location, endpoint.workspace, endpoint.name, serving=serving)
    return _Log(endpoint.id, config, place, entities)


def _statuses(text: str | None) -> tuple[int, int]:
    if text is None:
        return 0, 999
    if not _STATUS.fullmatch(text):
        raise InvalidParameterError("Parameter 'status' must be a status such as 200, or a class such as 4xx.")
    return (int(text[0]) * 100, int(text[0]) * 100 + 99) if text.endswith("xx") else (int(text), int(text))


def _before(token: str | None) -> tuple[int, str] | None:
    if not token:
        return None
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise InvalidParameterError("page_token is not one that list-requests gave.")
    return int(found[1]), found[2]


def _shape(row: dict[str, Any], reader: Any) -> dict[str, Any]:
    return {
        "request_id": row["databricks_request_id"],
        "client_request_id": row["client_request_id"],
        "request_time": reader.time_us(row) // 1000,
        "status_code": row["status_code"],
        "execution_duration_ms": row["execution_duration_ms"],
        "endpoint_version_name": reader.name_of(row),
        "requester": row["requester"],
    }


@contextmanager
def _reading() -> Iterator[None]:
    """What a store of files raises, as an answer that names no place."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        _logger.warning("A request log could not be read: %s", error)
        raise TemporarilyUnavailableError(_CANNOT_READ, retry_after_s=10) from error
