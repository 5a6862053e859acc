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
_INSTALL = "Install it (apt-get install bubblewrap, dnf install bubblewrap), or set the endpoint's sandbox to off."
_ALLOW = "Allow user namespaces on this machine, or set the endpoint's sandbox to off."

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
import json, site, sys
print(json.dumps([sys.prefix, sys.base_prefix, site.getusersitepackages() if site.ENABLE_USER_SITE else ""]))
"""


@functools.cache
def check_sandbox() -> None:
    """Try the sandbox, until it has worked once. WorkerFailedError, with the next step, when it does not work."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise WorkerFailedError(f"The sandbox needs bubblewrap, which is not installed on this server. {_INSTALL}")
    try:
        done = subprocess.run(
            [bwrap, *_isolation(network=False, memory_limit_mb=64), *_files(()), "/bin/sh", "-c", "exit 0"],
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
    pointed_at = [Path(environ[name]) for name in _POINTING if Path(environ.get(name, "")).is_absolute()]
    shown = [*pointed_at, *_of_python(spec.environment.python), WORKER_PACKAGE, spec.model_dir, *readable]
    return [
        shutil.which("bwrap") or "bwrap",
        *_isolation(network=spec.settings.network == "on", memory_limit_mb=spec.settings.memory_limit_mb),
        *_files(shown),
        *(word for path in writable for word in ("--bind", str(path), str(path))),
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


def _files(shown: Iterable[Path]) -> list[str]:
    words = []
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    etc = [path for pattern in _ETC for path in sorted(Path("/etc").glob(pattern))]
    for path in [*etc, *dict.fromkeys(shown)]:
        words += ["--ro-bind-try", str(path), str(path)]
    return words


@functools.cache
def _of_python(python: str) -> list[Path]:
    """The files and directories of an interpreter outside the system's directories."""
    try:
        asked = subprocess.run(
            [python, "-c", _WHERE], capture_output=True, stdin=subprocess.DEVNULL, timeout=_TRY_S, check=True, cwd="/"
        )
        prefix, base, *user_site = [Path(word) for word in json.loads(asked.stdout) if word]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise WorkerFailedError(f"The model's interpreter did not report its directories: {error}.") from error
    is_venv = (prefix / "pyvenv.cfg").exists()
    found = [base, base.resolve(), *([prefix / name for name in _VENV] if is_venv else [prefix]), *user_site]
    # The interpreter may be a link to a link to the interpreter.
    link = Path(python)
    while link.is_symlink():
        link = link.parent / link.readlink()
        if not any(link.is_relative_to(directory) for directory in found):
            found.append(link)
    return [path for path in dict.fromkeys(found) if not any(path.is_relative_to(system) for system in _SYSTEM)]
