"""A log as a Delta table, with the extra ``[delta]``. Only the writer's process imports this module."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa


def append(place: str, table: pa.Table, name: str) -> None:
    """Append rows once: a second call with the same name does nothing. OSError."""
    deltalake = _library()
    try:
        if (
            deltalake.DeltaTable.is_deltatable(place)
            and deltalake.DeltaTable(place).transaction_version(name) is not None
        ):
            return
        once = deltalake.CommitProperties(app_transactions=[deltalake.Transaction(app_id=name, version=1)])
        deltalake.write_deltalake(place, table, mode="append", partition_by=["request_date"], commit_properties=once)
    except deltalake.exceptions.DeltaError as error:
        raise OSError(f"the Delta table cannot be written: {error}") from error


def tidy(place: str, oldest_day: str) -> None:
    """Merge small files, and remove the days before ``oldest_day``. OSError."""
    deltalake = _library()
    try:
        if not deltalake.DeltaTable.is_deltatable(place):
            return
        table = deltalake.DeltaTable(place)
        table.delete(f"request_date < '{oldest_day}'")
        table.optimize.compact()
        table.vacuum(dry_run=False)
    except deltalake.exceptions.DeltaError as error:
        raise OSError(f"the Delta table cannot be tidied: {error}") from error


class Part(NamedTuple):
    """One of the files of a table. ``last_us``: no request of the file is later, in microseconds since 1970."""

    last_us: int
    read: Callable[[], pa.Table]
    """The rows of the range that was asked for."""


def newest_first(
    place: str, begin_us: int, end_us: int, columns: list[str] | None = None, most: int | None = None
) -> list[Part]:
    """The files that may have rows of a range of time, by their statistics; ``most``: rows to read of each. OSError."""
    deltalake = _library()
    try:
        table = deltalake.DeltaTable(place)
        actions = pa.table(table.get_add_actions(flatten=True)).select(["path", "max.request_time"]).to_pylist()
        dataset = table.to_pyarrow_dataset()
    except deltalake.exceptions.TableNotFoundError:
        # The first request makes the table.
        return []
    except deltalake.exceptions.DeltaError as error:
        raise OSError(f"the Delta table cannot be read: {error}") from error
    time = pa.compute.field("request_time")
    unit = pa.timestamp("us", tz="UTC")
    wanted = (time >= pa.scalar(begin_us, unit)) & (time < pa.scalar(end_us, unit))
    # A table's statistics are cut to milliseconds.
    times = {one["path"]: one["max.request_time"] for one in actions}
    latest = {path: int(time.timestamp() * 1e6) + 1000 for path, time in times.items() if time is not None}

    def read(fragment: Any) -> pa.Table:
        scanner = fragment.scanner(columns=columns, schema=dataset.schema, filter=wanted)
        return scanner.to_table() if most is None else scanner.head(most)

    parts = [
        Part(latest.get(fragment.path.lstrip("/"), end_us), partial(read, fragment))
        for fragment in dataset.get_fragments(filter=wanted)
    ]
    return sorted(parts, key=lambda part: part.last_us, reverse=True)


def _library() -> Any:
    try:
        import deltalake
        import deltalake.exceptions
    except ImportError:
        raise OSError("the format delta needs: pip install 'mlflow-serving-plugin[delta]'") from None
    return deltalake
