"""What a process counts, and the file it leaves for others to read."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from mlflow_serving_plugin.worker.counts import LARGEST_BYTES, Counts, Histogram, key_of, records


def read(path: Path) -> dict[str, list[float]]:
    return {key: list(values) for key, values in records(path.read_bytes())}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "when-needed.counts"


def test_what_was_counted_is_read_from_the_file_once_it_is_flushed(path: Path) -> None:
    counts = Counts(str(path))
    counts.values[counts.allot("größe", 1)] += 2
    assert not path.exists()
    counts.flush()
    assert read(path) == {"größe": [2.0]}
    assert path.stat().st_mode & 0o777 == 0o600


def test_indexes_and_counts_stay_as_more_series_come(path: Path) -> None:
    counts = Counts(str(path))
    indexes = [counts.allot(key_of("requests", "an endpoint", number, 200), 1) for number in range(1000)]
    for number, index in enumerate(indexes):
        counts.values[index] += number
    counts.flush()
    assert read(path) == {key_of("requests", "an endpoint", n, 200): [float(n)] for n in range(1000)}


def test_a_histogram_counts_by_upper_bounds_and_sums(path: Path) -> None:
    counts = Counts(str(path))
    histogram = Histogram(counts, "seconds", (1, 2))
    for size in (0.5, 1, 1.5, 2, 7):
        histogram.observe(size)
    counts.flush()
    assert read(path) == {"seconds": [2, 2, 1, 12]}


def test_beyond_the_largest_size_counting_goes_on_without_being_kept(path: Path) -> None:
    counts = Counts(str(path))
    made = LARGEST_BYTES // 500 + 100
    for number in range(made):
        counts.values[counts.allot(f"{number:08}", 60)] += 1
    counts.flush()
    assert path.stat().st_size <= LARGEST_BYTES
    found = read(path)
    assert LARGEST_BYTES // 600 < len(found) < made
    assert set(found) == {f"{number:08}" for number in range(len(found))}
    assert all(values == [1.0] + [0.0] * 59 for values in found.values())


def test_a_file_that_somebody_removed_is_made_again_with_all_that_was_counted(path: Path) -> None:
    counts = Counts(str(path))
    index = counts.allot("a", 1)
    counts.values[index] += 1
    counts.flush()
    path.unlink()
    path.parent.rmdir()
    counts.values[index] += 1
    counts.flush()
    assert read(path) == {"a": [2.0]}


def test_without_a_path_nothing_is_written(tmp_path: Path) -> None:
    counts = Counts(None)
    counts.values[counts.allot("a", 1)] += 1
    counts.flush()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_file_cut_short_gives_the_records_before_the_cut(path: Path, cut: int) -> None:
    counts = Counts(str(path))
    for key in "ab":
        counts.values[counts.allot(key, 2)] += 1
    counts.flush()
    found = dict(records(path.read_bytes()[:-cut]))
    assert found == ({"a": (1.0, 0.0)} if cut <= 32 else {})


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 4096, b"\xff" * 4096, os.urandom(4096), b"\0\0\0\0\1\0\0\0"],
    ids=["none", "zeros", "ones", "random", "a length only"],
)
def test_any_other_bytes_are_no_records(data: bytes) -> None:
    assert list(records(data)) == []


def test_where_nothing_can_be_written_flush_fails_cleanly_and_what_was_counted_is_kept(path: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    counts = Counts(str(path))
    index = counts.allot("a", 1)
    counts.values[index] += 1
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        with pytest.raises(OSError, match="File too large"):
            counts.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    counts.values[index] += 1
    counts.flush()
    assert read(path) == {"a": [2.0]}
