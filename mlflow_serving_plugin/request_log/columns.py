"""Records as a table of the twelve columns of Databricks' inference tables, to the letter."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timezone
from typing import Any

import orjson
import pyarrow as pa

from mlflow_serving_plugin.request_log.record import NOT_TEXT_REQUEST, NOT_TEXT_RESPONSE, Record
from mlflow_serving_plugin.request_log.redact import redact_request, redact_response

SCHEMA = pa.schema(
    [
        ("databricks_request_id", pa.string()),
        ("request_date", pa.date32()),
        ("client_request_id", pa.string()),
        ("request_time", pa.timestamp("us", tz="UTC")),
        ("status_code", pa.int32()),
        ("sampling_fraction", pa.float64()),
        ("execution_duration_ms", pa.int64()),
        ("request", pa.string()),
        ("response", pa.string()),
        ("logging_error_codes", pa.list_(pa.string())),
        ("served_entity_id", pa.string()),
        ("requester", pa.string()),
    ]
)

_LONGEST_ID = 1000
_DAY_US = 24 * 3600 * 1_000_000


def table_of(records: Sequence[Record], endpoint_id: str, redacted: Collection[str] = ()) -> pa.Table:
    """The records by time, without the values of the redacted fields."""
    records = sorted(records, key=lambda record: record.time_us)
    codes = [list(record.codes) for record in records]
    requests = [redact_request(record.request, redacted) for record in records]
    responses = [redact_response(record.response, redacted) for record in records]
    columns: list[Any] = [
        [record.request_id for record in records],
        pa.array([record.time_us // _DAY_US for record in records], pa.int32()).cast(pa.date32()),
        [_client_id(record, request) for record, request in zip(records, requests, strict=True)],
        pa.array([record.time_us for record in records], pa.int64()).cast(SCHEMA.field("request_time").type),
        [record.status for record in records],
        [record.sampling_fraction for record in records],
        [record.took_ms for record in records],
        _texts(requests, codes, NOT_TEXT_REQUEST),
        _texts(responses, codes, NOT_TEXT_RESPONSE),
        codes,
        [f"{endpoint_id}/{record.entity}" for record in records],
        [record.requester for record in records],
    ]
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for column, field in zip(columns, SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def date_of(time_us: int) -> str:
    """The date in UTC of a time in microseconds since 1970, such as 2026-11-26."""
    return datetime.fromtimestamp(time_us / 1e6, timezone.utc).date().isoformat()


def _texts(bodies: list[bytes | None], codes: list[list[str]], code: str) -> pa.Array:
    """Bodies as texts; null, with a code, for what is no UTF-8. Most tables are all text, and are checked at once."""
    try:
        return pa.array(bodies, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        texts: list[str | None] = []
        for body, found in zip(bodies, codes, strict=True):
            try:
                texts.append(None if body is None else body.decode())
            except UnicodeDecodeError:
                texts.append(None)
                found.append(code)
        return pa.array(texts, pa.string())


def _client_id(record: Record, request: bytes | None) -> str | None:
    if record.client_request_id:
        return record.client_request_id
    if request is None or b'"client_request_id"' not in request:
        return None
    try:
        body = orjson.loads(request)
    except ValueError:
        return None
    found = body.get("client_request_id") if isinstance(body, dict) else None
    return found[:_LONGEST_ID] if isinstance(found, str) else None
