"""Records as a table of the twelve columns of Databricks' inference tables, to the letter."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timezone
from operator import attrgetter
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


def table_of(records: Sequence[Record], endpoint_id: str, redacted: Collection[str] = ()) -> pa.Table:
    """The records, at least one, by time, without the values of the redacted fields.

    Column by column: a busy server logs thousands of requests a second.
    """
    ids, times_us, took_ms, statuses, fractions, entities, requesters, requests, responses, codes, client_ids = zip(
        *sorted(records, key=attrgetter("time_us")), strict=True
    )
    if redacted:
        requests = tuple(redact_request(body, redacted) for body in requests)
        responses = tuple(redact_response(body, redacted) for body in responses)
    errors = [list(found) for found in codes]
    times = pa.array(times_us, pa.int64()).cast(SCHEMA.field("request_time").type)
    columns: list[Any] = [
        ids,
        times.cast(pa.date32()),
        _client_ids(client_ids, requests),
        times,
        statuses,
        fractions,
        took_ms,
        _texts(requests, errors, NOT_TEXT_REQUEST),
        _texts(responses, errors, NOT_TEXT_RESPONSE),
        errors,
        [f"{endpoint_id}/{entity}" for entity in entities],
        requesters,
    ]
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for column, field in zip(columns, SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def date_of(time_us: int) -> str:
    """The date in UTC of a time in microseconds since 1970, such as 2026-11-26."""
    return datetime.fromtimestamp(time_us / 1e6, timezone.utc).date().isoformat()


def _texts(bodies: Sequence[bytes | None], codes: list[list[str]], code: str) -> pa.Array:
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


def _client_ids(of_headers: Sequence[str], requests: Sequence[bytes | None]) -> list[str | None]:
    return [
        of_header or (_client_id(request) if request is not None and b'"client_request_id"' in request else None)
        for of_header, request in zip(of_headers, requests, strict=True)
    ]


def _client_id(request: bytes) -> str | None:
    try:
        body = orjson.loads(request)
    except ValueError:
        return None
    found = body.get("client_request_id") if isinstance(body, dict) else None
    return found[:_LONGEST_ID] if isinstance(found, str) else None
