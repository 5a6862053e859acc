"""A log as a Delta table, with the extra ``[delta]``. Only the writer's process imports this module."""

from __future__ import annotations

from typing import Any

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


def read(place: str, begin_us: int, end_us: int, columns: list[str] | None = None, most: int | None = None) -> pa.Table:
    """The rows of a range of time, or so many of them. OSError."""
    deltalake = _library()
    try:
        dataset = deltalake.DeltaTable(place).to_pyarrow_dataset()
    except deltalake.exceptions.DeltaError as error:
        raise OSError(f"the Delta table cannot be read: {error}") from error
    time = pa.compute.field("request_time")
    unit = pa.timestamp("us", tz="UTC")
    wanted = (time >= pa.scalar(begin_us, unit)) & (time < pa.scalar(end_us, unit))
    if most is not None:
        return dataset.head(most, columns=columns, filter=wanted)
    return dataset.to_table(columns, filter=wanted)


def _library() -> Any:
    try:
        import deltalake
        import deltalake.exceptions
    except ImportError:
        raise OSError("the format delta needs: pip install 'mlflow-serving-plugin[delta]'") from None
    return deltalake
