"""A log as Parquet files: a directory a day, in a local directory or in a store that pyarrow knows.

A file is named by the times of its first and its last request, so that a reader opens only what it needs. A file gets
its name once it is whole.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from mlflow_serving_plugin.request_log.columns import SCHEMA

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_FILE = re.compile(
    r"(?P<kind>part|days)-(?P<first>\d+)-(?P<last>\d+)-(?P<host>[0-9a-f]{8})-(?P<name>[0-9a-z]+)\.parquet"
)

_ROWS_IN_A_GROUP, _GROUP_BYTES = 10_000, 64 * 2**20
"""What a reader has to read at least, and what a merge of files has in memory."""

_TIME_COLUMN = SCHEMA.get_field_index("request_time")


class LogFile(NamedTuple):
    """One file. Times in microseconds since 1970."""

    path: str
    day: str
    first_us: int
    last_us: int
    size: int
    host: str
    """The mark of the host that has written the file."""


class LogFiles:
    """The files of one log, to which several hosts may write; ``host``, which writers give, is the mark of this one.

    All methods raise OSError (or pyarrow's ArrowException) when the place cannot be had.
    """

    def __init__(self, place: str, host: str = "") -> None:
        self._host = host
        self._fs, self._root = fs.FileSystem.from_uri(place if "://" in place else Path(place).as_uri())

    def days(self) -> list[str]:
        """The days that there are, the oldest first."""
        found = self._fs.get_file_info(fs.FileSelector(self._root, allow_not_found=True))
        days = (info.base_name for info in found if info.type is fs.FileType.Directory)
        return sorted(day for day in days if _DAY.fullmatch(day) and _is_day(day))

    def of_day(self, day: str) -> list[LogFile]:
        """The files of a day, by name."""
        infos = self._fs.get_file_info(fs.FileSelector(f"{self._root}/{day}", allow_not_found=True))
        found = [(info, _FILE.fullmatch(info.base_name)) for info in infos if info.type is fs.FileType.File]
        files = [
            LogFile(info.path, day, int(match["first"]), int(match["last"]), info.size, match["host"])
            for info, match in found
            if match
        ]
        return sorted(files, key=lambda file: file.path)

    def write(self, table: pa.Table, name: str) -> None:
        """Write a table that is sorted by time, a file for each of its days. The same name is the same file."""
        days = table.column("request_date")
        for day in days.unique():
            part = table.filter(pa.compute.equal(days, day))
            times = part.column("request_time").cast(pa.int64())
            span, sink = f"{times[0].as_py()}-{times[-1].as_py()}", pa.BufferOutputStream()
            pq.write_table(part.cast(SCHEMA), sink, compression="zstd", row_group_size=_ROWS_IN_A_GROUP)
            self._put(sink, day.as_py().isoformat(), f"part-{span}-{self._host}-{name}.parquet")

    def merged_path(self, files: list[LogFile], name: str) -> str:
        """Where ``merge`` writes files of one day."""
        first, last = min(file.first_us for file in files), max(file.last_us for file in files)
        return f"{self._root}/{files[0].day}/days-{first}-{last}-{self._host}-{name}.parquet"

    def merge(self, files: list[LogFile], path: str) -> None:
        """Write files of one day as one file; the files stay."""
        sink, waiting = pa.BufferOutputStream(), list[pa.Table]()
        with pq.ParquetWriter(sink, SCHEMA, compression="zstd") as writer:
            for file in files:
                waiting.append(self.read(file))
                rows, size = sum(map(len, waiting)), sum(table.nbytes for table in waiting)
                if rows >= _ROWS_IN_A_GROUP or size >= _GROUP_BYTES or file is files[-1]:
                    writer.write_table(_sorted(waiting), row_group_size=_ROWS_IN_A_GROUP)
                    waiting.clear()
        self._put(sink, files[0].day, path.rpartition("/")[2])

    def read(self, file: LogFile, columns: list[str] | None = None) -> pa.Table:
        """A file's rows."""
        with self._fs.open_input_file(file.path) as opened:
            return pq.read_table(opened, columns=columns)

    def read_newest_first(self, file: LogFile, columns: list[str] | None) -> Iterator[tuple[int, pa.Table]]:
        """A file's rows in parts, each with the time of its last request, by that time."""
        with self._fs.open_input_file(file.path) as opened:
            parquet = pq.ParquetFile(opened)
            groups = [parquet.metadata.row_group(index).column(_TIME_COLUMN) for index in range(parquet.num_row_groups)]
            times = [int(group.statistics.max.timestamp() * 1e6 + 0.5) for group in groups]
            for last_us, index in sorted(zip(times, range(len(times)), strict=True), reverse=True):
                yield last_us, parquet.read_row_group(index, columns)

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        return bool(self._fs.get_file_info(path).type is fs.FileType.File)

    def remove(self, path: str) -> None:
        """Remove a file; it need not be there."""
        if self.exists(path):
            # Another host may be faster.
            with contextlib.suppress(FileNotFoundError):
                self._fs.delete_file(path)

    def remove_day(self, day: str) -> None:
        """Remove a day with all of its files."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.delete_dir(f"{self._root}/{day}")

    def _put(self, sink: pa.BufferOutputStream, day: str, name: str) -> None:
        directory = f"{self._root}/{day}"
        path = f"{directory}/{name}"
        local = isinstance(self._fs, fs.LocalFileSystem)
        if local:
            # Stores of objects have no directories, and show an object once it is whole.
            self._fs.create_dir(directory)
        written = f"{directory}/.{name}.tmp" if local else path
        with self._fs.open_output_stream(written) as stream:
            stream.write(sink.getvalue())
        if local:
            self._fs.move(written, path)


def newest_first(files: LogFiles, begin_us: int, end_us: int) -> Iterator[LogFile]:
    """The files that may have requests of a range, by their last request."""
    for day in reversed(files.days()):
        day_us = (date.fromisoformat(day) - date(1970, 1, 1)).days * 24 * 3600 * 1_000_000
        if day_us >= end_us or day_us + 24 * 3600 * 1_000_000 <= begin_us:
            continue
        found = [file for file in files.of_day(day) if file.first_us < end_us and file.last_us >= begin_us]
        yield from sorted(found, key=lambda file: file.last_us, reverse=True)


def _sorted(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).cast(SCHEMA).sort_by("request_time")


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
