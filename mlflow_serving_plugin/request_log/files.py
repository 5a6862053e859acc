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

_ROWS_IN_A_GROUP = 10_000
"""What a reader that wants the newest rows has to read."""


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
            self._put(
                part,
                day.as_py().isoformat(),
                f"part-{times[0].as_py()}-{times[-1].as_py()}-{self._host}-{name}.parquet",
            )

    def merged_path(self, files: list[LogFile], name: str) -> str:
        """Where ``merge`` writes files of one day."""
        first, last = min(file.first_us for file in files), max(file.last_us for file in files)
        return f"{self._root}/{files[0].day}/days-{first}-{last}-{self._host}-{name}.parquet"

    def merge(self, files: list[LogFile], path: str) -> None:
        """Write files of one day as one file; the files stay."""
        table = pa.concat_tables([self.read(file) for file in files]).sort_by("request_time")
        self._put(table, files[0].day, path.rpartition("/")[2])

    def read(self, file: LogFile, columns: list[str] | None = None) -> pa.Table:
        """A file's rows."""
        with self._fs.open_input_file(file.path) as opened:
            return pq.read_table(opened, columns=columns)

    def read_backwards(self, file: LogFile, columns: list[str]) -> Iterator[pa.Table]:
        """A file's rows in parts of bounded size, the newest part first."""
        with self._fs.open_input_file(file.path) as opened:
            parquet = pq.ParquetFile(opened)
            for index in reversed(range(parquet.num_row_groups)):
                yield parquet.read_row_group(index, columns)

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

    def _put(self, table: pa.Table, day: str, name: str) -> None:
        directory = f"{self._root}/{day}"
        path, sink = f"{directory}/{name}", pa.BufferOutputStream()
        pq.write_table(table.cast(SCHEMA), sink, compression="zstd", row_group_size=_ROWS_IN_A_GROUP)
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


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
