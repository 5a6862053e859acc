"""Fetches a model version's files from any artifact store: all files or none."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from mlflow_serving_plugin.domain.advice import explain
from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.registry.windows_paths import mend_windows_paths

_MANIFEST = "files.json"
_OF_A_FILE = re.compile(r"^#+ File .* #+\n(.+)", re.MULTILINE)
"""In an error of MLflow's, which names each file that could not be had: what happened to the first."""

_FILES = "model"

_QUOTED_PATH = re.compile(r"'[^']*/([^'/]+)'")
"""Also a path within an artifact store."""

Download = Callable[[str], str]
"""Downloads into the directory given; returns the path of the files in that directory."""


class FetchError(ServingError):
    """The model's files cannot be fetched; the message says why."""


def fetched_model(directory: Path, source: str) -> Path | None:
    """The model files in ``directory``; None unless a fetch of ``source`` was completed and no file is lacking."""
    return None if _lacking(directory, source) != [] else directory / _FILES


def _lacking(directory: Path, source: str) -> list[str] | None:
    """The files that are missing or damaged; None unless a fetch of ``source`` was completed.

    A file that was changed after the fetch is whole, whatever its size: a model may keep a database among its files.
    """
    try:
        fetched_ns = (directory / _MANIFEST).stat().st_mtime_ns
        manifest = json.loads((directory / _MANIFEST).read_bytes())
        if manifest["source"] != source:
            return None
        files = manifest["files"].items()
        # Strings: thousands of models are looked at, and a Path costs more than the look.
        return [name for name, (size, _) in files if _lacks(f"{directory}/{_FILES}/{name}", size, fetched_ns)]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lacks(path: str, size: int, fetched_ns: int) -> bool:
    try:
        found = os.stat(path)  # noqa: PTH116 - see above
    except OSError:
        return True
    return found.st_size != size and found.st_mtime_ns <= fetched_ns


def fetch_model(source: str, directory: Path, download: Download) -> Path:
    """Fetch ``source`` and return the local model directory.

    Downloads beside ``directory``, writes a manifest with each file's size and SHA-256, then renames, so that
    ``directory`` is never incomplete. Where files were lost, only these are put back: a worker may be running on the
    others, and may have written to them. FetchError names what is missing.
    """
    if (found := fetched_model(directory, source)) is not None:
        return found
    scratch = directory.with_name(f".{directory.name}.{uuid.uuid4().hex[:8]}")
    try:
        _download(source, scratch, download)
        _put_in_place(scratch, directory, source)
    except OSError as error:
        raise FetchError(f"The model's files could not be stored: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return directory / _FILES


def _download(source: str, scratch: Path, download: Download) -> None:
    incoming = scratch / "incoming"
    incoming.mkdir(parents=True)
    try:
        found = Path(download(str(incoming)))
    except Exception as error:
        raise FetchError(
            f"The model's files could not be fetched from its artifact location: {_reason(error)}"
        ) from error
    if not (found / "MLmodel").is_file():
        raise FetchError("The version's artifact location holds no MLmodel file, so there is no model to serve.")
    files = scratch / _FILES
    if found.resolve().is_relative_to(incoming.resolve()):
        found.rename(files)
    else:  # the artifact store's own files, which must stay where they are
        shutil.copytree(found, files)
    shutil.rmtree(incoming, ignore_errors=True)
    mend_windows_paths(files)
    manifest = {
        str(path.relative_to(files)): (path.stat().st_size, _sha256(path))
        for path in sorted(files.rglob("*"))
        if path.is_file()
    }
    with (scratch / _MANIFEST).open("w") as out:
        json.dump({"source": source, "files": manifest}, out)
        out.flush()
        os.fsync(out.fileno())


def _put_in_place(scratch: Path, directory: Path, source: str) -> None:
    """Rename, unless another fetch at the same time was faster: the files of that fetch may be in use already."""
    lacking = _lacking(directory, source)
    for name in lacking or ():
        (directory / _FILES / name).parent.mkdir(parents=True, exist_ok=True)
        (scratch / _FILES / name).replace(directory / _FILES / name)
    if lacking is None and directory.exists():
        shutil.rmtree(directory, ignore_errors=True)
    try:
        scratch.rename(directory)
    except OSError:
        if fetched_model(directory, source) is None:
            raise


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    """One line of an error, whose other lines quote URIs and settings of the server."""
    text = str(error).strip()
    of_a_file = _OF_A_FILE.search(text)
    said = of_a_file[1] if of_a_file else f"{type(error).__name__}: {next(iter(text.splitlines()), '')}".rstrip(": ")
    return explain(_QUOTED_PATH.sub(r"'\1'", said), "fetch")
