"""Reads a log for people: the newest requests, and one request with its bodies. Feeds the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

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

_TRIES = 5
_T = TypeVar("_T")


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
    return _of_files_that_stay(partial(_newest, place, log_format, wanted, most))


def _newest(place: str, log_format: str, wanted: Wanted, most: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def has_all_after(time: int) -> bool:
        return len(found) >= most and time < time_us(found[-1])

    for last_us, parts in _files(place, log_format, wanted, list(_HEAD)):
        if has_all_after(last_us):
            break
        for last_of_part_us, table in parts:
            if has_all_after(last_of_part_us):
                break
            # What is being merged is in two files for a while.
            once = {_order(row): row for row in [*found, *_matching(table, wanted, most)]}
            found = [once[key] for key in sorted(once, reverse=True)[:most]]
    return found


def one(
    place: str, log_format: str, endpoint_id: str, request_id: str, begin_us: int, end_us: int
) -> dict[str, Any] | None:
    """One request with its bodies; of several with one id, the newest of a file. None when the log has none."""
    return _of_files_that_stay(partial(_one, place, log_format, endpoint_id, request_id, begin_us, end_us))


def _of_files_that_stay(question: Callable[[], _T]) -> _T:
    """The answer to a question, asked anew when files went meanwhile, such as those that became part of another."""
    for _ in range(_TRIES - 1):
        with suppress(FileNotFoundError):
            return question()
    return question()


def _one(
    place: str, log_format: str, endpoint_id: str, request_id: str, begin_us: int, end_us: int
) -> dict[str, Any] | None:
    is_wanted = compute.field("databricks_request_id") == request_id
    for _, parts in _files(place, log_format, Wanted(endpoint_id, begin_us, end_us), None):
        found: list[dict[str, Any]] = [
            row
            for _, table in parts
            for row in table.filter(is_wanted).to_pylist()
            if str(row["served_entity_id"]).startswith(f"{endpoint_id}/")
        ]
        if found:
            return max(found, key=_order)
    return None


def bodies(place: str, log_format: str, wanted: Wanted, most: int) -> Iterator[str]:
    """Bodies of requests, the newest first as far as files go, of at most so many. OSError or ArrowException."""
    left = most
    for _, parts in _files(place, log_format, wanted, [*_HEAD, "request"], most):
        # A file that is gone has become part of another; what is measured by bodies does not need them all.
        with suppress(FileNotFoundError):
            for _, table in parts:
                for row in _matching(table, wanted, left):
                    left -= 1
                    if row["request"] is not None:
                        yield row["request"]
                if left <= 0:
                    return


Parts = Iterator[tuple[int, pa.Table]]
"""Parts of a file, each with the time of its last request, the newest first."""


def _files(
    place: str, log_format: str, wanted: Wanted, columns: list[str] | None, most: int | None = None
) -> Iterator[tuple[int, Parts]]:
    """Files with requests of the range, each with the time of its last request, the newest first. FileNotFoundError.

    Of each file of a Delta table ``most`` rows are read.
    """
    end_us = wanted.end_us if wanted.before is None else min(wanted.end_us, wanted.before[0] + 1)
    if log_format == "delta":
        from mlflow_serving_plugin.request_log import delta

        for part in delta.newest_first(place, wanted.begin_us, end_us, columns, most):
            yield part.last_us, ((of.last_us, of.read()) for of in (part,))
        return
    files = LogFiles(place)
    for file in islice(newest_first(files, wanted.begin_us, end_us), _MOST_FILES):
        yield file.last_us, files.read_newest_first(file, columns)


def _matching(table: pa.Table, wanted: Wanted, most: int) -> list[dict[str, Any]]:
    """The newest rows that are wanted, newest first: of millions of rows only these become objects."""
    unit = pa.timestamp("us", tz="UTC")
    time, status = compute.field("request_time"), compute.field("status_code")
    column = table.column("served_entity_id")
    names = [name for name in column.unique().to_pylist() if _is_wanted(name, wanted)]
    condition = (time >= pa.scalar(wanted.begin_us, unit)) & (time < pa.scalar(wanted.end_us, unit))
    condition &= (status >= wanted.statuses[0]) & (status <= wanted.statuses[1])
    condition &= compute.field("execution_duration_ms") >= wanted.least_ms
    condition &= compute.field("served_entity_id").isin(pa.array(names, column.type))
    if wanted.before is not None:
        at, request_id = pa.scalar(wanted.before[0], unit), compute.field("databricks_request_id")
        condition &= (time < at) | ((time == at) & (request_id < wanted.before[1]))
    order = [("request_time", "descending"), ("databricks_request_id", "descending")]
    rows: list[dict[str, Any]] = table.filter(condition).sort_by(order).slice(0, most).to_pylist()
    return rows


def _is_wanted(entity_id: str, wanted: Wanted) -> bool:
    """Whether requests were of this endpoint: an earlier endpoint of that name may have had other users."""
    return entity_id.startswith(f"{wanted.endpoint_id}/") and wanted.entity in (None, _name(entity_id))


def name_of(row: dict[str, Any]) -> str:
    """The name that people know the entity by that answered: a version's number, or an entity's own name."""
    return _name(str(row["served_entity_id"]))


def _name(entity_id: str) -> str:
    name = entity_id.rpartition("/")[2]
    # Of a serving endpoint, an entity's name in its key ends with the number of the configuration that it came with.
    return name.rpartition(".")[0] or name


def time_us(row: dict[str, Any]) -> int:
    """When a request came, in microseconds since 1970."""
    return int(row["request_time"].timestamp() * 1e6 + 0.5)


def _order(row: dict[str, Any]) -> tuple[int, str]:
    return time_us(row), row["databricks_request_id"]
