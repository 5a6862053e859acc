"""What the machine, the container and the user give the server: sandbox, memory, files, processes."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

from mlflow_serving_plugin.backends.isolation import layers, levels
from mlflow_serving_plugin.backends.sandbox import without_bubblewrap
from mlflow_serving_plugin.diagnosis.base import ERROR, OK, SKIPPED, WARNING, Finding, Place
from mlflow_serving_plugin.host.cgroups import own_group
from mlflow_serving_plugin.host.memory import machine_memory_bytes, stalled_percent

_LITTLE_BYTES = 2 * 1024**3
"""MLflow takes 0.5 GB for each web worker, a model of scikit-learn 0.2 GB."""

_LITTLE_FOR_WORKERS_BYTES = 256 * 1024**2

_FEW_FILES, _FEW_PROCESSES = 4096, 512


def sandbox(place: Place) -> Iterator[Finding]:
    """Each layer of the sandbox."""
    found = levels()
    for layer in layers(found, bubblewrap=without_bubblewrap()):
        status = OK if not layer.advice else SKIPPED if layer.name == "bubblewrap" else WARNING
        yield Finding("sandbox", layer.name, status, layer.holds, layer.advice)
    if not found.any:
        advice = "Allow one of the layers above: until then the code of models runs with the rights of the server."
        yield Finding("sandbox", "models", ERROR, "Models run without a sandbox.", advice)
    if place.settings.sandbox_optional:
        advice = "Remove MLFLOW_SERVING_SANDBOX_OPTIONAL, unless everybody who manages a model may read what you may."
        yield Finding("sandbox", "optional", WARNING, "Whoever manages a model may turn its sandbox off.", advice)


def memory(place: Place) -> Iterator[Finding]:
    """The memory of this machine or container, and the limit on all workers."""
    total, whole = machine_memory_bytes(), int(psutil.virtual_memory().total)
    where = "of the container or unit" if total < whole else "of the machine"
    text = f"{total / 1e9:.1f} GB {where}"
    if total < _LITTLE_BYTES:
        advice = "Give it 2 GB or more, or fewer web workers (--workers)."
        yield Finding("machine", "memory", WARNING, text, advice)
    else:
        yield Finding("machine", "memory", OK, text)
    limit = place.settings.max_memory_bytes
    if limit > total:
        advice = "Set MLFLOW_SERVING_MAX_MEMORY_BYTES to less than the memory that there is, or to 0 for 80 %."
        yield Finding("machine", "limit on workers", ERROR, f"{limit / 1e9:.1f} GB, more than there is", advice)
    elif limit < 0:
        advice = "Set MLFLOW_SERVING_MAX_MEMORY_BYTES: without a limit the kernel picks whom to kill."
        yield Finding("machine", "limit on workers", WARNING, "none", advice)
    elif 0 < limit < _LITTLE_FOR_WORKERS_BYTES:
        advice = "MLFLOW_SERVING_MAX_MEMORY_BYTES is a number of bytes: 4e9 bytes are 4000000000. 0 stands for 80 %."
        text = f"{limit / 1e6:g} MB together, which one model with its libraries may exceed"
        yield Finding("machine", "limit on workers", WARNING, text, advice)
    else:
        yield Finding("machine", "limit on workers", OK, f"{(limit or int(total * 0.8)) / 1e9:.1f} GB together")
    stalled = stalled_percent()
    if stalled > 1:
        advice = "Give the machine more memory, or let models sleep (min_replicas 0)."
        text = f"In the last ten seconds nothing ran for {stalled:.0f} % of the time, for want of memory."
        yield Finding("machine", "memory pressure", WARNING, text, advice)


def limits(_place: Place) -> Iterator[Finding]:
    """Open files, and processes."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield _limit("open files", files, _FEW_FILES, "Raise it: LimitNOFILE of the unit, ulimit -n, or --ulimit nofile.")
    counts = [resource.getrlimit(resource.RLIMIT_NPROC)[1]]
    with contextlib.suppress(OSError, ValueError):
        group = own_group(Path("/proc/self"))
        counts += [int((group / "pids.max").read_text())] if group is not None else []
    most = min((count for count in counts if count != resource.RLIM_INFINITY), default=resource.RLIM_INFINITY)
    advice = "Raise it: TasksMax of the unit, ulimit -u, or --pids-limit. Threads count as well."
    yield _limit("processes", most, _FEW_PROCESSES, advice)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("machine", "processors", OK, str(processors))


def _limit(name: str, most: int, few: int, advice: str) -> Finding:
    if most == resource.RLIM_INFINITY:
        return Finding("machine", name, OK, "no limit")
    return Finding("machine", name, WARNING if most < few else OK, f"at most {most}", advice if most < few else "")
