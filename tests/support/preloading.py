"""The process that imports what zygotes and workers import, and becomes them in forks. See ``preloaded``.

``<python> <this file> <directory of the worker's program> <socket>`` and room for the command lines of its forks.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_OWN = frozenset({"HOME", "PATH", "PWD", "TMPDIR", "TZ"})
"""Variables that no library reads when it is imported."""
_LOOK_S = 1.0


class _Parent:
    """The process that forks, until the directory of the run is gone."""

    def __init__(self, package: str, path: str) -> None:
        self._worker = functools.partial(_enter, package)
        self._path = Path(path)
        self._environ = dict(os.environ)
        self._room = len(sys.argv)
        _preload(package)
        self._by_imports = {name: value for name, value in os.environ.items() if name not in self._environ}
        self._ended: dict[int, int] = {}

    def run(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        self._path.chmod(0o600)
        listener.listen(64)
        awake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._reap)
        while self._path.exists():
            readable = select.select([listener, awake], [], [], _LOOK_S)[0]
            if awake in readable:
                os.read(awake, 512)
            if listener in readable:
                with contextlib.suppress(OSError, ValueError), listener.accept()[0] as connection:
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as reader:
            order = json.loads(reader.readline())
        if "poll" in order:
            answer = {"ended": self._ended.get(order["poll"])}
        elif not self._makes_no_difference(order):
            answer = {}
        else:
            answer = {"pid": self._fork(order)}
        connection.sendall(json.dumps(answer).encode() + b"\n")

    def _fork(self, order: Mapping[str, Any]) -> int:
        """The pid of a fork that has its session and its command line, as a program has when it has been started."""
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            self._become(order)
        os.close(writing)
        os.read(reading, 1)  # Ends when the fork closes its end.
        os.close(reading)
        return pid

    def _makes_no_difference(self, order: Mapping[str, Any]) -> bool:
        env = {"theirs": order["env"], "ours": self._environ}
        theirs, ours = ({n: v for n, v in one.items() if n not in _OWN} for one in env.values())
        fits = len("\0".join(order["command"]).encode()) < self._room
        return order["command"][0] == sys.executable and order["user"] == os.getuid() and theirs == ours and fits

    def _become(self, order: Mapping[str, Any]) -> None:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            os.chdir(order["cwd"])
            os.environ.clear()
            os.environ.update({**self._by_imports, **order["env"]})
            time.tzset()
            sys.modules["numpy"].random.seed()
            _set_command_line(order["command"])
            sys.argv = order["command"][1:]
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            os.closerange(3, 256)
            os._exit(self._worker(sys.argv))
        finally:
            os._exit(1)

    def _reap(self, *_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self._ended[found[0]] = os.waitstatus_to_exitcode(found[1])


def _enter(package: str, argv: Sequence[str]) -> int:
    """The entry of the worker's program."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("worker_entry", f"{package}/__main__.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return int(module.main(argv))


def _preload(package: str) -> None:
    """What zygotes import, under the name that their program has for its package."""
    import gc
    from importlib import import_module
    from importlib.util import module_from_spec, spec_from_file_location

    name = "mlflow_serving_worker"
    spec = spec_from_file_location(name, f"{package}/__init__.py", submodule_search_locations=[package])
    assert spec is not None and spec.loader is not None
    sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    import_module(f"{name}.zygote")
    preload = import_module(f"{name}.preload")
    preload.preload_always()
    preload.preload_flavor("mlflow.sklearn")
    gc.collect()
    gc.freeze()


def _set_command_line(words: Sequence[str]) -> None:
    """What other processes read as this one's command line, in the place of what it was started with."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])
    text = b"".join(word.encode() + b"\0" for word in words)
    ctypes.memset(begin, 0, end - begin)
    ctypes.memmove(begin, text, len(text))


if __name__ == "__main__":
    # This directory, in which modules have everyday names.
    sys.path.pop(0)
    _Parent(sys.argv[1], sys.argv[2]).run()
