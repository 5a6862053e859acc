"""A conda channel in a directory: this machine's Python, packed as conda packs it, and a small noarch package."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import sys
import sysconfig
import tarfile
from pathlib import Path

_LEFT_OUT = {"test", "tests", "site-packages", "__pycache__", "idlelib", "turtledemo", "ensurepip", "lib2to3"}


def make_channel(directory: Path) -> str:
    """Pack and index; the channel's URL."""
    from rattler import Platform
    from rattler.index import index_fs

    subdir = str(Platform.current())
    version = ".".join(map(str, sys.version_info[:3]))
    _pack(directory / subdir, "python", version, _python_files(), subdir=subdir)
    words = {"share/words/greeting.txt": b"hello from conda\n"}
    _pack(directory / "noarch", "words", "1.0", {k: (v, 0o644) for k, v in words.items()}, subdir="noarch")
    asyncio.run(index_fs(directory))
    return directory.as_uri()


def _python_files() -> dict[str, tuple[bytes | str, int]]:
    """The interpreter, its libraries and its headers; a string is where a link points."""
    base = Path(sys.base_prefix)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found: dict[str, tuple[bytes | str, int]] = {"bin/python": (name, 0o777), "bin/python3": (name, 0o777)}
    program = base / "bin" / name
    found[f"bin/{name}"] = (program.read_bytes(), 0o755)
    shared = sysconfig.get_config_var("LDLIBRARY") or ""
    if shared.endswith(".so"):
        for path in (base / "lib").glob("libpython*.so*"):
            found[f"lib/{path.name}"] = (path.read_bytes(), 0o755)
    library = base / "lib" / name
    for parent, directories, files in os.walk(library):
        directories[:] = [d for d in directories if d not in _LEFT_OUT and not d.startswith("config-")]
        for file in files:
            path = Path(parent) / file
            found[str(path.relative_to(base))] = (path.read_bytes(), 0o755 if path.suffix == ".so" else 0o644)
    return found


def _pack(directory: Path, name: str, version: str, files: dict[str, tuple[bytes | str, int]], *, subdir: str) -> None:
    directory.mkdir(parents=True)
    index = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": [], "subdir": subdir}
    if subdir == "noarch":
        index["noarch"] = "generic"
    paths = []
    for path, (content, _) in files.items():
        if isinstance(content, str):
            paths.append({"_path": path, "path_type": "softlink"})
        else:
            digest = hashlib.sha256(content).hexdigest()
            paths.append({"_path": path, "path_type": "hardlink", "sha256": digest, "size_in_bytes": len(content)})
    info = {
        "info/index.json": json.dumps(index),
        "info/files": "".join(f"{path}\n" for path in files),
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}),
    }
    with tarfile.open(directory / f"{name}-{version}-0.tar.bz2", "w:bz2", compresslevel=1) as package:
        for path, text in info.items():
            _add(package, path, text.encode(), 0o644)
        for path, (content, mode) in files.items():
            _add(package, path, content, mode)


def _add(package: tarfile.TarFile, path: str, content: bytes | str, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.mode = mode
    if isinstance(content, str):
        entry.type, entry.linkname = tarfile.SYMTYPE, content
        package.addfile(entry)
    else:
        entry.size = len(content)
        package.addfile(entry, io.BytesIO(content))
