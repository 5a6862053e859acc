"""Reads a log for people: the newest requests, and one request with its bodies. Feeds the API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import compute

from mlflow_serving_plugin.request_log.files import LogFiles, newest_first

ALL_TIMES = (0, 2**62)
_HEAD = (
    *("databricks_request_id", "client_request_id", "request_time", "status_code", "execution_duration_ms"),
    *("served_entity_id", "requester"),
)
_MOST_FILES = 2000
"""Looked at for one question."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests. Times in microseconds since 1970; ``statuses``: the lowest and the highest."""

    endpoint_id: str
    begin_us: int = ALL_TIMES[0]
    end_us: int = ALL_TIMES[1]
    entity: str | None = None
    """The entity that answered, by the name that ``name_of`` gives; None: any."""
    statuses: tuple[int, int] = (0, 999)
    least_ms: int = 0
    before: tuple[int, str] | None = None
    """Only requests before this one in the list: its time and its id."""


def newest(place: str, log_format: str, wanted: Wanted, most: int) -> list[dict[str, Any]]:
    """The newest requests without their bodies, at most so many. OSError or ArrowException without the place."""
    found: list[dict[str, Any]] = []
    for table, last_us in _tables(place, log_format, wanted, list(_HEAD)):
        if len(found) >= most and last_us < time_us(found[most - 1]):
            break
        found += _matching(table, wanted)
        found.sort(key=_order, reverse=True)
        del found[most:]
    return found


def one(
    place: str, log_format: str, endpoint_id: str, request_id: str, begin_us: int, end_us: int
) -> dict[str, Any] | None:
    """One request with its bodies; of several with one id, the newest. None when the log has none."""
    wanted = Wanted(endpoint_id, begin_us, end_us)
    is_wanted = compute.field("databricks_request_id") == request_id
    for table, _ in _tables(place, log_format, wanted, None):
        rows: list[dict[str, Any]] = [row for row in table.filter(is_wanted).to_pylist() if _is_of(row, endpoint_id)]
        if rows:
            return sorted(rows, key=_order)[-1]
    return None


def bodies(place: str, log_format: str, wanted: Wanted, most: int) -> Iterator[str]:
    """Bodies of requests, the newest first as far as files go, of at most so many. OSError or ArrowException."""
    columns = [*_HEAD, "request"]
    left = most
    for table in _parts(place, log_format, wanted, columns, most):
        for row in reversed(_matching(table, wanted)):
            if left <= 0:
                return
            left -= 1
            if row["request"] is not None:
                yield row["request"]


def _parts(place: str, log_format: str, wanted: Wanted, columns: list[str], most: int) -> Iterator[pa.Table]:
    if log_format == "delta":
        from mlflow_serving_plugin.request_log import delta

        yield delta.read(place, wanted.begin_us, wanted.end_us, columns, most)
        return
    files = LogFiles(place)
    for file in newest_first(files, wanted.begin_us, wanted.end_us):
        try:
            yield from files.read_backwards(file, columns)
        except FileNotFoundError:
            continue


def _tables(place: str, log_format: str, wanted: Wanted, columns: list[str] | None) -> Iterator[tuple[pa.Table, int]]:
    """Tables with requests of the range, each with the time of its last request, the newest first."""
    end_us = wanted.end_us if wanted.before is None else min(wanted.end_us, wanted.before[0] + 1)
    if log_format == "delta":
        from mlflow_serving_plugin.request_log import delta

        yield delta.read(place, wanted.begin_us, end_us, columns), end_us
        return
    files = LogFiles(place)
    for number, file in enumerate(newest_first(files, wanted.begin_us, end_us)):
        if number >= _MOST_FILES:
            return
        try:
            yield files.read(file, columns), file.last_us
        except FileNotFoundError:
            # Has become part of a larger one meanwhile.
            continue


def _matching(table: pa.Table, wanted: Wanted) -> list[dict[str, Any]]:
    unit = pa.timestamp("us", tz="UTC")
    time, status = compute.field("request_time"), compute.field("status_code")
    end_us = wanted.end_us if wanted.before is None else min(wanted.end_us, wanted.before[0] + 1)
    condition = (time >= pa.scalar(wanted.begin_us, unit)) & (time < pa.scalar(end_us, unit))
    condition &= (status >= wanted.statuses[0]) & (status <= wanted.statuses[1])
    condition &= compute.field("execution_duration_ms") >= wanted.least_ms
    rows = table.filter(condition).to_pylist()
    return [
        row
        for row in rows
        if _is_of(row, wanted.endpoint_id)
        and wanted.entity in (None, name_of(row))
        and (wanted.before is None or _order(row) < wanted.before)
    ]


def _is_of(row: dict[str, Any], endpoint_id: str) -> bool:
    """Whether a request was of this endpoint: an earlier endpoint of that name may have had other users."""
    return str(row["served_entity_id"]).startswith(f"{endpoint_id}/")


def name_of(row: dict[str, Any]) -> str:
    """The name that people know the entity by that answered: a version's number, or an entity's own name."""
    name = str(row["served_entity_id"]).rpartition("/")[2]
    # Of a serving endpoint, an entity's name in its key ends with the number of the configuration that it came with.
    return name.rpartition(".")[0] or name


def time_us(row: dict[str, Any]) -> int:
    """When a request came, in microseconds since 1970."""
    return int(row["request_time"].timestamp() * 1e6 + 0.5)


def _order(row: dict[str, Any]) -> tuple[int, str]:
    return time_us(row), row["databricks_request_id"]
