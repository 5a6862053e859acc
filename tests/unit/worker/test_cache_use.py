"""What a worker's cache takes on the disk, and when that is too much."""

from __future__ import annotations

import os
import sys

import pytest

from mlflow_serving_plugin.worker.cache_use import CacheWatch, used_bytes

MB = 1024 * 1024


def write(path, size=MB):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def test_files_count_once_wherever_they_are_linked_and_links_lead_nowhere(tmp_path):
    cache, outside = tmp_path / "cache", write(tmp_path / "outside", 4 * MB)
    first = write(cache / "a" / "b" / "file")
    (cache / "again").hardlink_to(first)
    (cache / "link").symlink_to(outside)
    (cache / "above").symlink_to(tmp_path)
    assert MB <= used_bytes(str(cache)) < 1.1 * MB


def test_a_hundred_thousand_empty_files_are_not_free(tmp_path):
    for number in range(100):
        (tmp_path / str(number)).touch()
    assert used_bytes(str(tmp_path)) >= 100 * 512


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no /proc")
def test_a_file_that_is_removed_but_held_open_counts(tmp_path):
    path = write(tmp_path / "cache" / "file", 2 * MB)
    with path.open("rb"):
        path.unlink()
        assert used_bytes(str(path.parent)) < MB
        assert used_bytes(str(path.parent), [os.getpid()]) >= 2 * MB
    assert used_bytes(str(path.parent), [os.getpid()]) < MB


def test_a_directory_that_is_gone_takes_nothing(tmp_path):
    assert used_bytes(str(tmp_path / "gone")) == 0


def test_a_watch_looks_at_once_then_again_after_a_while_and_names_the_limit(tmp_path):
    watch = CacheWatch.of({"cache": str(tmp_path), "cache_mb": 1})
    assert watch.due()
    assert watch.beyond([]) is None
    assert not watch.due()
    write(tmp_path / "file", 3 * MB)
    assert watch.beyond([]) == "ending: its cache has 3 MB, more than the 1 that its endpoint's cache_mb allows"
    assert CacheWatch.of({"cache": None, "cache_mb": None}) is None
