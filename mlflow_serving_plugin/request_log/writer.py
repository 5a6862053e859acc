"""The one process of a host that writes logs: segments become files, small files large ones, old files go."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pyarrow as pa

from mlflow_serving_plugin.host.files import write_atomically
from mlflow_serving_plugin.host.throttled import Throttled
from mlflow_serving_plugin.request_log import delta
from mlflow_serving_plugin.request_log.columns import table_of
from mlflow_serving_plugin.request_log.files import LogFile, LogFiles
from mlflow_serving_plugin.request_log.patience import PATIENCE_S, Patience
from mlflow_serving_plugin.request_log.segments import Finished, Label, finished
from mlflow_serving_plugin.request_log.spool import Count
from mlflow_serving_plugin.request_log.tally import take_lost

_logger = logging.getLogger(__name__)

WRITTEN, LOST = "written", "lost"
TIDY_S = 600.0
_SMALL_BYTES, _MANY_SMALL = 16 * 2**20, 30
"""So many files of a day that are smaller become one."""

_MERGED_BYTES = 64 * 2**20
"""Of the files that become one: all of them are in memory for that."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Files that are being replaced by one. Kept in a file, so that a killed writer's work is ended by the next."""

    merged: str
    """The path of the new file."""
    replaced: tuple[str, ...]


class Writer:
    """``directory``: of the segments. ``now``: seconds since 1970."""

    def __init__(
        self,
        directory: Path,
        count: Count,
        now: Callable[[], float] = time.time,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._directory = directory
        self._count = count
        self._now = now
        self._known = directory / "places.json"
        self._host = ""
        self._next_tidy = 0.0
        self._patience = Patience(patience_s)
        self._failing = Throttled(_logger, every_s=60.0)

    def run_once(self) -> int:
        """Write all finished segments; how many of them had to stay, as their place cannot be had. OSError."""
        self._host = self._host or _mark_of(self._directory / "host")
        for key, number in take_lost(self._directory):
            self._count((*key, LOST), number)
        segments, unusable = finished(self._directory)
        for path in unusable:
            _logger.warning("A segment of the request log is damaged and removed.")
            path.unlink(missing_ok=True)
        unreachable: set[str] = set()
        left = 0
        for segment in segments:
            if segment.label.place in unreachable or not self._write(segment):
                unreachable.add(segment.label.place)
                left += 1
        if self._now() >= self._next_tidy:
            self._next_tidy = self._now() + TIDY_S
            self._tidy()
        return left

    def _write(self, segment: Finished) -> bool:
        label, name = segment.label, segment.path.stem.replace("-", "")
        try:
            records = list(segment.records())
        except FileNotFoundError:
            return True
        if records:
            table = table_of(records, label.endpoint_id, label.redact)
            try:
                if label.format == "delta":
                    self._patience.run(label.place, partial(delta.append, label.place, table, name))
                else:
                    write = partial(_write_files, label.place, self._host, table, name)
                    self._patience.run(label.place, write)
            except (OSError, pa.ArrowException) as error:
                self._failing.log(logging.WARNING, "The request log cannot be written and is tried again: %s", error)
                return False
        self._remember(label)
        segment.path.unlink(missing_ok=True)
        for entity, number in Counter(record.entity for record in records).items():
            self._count((label.endpoint_id, entity, WRITTEN), number)
        return True

    def _remember(self, label: Label) -> None:
        """Keep the place in mind, so that its files go in time even when nobody calls the endpoint any more."""
        known = self._places()
        if known.get(label.place) != label:
            known[label.place] = label
            write_atomically(self._known, json.dumps([asdict(one) for one in known.values()]).encode())

    def _places(self) -> dict[str, Label]:
        try:
            found = [Label(**{**one, "redact": tuple(one["redact"])}) for one in json.loads(self._known.read_bytes())]
        except (OSError, ValueError, TypeError, KeyError):
            return {}
        return {label.place: label for label in found}

    def _tidy(self) -> None:
        for label in self._places().values():
            oldest = (datetime.fromtimestamp(self._now(), timezone.utc) - timedelta(days=label.retention_days)).date()
            try:
                if label.format == "delta":
                    tidy = partial(delta.tidy, label.place, oldest.isoformat())
                else:
                    tidy = partial(self._tidy_files, label, oldest.isoformat())
                self._patience.run(label.place, tidy)
            except (OSError, pa.ArrowException) as error:
                self._failing.log(logging.WARNING, "The request log cannot be tidied and is tried again: %s", error)

    def _tidy_files(self, label: Label, oldest_day: str) -> None:
        files = LogFiles(label.place, self._host)
        self._end_merge(files, label.place)
        days = files.days()
        for day in [day for day in days if day < oldest_day]:
            files.remove_day(day)
        left = label.max_bytes
        for day in reversed([day for day in days if day >= oldest_day]):
            found = self._merge_small(files, label.place, files.of_day(day))
            for file in reversed(found):
                left -= file.size
                if left < 0:
                    files.remove(file.path)

    def _merge_small(self, files: LogFiles, place: str, found: list[LogFile]) -> list[LogFile]:
        """The files of a day, by time, after many small ones have become one."""
        small, size = [], 0
        for file in found:
            # Two hosts that merge the same files would have each row twice.
            if file.host == self._host and file.size < _SMALL_BYTES and size < _MERGED_BYTES:
                small.append(file)
                size += file.size
        if len(small) >= _MANY_SMALL:
            path = files.merged_path(small, uuid.uuid4().hex)
            # Noted first: a writer that is killed in between leaves nothing that is there twice.
            note = Merge(path, tuple(file.path for file in small))
            write_atomically(self._note_of(place), json.dumps(asdict(note)).encode())
            files.merge(small, path)
            self._end_merge(files, place)
            found = files.of_day(small[0].day)
        return sorted(found, key=lambda file: file.last_us)

    def _note_of(self, place: str) -> Path:
        return self._directory / f"merging-{hashlib.sha256(place.encode()).hexdigest()[:16]}.json"

    def _end_merge(self, files: LogFiles, place: str) -> None:
        """Remove what a merged file has replaced."""
        note = self._note_of(place)
        try:
            merge = Merge(**json.loads(note.read_bytes()))
        except (OSError, ValueError, TypeError):
            return
        if files.exists(merge.merged):
            for path in merge.replaced:
                files.remove(path)
        note.unlink(missing_ok=True)


def _write_files(place: str, host: str, table: pa.Table, name: str) -> None:
    LogFiles(place, host).write(table, name)


def _mark_of(path: Path) -> str:
    """What tells the files of this host from those of others that write to the same place; made once."""
    try:
        found = path.read_text()
    except FileNotFoundError:
        found = ""
    if not re.fullmatch("[0-9a-f]{8}", found):
        found = uuid.uuid4().hex[:8]
        write_atomically(path, found.encode())
    return found
