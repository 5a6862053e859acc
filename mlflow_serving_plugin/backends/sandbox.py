"""Bubblewrap around a worker's command: the worker sees only the files that it needs, most of them read-only.

The one file of the server that a worker can write is the worker's status file. The guard passes the socket on, so the
worker can write to no directory in which it could replace the socket.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerSpec
from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE

HOME = "/tmp"  # noqa: S108 - the sandbox's own
_TRY_S = 20.0
_AUTO = "set the endpoint's sandbox to auto and its network to on."
_INSTALL = f"Install it (apt-get install bubblewrap, dnf install bubblewrap), or {_AUTO}"
_ALLOW = f"Allow user namespaces on this machine, or {_AUTO}"

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/sys/devices/system/cpu")
_ETC = (
    *("alternatives", "ca-certificates", "group", "gai.conf", "host.conf", "hosts", "java*", "ld.so.*", "localtime"),
    *("mime.types", "nsswitch.conf", "passwd", "protocols", "resolv.conf", "services", "timezone"),
    *("ssl/certs", "ssl/*.cnf", "ssl/cert.pem", "pki/ca-trust", "pki/tls/certs", "pki/tls/*.cnf", "pki/tls/cert.pem"),
)
"""Not all of ``ssl`` and ``pki``: these directories also hold private keys."""

_VENV = ("bin", "etc", "include", "lib", "lib64", "pyvenv.cfg", "share")
"""The parts of a virtual environment. Other files beside these, such as a database, stay hidden."""

_POINTING = ("CUDA_HOME", "CURL_CA_BUNDLE", "JAVA_HOME", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE")
"""Variables of the server that name files and directories which models need."""

_WHERE = """
import json, os, site, sys
user = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
packages = [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
print(json.dumps([sys.prefix, sys.base_prefix, user, *packages]))
"""


def at_home(directory: str) -> dict[str, str]:
    """The variables that keep a worker's caches and temporary files in a directory of its own."""
    return {"HOME": directory, "TMPDIR": directory}


def without_bubblewrap() -> str:
    """Why bubblewrap does not work here, and what to do; empty when it does."""
    try:
        check_sandbox()
    except WorkerFailedError as error:
        return error.message
    return ""


@functools.cache
def check_sandbox() -> None:
    """Try the sandbox, until it has worked once. WorkerFailedError, with the next step, when it does not work."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise WorkerFailedError(f"The sandbox needs bubblewrap, which is not installed on this server. {_INSTALL}")
    try:
        done = subprocess.run(
            [bwrap, *_isolation(network=False, memory_limit_mb=64), *_files(*system_view()), "/bin/sh", "-c", "exit 0"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_TRY_S,
            check=False,
        )
        output, failed = done.stderr.decode("utf-8", "replace").strip(), done.returncode != 0
    except (OSError, subprocess.TimeoutExpired) as error:
        output, failed = str(error), True
    if failed:
        output = output.splitlines()[-1][:200] if output else "no output"
        raise WorkerFailedError(f"The sandbox does not work on this server. bubblewrap: {output}. {_ALLOW}")


def sandboxed(
    command: list[str],
    spec: WorkerSpec,
    environ: Mapping[str, str],
    *,
    readable: Iterable[Path] = (),
    writable: Iterable[Path] = (),
) -> list[str]:
    """The command inside bubblewrap. ``environ``: the server's. ``readable``, ``writable``: more files to show."""
    paths, links = view_of(spec, environ)
    return [
        shutil.which("bwrap") or "bwrap",
        *_isolation(network=spec.settings.network == "on", memory_limit_mb=spec.settings.memory_limit_mb),
        *_files([*paths, *readable], links),
        *(word for path in (*writable, *spec.writable) for word in ("--bind", str(path), str(path))),
        *("--remount-ro", "/", "--chdir", str(spec.model_dir), "--"),
        *command,
    ]


def _isolation(*, network: bool, memory_limit_mb: int | None) -> list[str]:
    # Files in these directories are kept in memory.
    size = ["--size", str(memory_limit_mb * 1024 * 1024)] if memory_limit_mb else []
    return [
        *("--unshare-all", *_no_nesting()),
        *(["--share-net"] if network else []),
        *("--die-with-parent", "--cap-drop", "ALL", "--dev", "/dev"),
        # Read-only: as root, a worker could change kernel settings there even without capabilities.
        *("--proc", "/proc", "--remount-ro", "/proc"),
        *(*size, "--tmpfs", "/dev/shm", *size, "--tmpfs", HOME),  # noqa: S108 - the sandbox's own
    ]


@functools.cache
def _no_nesting() -> list[str]:
    """Options against nested namespaces, in which a worker could mount other files; since bubblewrap 0.8."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return []
    done = subprocess.run([bwrap, "--help"], capture_output=True, stdin=subprocess.DEVNULL, timeout=_TRY_S, check=False)
    return ["--unshare-user", "--disable-userns"] if b"--disable-userns" in done.stdout + done.stderr else []


def _files(paths: Iterable[Path], links: Mapping[str, str]) -> list[str]:
    words = [word for path, target in links.items() for word in ("--symlink", target, path)]
    return words + [word for path in dict.fromkeys(paths) for word in ("--ro-bind-try", str(path), str(path))]


def view_of(spec: WorkerSpec, environ: Mapping[str, str]) -> tuple[list[Path], dict[str, str]]:
    """The files and directories that a worker may read, and symbolic links by path. ``environ``: the server's."""
    paths, links = system_view()
    pointed_at = [Path(environ[name]) for name in _POINTING if Path(environ.get(name, "")).is_absolute()]
    shown = [*paths, *pointed_at, *_of_python(spec.environment.python), WORKER_PACKAGE, spec.model_dir]
    return list(dict.fromkeys(shown)), links


def system_view() -> tuple[list[Path], dict[str, str]]:
    """The part of the view that all workers have: the system's libraries and programs, and what these read of /etc."""
    system = [Path(path) for path in _SYSTEM]
    links = {str(path): str(path.readlink()) for path in system if path.is_symlink()}
    etc = [path for pattern in _ETC for path in sorted(Path("/etc").glob(pattern))]
    return [*(path for path in system if path.is_dir() and not path.is_symlink()), *etc], links


@functools.cache
def _of_python(python: str) -> list[Path]:
    """The files and directories of an interpreter outside the system's directories."""
    try:
        asked = subprocess.run(
            [python, "-c", _WHERE], capture_output=True, stdin=subprocess.DEVNULL, timeout=_TRY_S, check=True, cwd="/"
        )
        prefix, base, *packages = [Path(word) for word in json.loads(asked.stdout) if word]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise WorkerFailedError(f"The model's interpreter did not report its directories: {error}.") from error
    is_venv = (prefix / "pyvenv.cfg").exists()
    found = [base, base.resolve(), *([prefix / name for name in _VENV] if is_venv else [prefix]), *packages]
    # The interpreter may be a link to a link to the interpreter.
    link = Path(python)
    while link.is_symlink():
        link = link.parent / link.readlink()
        if not any(link.is_relative_to(directory) for directory in found):
            found.append(link)
    return [path for path in dict.fromkeys(found) if not any(path.is_relative_to(system) for system in _SYSTEM)]
