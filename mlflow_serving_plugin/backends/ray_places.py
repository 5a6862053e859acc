"""What Ray has reserved for workers: an actor for each worker, and which worker is in which."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

from mlflow_serving_plugin.host.files import write_atomically
from mlflow_serving_plugin.host.processes import runs, start_stamp

_LOOK_S = 0.5
_EMPTY_S = 1800.0
"""How long a place waits for its worker, whose environment may have to be built first."""

Process = tuple[int, str]
"""A pid and the start stamp of the process."""


class Place:
    """What Ray has reserved for one worker. Ends when the worker ends, or never comes: its launcher may have died."""

    def __init__(self) -> None:
        self._worker: Process | None = None
        threading.Thread(target=self._watch, name="place", daemon=True).start()

    def where(self) -> tuple[str, Process, list[str]]:
        """The node's id, this process, and the GPUs."""
        import ray

        context = ray.get_runtime_context()
        devices = [str(device) for device in context.get_accelerator_ids().get("GPU", [])]
        return context.get_node_id(), (os.getpid(), start_stamp(os.getpid()) or ""), devices

    def hold(self, worker: Process) -> None:
        """The worker's process."""
        self._worker = worker

    def _watch(self) -> None:
        ends_at = time.monotonic() + _EMPTY_S
        while runs(*self._worker) if self._worker else time.monotonic() < ends_at:
            time.sleep(_LOOK_S)
        os._exit(0)


def read_places(root: Path) -> dict[str, Process]:
    """The place of each worker, as the agent before this one has noted it."""
    try:
        return {name: (int(pid), str(stamp)) for name, (pid, stamp) in json.loads(_places(root).read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write_places(root: Path, places: dict[str, Process]) -> None:
    """Note the place of each worker, for the agent after this one."""
    write_atomically(_places(root), json.dumps(places).encode())


def _places(root: Path) -> Path:
    return root / "places.json"
