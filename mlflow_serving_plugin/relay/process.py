"""The relay of a state directory as a process of its own: started once, found again by its file, ended by the lease.

A process of its own, because workers outlive whoever has started them, and must be reachable meanwhile. Whoever starts
workers for other hosts calls ``ensure_relay`` first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.host.files import write_atomically
from mlflow_serving_plugin.host.processes import runs, start_stamp
from mlflow_serving_plugin.relay.server import PROVE_S, Known, Relay
from mlflow_serving_plugin.relay.tls import relay_context
from mlflow_serving_plugin.worker.watchdog import Lease

_START_S = 30.0
_LOOK_S = 0.5
_LAST_S = 10.0
"""How much longer than its workers a relay stays without a controller."""


class RelayFailedError(ServingError):
    """No relay could be started; the message is the reason, for a person."""


def ensure_relay(root: Path, *, host: str, ports: tuple[int, int], orphan_grace_s: float) -> int:
    """The port of the relay for the workers recorded below ``root``; a new one unless there is one. Blocks.

    ``host``: the address that the relay listens on. ``ports``: the first and the last port that may be taken; 0: any.
    """
    if (port := _running(root)) is not None:
        return port
    try:
        relay_context()
    except OSError as error:
        raise RelayFailedError(f"The relay has no TLS: {error}.") from None
    _file(root).unlink(missing_ok=True)
    config = {"root": str(root), "host": host, "ports": ports, "orphan_grace_s": orphan_grace_s}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow_serving_plugin.relay", json.dumps(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + _START_S
    while (port := _running(root)) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise RelayFailedError("The relay did not start: is a port of the range free on this node?")
        time.sleep(0.02)
    return port


def end_relay(root: Path) -> None:
    """End the relay of a state directory, if there is one."""
    found = _read(root)
    if found is not None and runs(found["pid"], found["stamp"]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(found["pid"], signal.SIGKILL)
    _file(root).unlink(missing_ok=True)


def main(argv: list[str]) -> int:
    """``'<json>'``: see ``ensure_relay``. Until SIGTERM, until another relay takes over, or until the lease expires."""
    config = json.loads(argv[0])
    loop = _new_loop()
    try:
        loop.run_until_complete(_serve(Path(config["root"]), config))
    except OSError:
        return 1
    return 0


async def _serve(root: Path, config: dict[str, Any]) -> None:
    listener = _listen(config["host"], *config["ports"])
    lease = root / "lease"
    watched = Lease(str(lease), config["orphan_grace_s"] + _LAST_S)
    relay = Relay(partial(find_worker, root / "workers"), partial(_renew, lease))
    context = relay_context()
    handshake_s = PROVE_S if context is not None else None
    server = await asyncio.get_running_loop().create_server(
        relay.connection, sock=listener, ssl=context, ssl_handshake_timeout=handshake_s
    )
    own = {"pid": os.getpid(), "stamp": start_stamp(os.getpid()), "port": listener.getsockname()[1]}
    write_atomically(_file(root), json.dumps(own).encode())
    while _read(root) == own and not watched.expired():
        await asyncio.sleep(_LOOK_S)
    server.close()


def find_worker(workers: Path, worker_id: str) -> Known | None:
    """A worker by its record. The id is known to be one, and not part of any other path."""
    try:
        facts = json.loads((workers / f"{worker_id}.json").read_bytes())
        return Known(str(facts["secret"]), str(facts["address"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _renew(lease: Path) -> None:
    with contextlib.suppress(OSError):
        os.utime(lease)


def _listen(host: str, first: int, last: int) -> socket.socket:
    """A free port of the range; OSError when there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, last):
        with contextlib.suppress(OSError):
            return socket.create_server((host, port), family=family, backlog=1024)
    return socket.create_server((host, last), family=family, backlog=1024)


def _file(root: Path) -> Path:
    return root / "relay.json"


def _read(root: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(_file(root).read_bytes())
        return found if {"pid", "stamp", "port"} <= found.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _running(root: Path) -> int | None:
    found = _read(root)
    return int(found["port"]) if found is not None and runs(found["pid"], found["stamp"]) else None


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop

        return uvloop.new_event_loop()
    except ImportError:
        return asyncio.new_event_loop()
