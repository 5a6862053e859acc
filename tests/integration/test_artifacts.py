"""Fetching a model's files: all of them, checked, or none."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlflow_serving_plugin.registry.artifacts import FetchError, fetch_model, fetched_model

SOURCE = "models:/m-1"
FILES = {"MLmodel": b"flavors: {}\n", "data/weights.bin": bytes(range(256)) * 4, "data/deep/er.txt": b"x", "empty": b""}


class Store:
    """An artifact store that counts its downloads."""

    def __init__(self, files: dict[str, bytes], below: str = "") -> None:
        self._files = files
        self._below = below
        self.downloads = 0

    def __call__(self, destination: str) -> str:
        self.downloads += 1
        root = Path(destination) / self._below
        for name, content in self._files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return str(root)


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "models" / "e1" / "3-abcd"


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def left_behind(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir()) if target.parent.exists() else []


@pytest.mark.parametrize("below", ["", "run/artifacts/model"])
def test_all_files_are_there_wherever_in_the_destination_they_were_downloaded_to(target, below):
    found = fetch_model(SOURCE, target, Store(FILES, below))
    assert contents(found) == FILES
    assert found.is_relative_to(target)
    assert left_behind(target) == [target.name]


def test_the_manifest_has_each_file_s_size_and_sha_256(target):
    fetch_model(SOURCE, target, Store(FILES))
    (manifest,) = [path for path in target.iterdir() if path.is_file()]
    assert json.loads(manifest.read_text()) == {
        "source": SOURCE,
        "files": {name: [len(data), hashlib.sha256(data).hexdigest()] for name, data in FILES.items()},
    }


def test_what_was_fetched_is_found_again_and_not_fetched_again(target):
    store = Store(FILES)
    found = fetch_model(SOURCE, target, store)
    assert fetched_model(target, SOURCE) == found == fetch_model(SOURCE, target, store)
    assert store.downloads == 1


def test_nothing_is_found_before_a_fetch(target):
    assert fetched_model(target, SOURCE) is None


def test_nothing_is_found_while_a_fetch_is_under_way(target):
    seen = []

    def download(destination: str) -> str:
        found = Store(FILES)(destination)
        seen.append((target.exists(), fetched_model(target, SOURCE)))
        return found

    fetch_model(SOURCE, target, download)
    assert seen == [(False, None)]


def test_the_files_of_another_source_are_replaced(target):
    fetch_model(SOURCE, target, Store(FILES))
    assert fetched_model(target, "models:/m-2") is None
    other = {"MLmodel": b"flavors: {other: {}}\n"}
    assert contents(fetch_model("models:/m-2", target, Store(other))) == other


def truncate(file: Path) -> None:
    """As a crash of the machine does, which loses what was written last: the time of the change stays."""
    found = file.stat()
    file.write_bytes(b"short")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.parametrize(
    "damage",
    [
        lambda files: truncate(files / "data/weights.bin"),
        lambda files: (files / "data/weights.bin").unlink(),
        lambda files: (files / "MLmodel").unlink(),
        shutil.rmtree,
        lambda files: (files.parent / "files.json").unlink(),
        lambda files: (files.parent / "files.json").write_text('{"source": "models:/m-1", "fil'),
        lambda files: (files.parent / "files.json").write_text('{"source": "models:/m-1", "files": {"MLmodel": 3}}'),
        lambda files: (files.parent / "files.json").write_text("[]"),
    ],
    ids=["truncated", "file gone", "MLmodel gone", "all gone", "no manifest", "cut manifest", "odd manifest", "list"],
)
def test_files_that_do_not_match_their_manifest_are_fetched_again(target, damage):
    damage(fetch_model(SOURCE, target, Store(FILES)))
    assert fetched_model(target, SOURCE) is None
    store = Store(FILES)
    assert contents(fetch_model(SOURCE, target, store)) == FILES
    assert store.downloads == 1


def test_a_file_that_the_model_has_written_to_stays_and_nothing_is_fetched_again(target):
    files = fetch_model(SOURCE, target, Store(FILES))
    (files / "data/weights.bin").write_bytes(b"counted: 7")
    (files / "data/weights.bin-journal").write_bytes(b"more")
    store = Store(FILES)
    assert fetch_model(SOURCE, target, store) == fetched_model(target, SOURCE) == files
    assert (files / "data/weights.bin").read_bytes() == b"counted: 7"
    assert store.downloads == 0


def test_a_lost_file_is_put_back_and_a_running_worker_keeps_all_others(target):
    files = fetch_model(SOURCE, target, Store(FILES))
    (files / "data/weights.bin").write_bytes(b"counted: 7")
    shutil.rmtree(files / "data/deep")
    inodes = {path: path.stat().st_ino for path in (files, files / "MLmodel", files / "data/weights.bin")}
    found = fetch_model(SOURCE, target, Store(FILES))
    assert contents(found) == {**FILES, "data/weights.bin": b"counted: 7"}
    assert {path: path.stat().st_ino for path in inodes} == inodes
    assert left_behind(target) == [target.name]


def test_a_download_that_fails_half_way_leaves_nothing_and_says_why_in_one_line(target):
    def download(destination: str) -> str:
        Store(FILES)(destination)
        raise ConnectionResetError("connection reset by s3\nwith a long story")

    with pytest.raises(FetchError) as caught:
        fetch_model(SOURCE, target, download)
    said = "ConnectionResetError: connection reset by s3"
    assert caught.value.message == f"The model's files could not be fetched from its artifact location: {said}"
    assert left_behind(target) == []


def test_a_download_that_fails_leaves_the_files_that_are_there(target):
    fetch_model(SOURCE, target, Store(FILES))

    def download(_destination: str) -> str:
        raise TimeoutError

    with pytest.raises(FetchError, match=r"TimeoutError$"):
        fetch_model("models:/m-2", target, download)
    assert contents(fetched_model(target, SOURCE)) == FILES


def test_an_artifact_location_without_a_model_is_called_that(target):
    with pytest.raises(FetchError, match="holds no MLmodel file, so there is no model to serve"):
        fetch_model(SOURCE, target, Store({"data/weights.bin": b"x"}))
    assert left_behind(target) == []


def test_a_download_that_names_a_place_without_files_is_no_model(target):
    with pytest.raises(FetchError, match="no MLmodel"):
        fetch_model(SOURCE, target, lambda destination: destination + "/nowhere")


def test_a_fetch_that_was_killed_does_not_count(target):
    """What a kill -9 leaves behind is beside the directory, and not taken for it."""

    def download(destination: str) -> str:
        Store(FILES)(destination)
        raise SystemExit

    with pytest.raises(SystemExit):
        fetch_model(SOURCE, target, download)
    assert fetched_model(target, SOURCE) is None
    assert left_behind(target) == []


# A disk that does not take them


@pytest.fixture
def full_disk(tmp_path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    point = tmp_path / "disk"
    point.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(point)], check=False, capture_output=True
    )
    if made.returncode != 0:
        pytest.skip("this user may not mount a file system")
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)


def test_a_full_disk_is_told_in_a_sentence_and_leaves_nothing(full_disk):
    target = full_disk / "e1" / "3"
    with pytest.raises(FetchError, match=r"could not be fetched from .*No space left on device"):
        fetch_model(SOURCE, target, Store({**FILES, "data/large.bin": bytes(1 << 20)}))
    assert left_behind(target) == []


def test_a_disk_that_cannot_be_written_is_told_in_a_sentence(full_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], check=True)
    store = Store(FILES)
    with pytest.raises(FetchError, match=r"^The model's files could not be stored: Read-only file system\.$"):
        fetch_model(SOURCE, full_disk / "e1" / "3", store)
    assert store.downloads == 0


def test_a_file_where_the_directory_should_be_is_told_in_a_sentence(tmp_path):
    (tmp_path / "models").write_text("not a directory")
    with pytest.raises(FetchError, match=rf"^The model's files could not be stored: {os.strerror(errno.ENOTDIR)}\.$"):
        fetch_model(SOURCE, tmp_path / "models" / "3", Store(FILES))


# At once


def test_two_fetches_of_the_same_model_at_once_both_end_with_all_files(target):
    both = threading.Barrier(2, timeout=10)

    def download(destination: str) -> str:
        found = Store(FILES)(destination)
        both.wait()
        return found

    for _ in range(50):
        shutil.rmtree(target, ignore_errors=True)
        with ThreadPoolExecutor(2) as threads:
            results = list(threads.map(lambda _: fetch_model(SOURCE, target, download), range(2)))
        assert [contents(found) for found in results] == [FILES, FILES]
        assert left_behind(target) == [target.name]


def test_the_slower_of_two_fetches_leaves_the_files_that_the_faster_put_there(target):
    """They may be in use already."""
    first = []

    def download(destination: str) -> str:
        first.append((fetch_model(SOURCE, target, Store(FILES)) / "MLmodel").stat().st_ino)
        return Store(FILES)(destination)

    assert [(fetch_model(SOURCE, target, download) / "MLmodel").stat().st_ino] == first
    assert left_behind(target) == [target.name]


def test_fetches_of_different_versions_at_once_do_not_meet(target):
    def fetch(number: int) -> dict[str, bytes]:
        files = {"MLmodel": f"{number}".encode()}
        return contents(fetch_model(f"models:/m-{number}", target.with_name(str(number)), Store(files)))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(fetch, range(20))) == [{"MLmodel": f"{n}".encode()} for n in range(20)]


def test_files_that_a_download_names_outside_its_directory_are_copied_and_stay_where_they_are(target, tmp_path):
    # An artifact repository may know a shorter way to local files than to copy them.
    theirs = tmp_path / "artifact store" / "model"
    theirs.mkdir(parents=True)
    (theirs / "MLmodel").write_text("flavors: {}")
    found = fetch_model("s3://bucket/model", target, lambda _: str(theirs))
    assert (found / "MLmodel").read_text() == "flavors: {}"
    assert (theirs / "MLmodel").is_file()
