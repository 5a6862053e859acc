"""The counts of all processes of the host: their files summed, and the files of ended processes merged into one.

A file belongs to the process that holds its lock. The controller merges the files that no process holds:
``merged.json`` is replaced first and names the files it took in, then those files are removed. A crash in between
counts nothing twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import math
import os
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from filelock import FileLock, Timeout

from mlflow_serving_plugin.host.files import write_atomically
from mlflow_serving_plugin.metrics.families import FAMILIES
from mlflow_serving_plugin.worker.counts import BATCH_ROWS, LARGEST_BYTES, WORKER_CPU, records

_logger = logging.getLogger(__name__)
_LOCK_S = 2.0

Series = tuple[object, ...]
"""A metric's name, a key of ``FAMILIES``, and the values of its labels."""

Totals = dict[Series, list[float]]

OF_WORKERS = (BATCH_ROWS, WORKER_CPU)
"""All that is taken from the file of a model's worker, which may hold anything."""


def read_totals(directory: Path, *, workers: bool = True) -> Totals:
    """The sum over all processes; gauges of those that live. ``workers``: with what model workers have counted."""
    totals: Totals = {}
    with _locked(directory):
        taken_in, merged = _read_merged(directory / "merged.json")
        for series, values in merged.items():
            _add(totals, series, values)
        for path in directory.glob("*.counts" if workers else "web-*.counts"):
            if path.name not in taken_in:
                _add_file(totals, path)
    return totals


def merge_ended(directory: Path, wanted: Callable[[Series], bool]) -> None:
    """Merge the files of ended processes, and drop all series but the wanted ones from what was merged. OSError."""
    merged_path = directory / "merged.json"
    try:
        with FileLock(directory / "lock", timeout=_LOCK_S):
            taken_in, merged = _read_merged(merged_path)
            ended = [path for path in directory.glob("*.counts") if _owner_has_ended(path)]
            totals: Totals = {series: values for series, values in merged.items() if wanted(series)}
            for path in ended:
                if path.name not in taken_in:
                    _add_file(totals, path, wanted)
            if ended or len(totals) < len(merged):
                document = {
                    "taken_in": [path.name for path in ended],
                    "series": [[list(series), values] for series, values in totals.items()],
                }
                write_atomically(merged_path, json.dumps(document).encode())
            for path in [*ended, *filter(_owner_has_ended, directory.glob("*.tmp"))]:
                path.unlink(missing_ok=True)
    except Timeout:
        _logger.info("The metrics of ended processes are being merged by another process.")


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Under the lock of merging, or after a timeout without the lock: totals may then be wrong once."""
    lock = FileLock(directory / "lock", timeout=_LOCK_S)
    with contextlib.suppress(OSError, Timeout):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _add_file(totals: Totals, path: Path, wanted: Callable[[Series], bool] = lambda _: True) -> None:
    of_worker = path.name.startswith("worker-")
    try:
        fd = open_regular(path)
    except OSError:
        return
    with os.fdopen(fd, "rb") as file:
        ended = is_unlocked(fd)
        data = file.read(LARGEST_BYTES)
    for key, values in records(data):
        series = series_of(key)
        if series is None or (ended and FAMILIES[str(series[0])].gauge) or (of_worker and series[0] not in OF_WORKERS):
            continue
        if wanted(series):
            _add(totals, series, values)


@lru_cache(maxsize=16384)
def series_of(key: str) -> Series | None:
    """The series of a record's key; None for one that a model made up, or that another version of this package has."""
    try:
        name, *labels = json.loads(key)
    except (ValueError, TypeError):
        return None
    family = FAMILIES.get(name) if isinstance(name, str) else None
    if family is None or len(labels) != len(family.labels):
        return None
    if not all(label is None or isinstance(label, str | int) for label in labels):
        return None
    if "version" in family.labels and isinstance(labels[1], int):
        # Names of versions were numbers in the files of earlier versions of this package.
        labels[1] = str(labels[1])
    return (name, *labels)


def _add(totals: Totals, series: Series, values: list[float] | tuple[float, ...]) -> None:
    if len(values) != FAMILIES[str(series[0])].size or not all(0 <= value < math.inf for value in values):
        return
    known = totals.get(series)
    totals[series] = list(values) if known is None else [a + b for a, b in zip(known, values, strict=True)]


def _read_merged(path: Path) -> tuple[frozenset[str], Totals]:
    try:
        document = json.loads(path.read_bytes())
        totals: Totals = {}
        for labels, values in document["series"]:
            if (series := series_of(json.dumps(labels))) is not None:
                _add(totals, series, [float(value) for value in values])
        return frozenset(document["taken_in"]), totals
    except FileNotFoundError:
        return frozenset(), {}
    except (OSError, ValueError, TypeError, KeyError):
        _logger.warning("The merged metrics are damaged: counting begins anew.")
        return frozenset(), {}


def _owner_has_ended(path: Path) -> bool:
    try:
        fd = open_regular(path)
    except OSError:
        return False
    try:
        return is_unlocked(fd)
    finally:
        os.close(fd)


def open_regular(path: Path | str) -> int:
    """A descriptor for reading a regular file; OSError for anything else."""
    # A model that runs as the server's user can put anything there, say a pipe without a writer.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{path} is no file")
    return fd


def is_unlocked(fd: int) -> bool:
    """Whether no process holds the file's lock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
