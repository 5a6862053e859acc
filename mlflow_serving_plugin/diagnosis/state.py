"""The state directory, the disk behind it, and the port."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mlflow_serving_plugin.diagnosis.base import ERROR, OK, SKIPPED, WARNING, Finding, Place, can_write
from mlflow_serving_plugin.host.modes import loose_directories

_AREA = "state"
_LOW_BYTES, _FULL_BYTES = 5 * 1024**3, 200 * 1024**2
"""An environment takes about 1 GB, with a deep-learning library five."""

_FEW_FILES = 20_000
"""An environment has about that many files."""


def state_directory(place: Place) -> Iterator[Finding]:
    """Whether the state directory can be used, by this user alone, and programs in it can run."""
    if place.state_dir is None:
        advice = "Give --backend-store-uri as to the server, or set MLFLOW_SERVING_STATE_DIR."
        yield Finding(_AREA, "directory", SKIPPED, "not known without the tracking database", advice)
        return
    there = _nearest(place.state_dir)
    if not can_write(there):
        advice = "Give the directory to the server's user, or set MLFLOW_SERVING_STATE_DIR to one that the user owns."
        yield Finding(_AREA, "directory", ERROR, "This user cannot write to the state directory.", advice)
        return
    if there == place.state_dir:
        yield _owner(there)
    else:
        yield Finding(_AREA, "directory", OK, "not there yet; the server makes it")
    yield _loose(place)
    yield _runs_programs(there)


def _owner(directory: Path) -> Finding:
    found = directory.stat()
    if found.st_uid != os.getuid():
        advice = "Run this command as the server's user. If this is the server's user: give the directory to the user."
        return Finding(_AREA, "directory", ERROR, "The state directory belongs to another user.", advice)
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        advice = "The server takes the permissions away when it starts. Look who gave them."
        return Finding(_AREA, "directory", WARNING, f"Other users have permissions on it (mode {mode:o}).", advice)
    return Finding(_AREA, "directory", OK, "private to this user")


def _loose(place: Place) -> Finding:
    directories = [place.state_dir] if place.state_dir else []
    if place.settings.environments_dir:
        directories.append(Path(place.settings.environments_dir))
    loose = loose_directories(directories)
    if not loose:
        return Finding(_AREA, "parents", OK, "no other user can replace the directory")
    # How far up from the directory, because paths of the server stay on the server.
    advice = "Take the permission to write from group and others (chmod go-w) on all directories above, up to /."
    found = f"Other users can replace what the server runs: {len(loose)} of the directories above are theirs to change."
    return Finding(_AREA, "parents", WARNING, found, advice)


def _runs_programs(directory: Path) -> Finding:
    flags = os.statvfs(directory).f_flag
    if flags & os.ST_RDONLY:
        advice = "Mount a volume that can be written to, and set MLFLOW_SERVING_STATE_DIR."
        return Finding(_AREA, "file system", ERROR, "The file system is read-only.", advice)
    if flags & os.ST_NOEXEC:
        advice = "Mount the volume without noexec, or set MLFLOW_SERVING_ENVIRONMENTS_DIR to a directory elsewhere."
        return Finding(_AREA, "file system", ERROR, "Programs cannot run there (noexec), as environments must.", advice)
    return Finding(_AREA, "file system", OK, "writable, runs programs")


def disk(place: Place) -> Iterator[Finding]:
    """The space for state, for environments and for temporary files."""
    places: dict[str, Path] = {"temporary files": Path(tempfile.gettempdir())}
    if place.state_dir is not None:
        places = {
            "models and logs": place.state_dir,
            "environments": _environments(place, place.state_dir),
        } | places
    seen: set[int] = set()
    for name, path in places.items():
        there = _nearest(path)
        device = there.stat().st_dev
        if device not in seen:
            seen.add(device)
            yield _space(name, there)


def _environments(place: Place, state_dir: Path) -> Path:
    given = place.settings.environments_dir
    return Path(given).expanduser() if given else state_dir / "environments"


def _space(name: str, directory: Path) -> Finding:
    free, found = shutil.disk_usage(directory).free, os.statvfs(directory)
    text = f"{free / 1e9:.1f} GB free"
    advice = "Make room. MLFLOW_SERVING_ENVIRONMENTS_MAX_BYTES limits what environments take."
    if free < _FULL_BYTES:
        return Finding(_AREA, f"disk: {name}", ERROR, text, advice)
    if free < _LOW_BYTES:
        return Finding(_AREA, f"disk: {name}", WARNING, text, f"An environment takes 1 to 5 GB. {advice}")
    # File systems without a fixed number of files tell 0.
    if found.f_files and found.f_favail < _FEW_FILES:
        return Finding(_AREA, f"disk: {name}", WARNING, f"{text}, but {found.f_favail} files only", advice)
    return Finding(_AREA, f"disk: {name}", OK, text)


def port(place: Place) -> Iterator[Finding]:
    """Whether the server could listen, or does."""
    if place.address is None:
        return
    host, number = place.address
    check = f"port {number}"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As web servers do: a port that was in use a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except PermissionError:
            advice = "Ports below 1024 are root's: take another, and put a proxy before it."
            yield Finding(_AREA, check, ERROR, "This user may not listen there.", advice)
        except OSError as error:
            advice = "Right if it is the server that runs. If not: end the other program, or choose another --port."
            yield Finding(_AREA, check, OK if _in_use(error) else ERROR, _why(error), advice)
        else:
            yield Finding(_AREA, check, OK, "free: the server does not run")


def _in_use(error: OSError) -> bool:
    return error.errno == errno.EADDRINUSE


def _why(error: OSError) -> str:
    return "in use" if _in_use(error) else f"{error.strerror or error}"


def _nearest(path: Path) -> Path:
    """The directory, or the nearest one above that exists."""
    path = path.expanduser().absolute()
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def socket_paths(place: Place) -> Iterator[Finding]:
    """Whether sockets can be made in the file system of the state directory: some network file systems have none."""
    if place.state_dir is None:
        return
    there = _nearest(place.state_dir)
    if not can_write(there):
        return
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=there) as directory:
        name = str(Path(directory) / "s")
        if len(os.fsencode(name)) > 100:
            yield Finding(_AREA, "sockets", OK, "in the directory for temporary files, because the path is long")
            return
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
            try:
                probe.bind(name)
            except OSError as error:
                advice = "Set MLFLOW_SERVING_STATE_DIR to a directory on a local file system."
                yield Finding(_AREA, "sockets", ERROR, f"No unix socket can be made: {error.strerror}.", advice)
            else:
                yield Finding(_AREA, "sockets", OK, "can be made")
