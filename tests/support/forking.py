"""The program that forks ``mlflow`` commands and web servers for ``support.forked``, one for each line of orders."""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib.util
import json
import multiprocessing
import os
import re
import runpy
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_WEB_SERVERS = ("uvicorn", "gunicorn")
_LATER = ("mlflow.cli", "mlflow.server", *_WEB_SERVERS, "waitress", "__main__")
"""What depends on the environment, and what tells MLflow that a process is a web worker."""

_ended: dict[int, int] = {}  # The exit statuses of commands, by their pids.


def _main() -> None:
    _import(json.loads(Path(sys.argv[1]).read_text()))
    before = set(sys.modules)
    importlib.import_module("mlflow.cli")
    of_the_command = sorted(set(sys.modules) - before)
    # A collection of garbage writes to each object, and what is written to is copied.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, _reap)
    for line in sys.stdin:
        order = json.loads(line)
        if "poll" in order:
            answer = _ended.get(order["poll"])
        else:
            answer = os.fork()
            if not answer:
                _become(order)
                _run(_command, order["arguments"], of_the_command)
        print(json.dumps(answer), flush=True)


def _import(names: Sequence[str]) -> None:
    sys.meta_path.insert(0, _NotYet())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            if name not in sys.modules and not _is_later(name):
                # Some names are of no modules that can be imported.
                with contextlib.suppress(_TooEarlyError, ImportError):
                    importlib.import_module(name)
    sys.meta_path.pop(0)


def _is_later(name: str) -> bool:
    return any(name == later or name.startswith(f"{later}.") for later in _LATER)


class _TooEarlyError(BaseException):
    """What needs a module that is imported later is imported later too, and does not take it for not installed."""


class _NotYet:
    """Finds nothing of what is imported later."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if _is_later(name):
            raise _TooEarlyError(name)


def _run(work: Callable[..., Any], *given: Any) -> None:
    """Work, and end as an interpreter does, but for taking apart what was imported: that would copy all of it."""
    code: Any = 0
    try:
        work(*given)
    except SystemExit as exit:
        code = exit.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _command(arguments: Sequence[str], of_the_command: Sequence[str]) -> Any:
    """Be ``mlflow`` with these arguments; a web server does not get the modules ``of_the_command``."""
    import mlflow.server
    from mlflow.cli import cli

    if arguments[0] == "server":
        server = _WebServer(of_the_command)
        mlflow.server._exec_cmd = functools.partial(_start_web_server, server, mlflow.server._exec_cmd)
    return cli(arguments, prog_name="mlflow")


def _forget(names: Sequence[str]) -> None:
    """Have modules imported anew when they are next asked for."""
    for name in names:
        sys.modules.pop(name, None)
        package, _, module = name.rpartition(".")
        if package in sys.modules:
            vars(sys.modules[package]).pop(module, None)


def _start_web_server(server: _WebServer, otherwise: Any, command: Any, **options: Any) -> Any:
    """MLflow's ``_exec_cmd``."""
    if command[:2] != [sys.executable, "-m"] or command[2] not in _WEB_SERVERS:
        return otherwise(command, **options)
    server.start(command[2:], options["extra_env"])
    return server


class _WebServer:
    """A child of the command that waits to become its web server; ends when the command ends before.

    What MLflow asks of a ``subprocess.Popen``.
    """

    def __init__(self, of_the_command: Sequence[str]) -> None:
        reading, self._orders = os.pipe()
        self._ended: int | None = None
        self.pid = os.fork()
        if self.pid:
            os.close(reading)
            return
        os.close(self._orders)
        with os.fdopen(reading) as orders:
            order = orders.read()
        if order:
            _forget(of_the_command)
            _run(_web_server, *json.loads(order))
        os._exit(0)

    def start(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Become the web server of a command line, ``uvicorn --host ...``."""
        with os.fdopen(self._orders, "w") as orders:
            json.dump([list(command), {**os.environ, **environ}, _capabilities()], orders)

    def poll(self) -> int | None:
        return self._wait(os.WNOHANG)

    def wait(self) -> int | None:
        return self._wait(0)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def _wait(self, options: int) -> int | None:
        # A handler of signals may have waited meanwhile.
        with contextlib.suppress(ChildProcessError):
            if self._ended is None and (found := os.waitpid(self.pid, options))[0]:
                self._ended = os.waitstatus_to_exitcode(found[1])
        return self._ended


def _capabilities() -> list[int]:
    """What this process, as root, may do."""
    status = Path("/proc/self/status").read_text()
    held = int(re.findall(r"^CapPrm:\s*(\w+)$", status, re.MULTILINE)[0], 16)
    return [number for number in range(held.bit_length()) if held >> number & 1]


def _web_server(command: Sequence[str], environ: Mapping[str, str], capabilities: Sequence[int]) -> None:
    from mlflow_serving_plugin.worker.isolation import calls

    # This process was there before the command gave up some.
    calls.keep_capabilities(capabilities)
    os.environ.clear()
    os.environ.update(environ)
    _customize()
    if command[0] == "uvicorn":
        from uvicorn import _subprocess

        # The web workers are its children, too, and find imported what has been imported here.
        _subprocess.spawn = multiprocessing.get_context("fork")
        _subprocess.subprocess_started = functools.partial(_as_if_spawned, _subprocess.subprocess_started)
    sys.argv = list(command)
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


def _customize() -> None:
    """What ``in_servers/sitecustomize.py`` does when an interpreter starts: zygotes are forks, if they are to be."""
    if os.environ.get("SERVING_TESTS_PRELOADED"):
        from mlflow_serving_plugin.backends import native

        path = Path(__file__).with_name("preloaded.py")
        spec = importlib.util.spec_from_file_location("serving_tests_preloaded", path)
        preloaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(preloaded)
        native.start_session = preloaded.start_session


def _as_if_spawned(work: Any, **given: Any) -> None:
    """A new process has no handlers of signals, and runs at its end what it registered for that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_DFL)
    try:
        work(**given)
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()


def _reap(*_: object) -> None:
    """A command that has ended is to be gone for whoever waits for that, not only for whoever asks here."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            _ended[found[0]] = os.waitstatus_to_exitcode(found[1])


def _become(order: Mapping[str, Any]) -> None:
    """The surroundings that a shell would give the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(order["cwd"])
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT),
    ):
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.dup2(1, 2)
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["mlflow", *order["arguments"]]


if __name__ == "__main__":
    # This directory, in which modules have everyday names.
    sys.path.pop(0)
    _main()
