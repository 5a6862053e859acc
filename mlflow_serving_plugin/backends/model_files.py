"""A model's files as content: what a node lacks is sent to it, and files that models share are kept once.

Fed by the driver of the Ray cluster, which reads the files of this host; feeds the cache of a node.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

PIECE_BYTES = 16 * 1024 * 1024
"""Sent and held in memory at a time."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a model, by its path in the model's directory. ``digest`` SHA-256 in hex; empty for a directory."""

    path: str
    size: int
    digest: str


Manifest = tuple[ModelFile, ...]


def manifest_of(model_dir: Path) -> Manifest:
    """What a model's directory holds. OSError."""
    return tuple(_describe(model_dir, path) for path in sorted(model_dir.rglob("*")))


def pieces(path: Path) -> Iterator[bytes]:
    """A file's content, piece by piece; one empty piece of an empty file."""
    with path.open("rb") as file:
        yield file.read(PIECE_BYTES)
        while piece := file.read(PIECE_BYTES):
            yield piece


class FileCache:
    """The files of a node: ``files/<digest>``, and for each model a directory of hard links. Thread-safe."""

    def __init__(self, root: Path) -> None:
        self._files, self._models, self._scratch = root / "files", root / "models", root / "scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)
        for directory in (self._files, self._models, self._scratch):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lacks(self, manifest: Manifest) -> list[str]:
        """The digests of files that are not here."""
        return sorted({one.digest for one in manifest if one.digest and not self._path(one.digest).exists()})

    def begin(self) -> str:
        """A name for a file that is about to come."""
        return uuid.uuid4().hex

    def add(self, name: str, piece: bytes) -> None:
        """The next piece of a file."""
        with (self._scratch / name).open("ab") as file:
            file.write(piece)

    def end(self, name: str, digest: str) -> None:
        """All of a file is here; ValueError when its content is another."""
        path = self._scratch / name
        if _digest(path) != digest:
            path.unlink()
            raise ValueError("a file of the model came damaged")
        path.chmod(0o400)
        path.replace(self._path(digest))

    def assemble(self, manifest: Manifest) -> Path:
        """A directory with the model, all of whose files are here. OSError."""
        key = hashlib.sha256(repr(manifest).encode()).hexdigest()[:24]
        found = self._models / key
        if not found.is_dir():
            scratch = self._scratch / uuid.uuid4().hex
            scratch.mkdir(mode=0o700)
            for one in manifest:
                target = scratch / one.path
                if one.digest:
                    target.hardlink_to(self._path(one.digest))
                else:
                    target.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                scratch.rename(found)
            except OSError:
                # Another launch was faster.
                shutil.rmtree(scratch, ignore_errors=True)
                if not found.is_dir():
                    raise
        os.utime(found)
        return found

    def trim(self, in_use: Collection[Path], limit_bytes: int, unused_s: float = 600.0) -> None:
        """Remove the models that were used least recently, and files of no model, until the rest is within the limit.

        A model assembled within ``unused_s`` may be about to be launched, and stays.
        """
        recent = time.time() - unused_s
        models = sorted(self._models.iterdir(), key=lambda path: path.stat().st_mtime)
        for model in models:
            if self.size_bytes() <= limit_bytes:
                return
            if model not in in_use and model.stat().st_mtime < recent:
                shutil.rmtree(model, ignore_errors=True)
                self._remove_unlinked(recent)

    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self._files.iterdir())

    def _remove_unlinked(self, recent: float) -> None:
        for path in self._files.iterdir():
            found = path.stat()
            if found.st_nlink == 1 and found.st_mtime < recent:
                path.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._files / digest


def _describe(model_dir: Path, path: Path) -> ModelFile:
    name = path.relative_to(model_dir).as_posix()
    return ModelFile(name, 0, "") if path.is_dir() else ModelFile(name, path.stat().st_size, _digest(path))


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for piece in pieces(path):
        digest.update(piece)
    return digest.hexdigest()
