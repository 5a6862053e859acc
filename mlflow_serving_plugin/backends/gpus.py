"""The GPUs of this host, by a simple count: which devices a worker gets. On the nodes of a cluster Ray counts.

A count and no boundary: ``CUDA_VISIBLE_DEVICES`` tells the libraries of a worker which devices to take.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlflow_serving_plugin.backends.base import NoRoomError, WorkerFailedError, WorkerSpec
from mlflow_serving_plugin.backends.records import WorkerRecord
from mlflow_serving_plugin.domain.entity import EntityKey

VISIBLE = "CUDA_VISIBLE_DEVICES"
_WHOLE = 10_000
"""Parts of a device: shares are added without what decimal fractions lose."""

_DEVICE = re.compile(r"\d+|(GPU|MIG)-[\w/-]+")
_FILE = re.compile(r"nvidia(\d+)")


@dataclass(frozen=True, slots=True)
class Holding:
    """What one worker holds: ``share`` of each of these devices, in parts of a device."""

    key: EntityKey
    fingerprint: str
    devices: tuple[str, ...]
    share: int


def devices_here(setting: str, environ: Mapping[str, str], directory: Path = Path("/dev")) -> tuple[str, ...]:
    """The devices of this host: those that the server is told of, else those that the server sees."""
    if setting or VISIBLE in environ:
        return _named(setting or environ[VISIBLE])
    found = (_FILE.fullmatch(path.name) for path in directory.glob("nvidia*"))
    return tuple(str(number) for number in sorted(int(name[1]) for name in found if name))


def assign(devices: Sequence[str], wanted: float, held: Sequence[Holding], spec: WorkerSpec) -> Holding:
    """The devices of one more worker. WorkerFailedError, and NoRoomError when others hold what the worker needs.

    A worker that replaces one of another configuration may share the devices of that one, which ends soon after. A
    part of a device is taken where least is left, so that whole devices stay free.
    """
    share, count = _share(wanted), max(1, round(wanted))
    if wanted > 1 and wanted != count:
        raise WorkerFailedError(f"A worker gets a part of one GPU or whole GPUs: gpus cannot be {wanted:g}.")
    if count > len(devices):
        have = f"has {len(devices)}" if devices else "has no GPUs"
        raise WorkerFailedError(f"The worker needs {_counted(count, 'GPU')}, and this host {have}.")
    taken = dict.fromkeys(devices, 0)
    for holding in held:
        if holding.key == spec.key and holding.fingerprint != spec.fingerprint:
            continue
        for device in holding.devices:
            if device in taken:
                taken[device] += holding.share
    free = [device for device in devices if taken[device] + share <= _WHOLE]
    if len(free) < count:
        raise NoRoomError(_why_full(wanted, taken, held))
    chosen = sorted(free, key=lambda device: (-taken[device], devices.index(device)))[:count]
    return Holding(spec.key, spec.fingerprint, tuple(sorted(chosen, key=devices.index)), share)


@dataclass(slots=True)
class Gpus:
    """Which worker holds what. Thread-safe. ``devices`` None: Ray counts, and says it in the worker's variable."""

    devices: tuple[str, ...] | None
    _held: dict[str, Holding] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def given(self, worker_id: str, spec: WorkerSpec) -> Iterator[WorkerSpec]:
        """The spec with the variable that names the worker's devices, which it has unless its start raises here."""
        wanted = spec.settings.gpus
        if not wanted or self.devices is None:
            yield spec
            return
        with self._lock:
            self._held[worker_id] = found = assign(self.devices, wanted, [*self._held.values()], spec)
        variables = {**spec.settings.environment, VISIBLE: ",".join(found.devices)}
        try:
            yield replace(spec, settings=replace(spec.settings, environment=variables))
        except BaseException:
            self.give_back(worker_id)
            raise

    def fit(self, spec: WorkerSpec) -> bool:
        """Whether a worker would get its devices now."""
        with self._lock:
            held = [*self._held.values()]
        try:
            return not spec.settings.gpus or bool(assign(self.devices or (), spec.settings.gpus, held, spec))
        except WorkerFailedError:
            return False

    def keep(self, record: WorkerRecord) -> None:
        """A worker of an earlier controller has its devices."""
        if record.devices and self.devices is not None:
            devices = tuple(record.devices.split(","))
            with self._lock:
                self._held[record.worker_id] = Holding(record.key, record.fingerprint, devices, _share(record.gpus))

    def give_back(self, worker_id: str) -> None:
        """A worker has ended, or did not start."""
        with self._lock:
            self._held.pop(worker_id, None)


def devices_of(spec: WorkerSpec) -> str:
    """The devices of a worker that asked for some, as in ``CUDA_VISIBLE_DEVICES``."""
    return spec.settings.environment.get(VISIBLE, "") if spec.settings.gpus else ""


def _share(wanted: float) -> int:
    return min(round(wanted * _WHOLE), _WHOLE)


def _named(text: str) -> tuple[str, ...]:
    """As CUDA reads it: what stands after the first name that is none does not count."""
    names = [word.strip() for word in text.split(",")]
    end = next((place for place, name in enumerate(names) if not _DEVICE.fullmatch(name)), len(names))
    return tuple(dict.fromkeys(names[:end]))


def _why_full(wanted: float, taken: Mapping[str, int], held: Sequence[Holding]) -> str:
    """For a person. Without names of other models, which a reader may not know of."""
    devices = "; ".join(
        f"{device} is held by {_counted(sum(device in one.devices for one in held), 'worker')}"
        + (f" ({parts / _WHOLE:g})" if parts < _WHOLE else "")
        for device, parts in taken.items()
        if parts
    )
    return f"Waiting for {_counted(wanted, 'GPU')} of this host: {devices}."


def _counted(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number <= 1 else 's'}"
