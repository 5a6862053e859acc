"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from typing import Any

import psutil


def describe(wrk: str) -> dict[str, Any]:
    """The machine, for JSON; nothing that names it."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "wrk": wrk,
    }


def idle_percent(seconds: float = 1.0) -> float:
    """How much of the machine nobody uses just now."""
    return 100.0 - psutil.cpu_percent(seconds)


def wait_idle(at_least_percent: float = 80.0, within_s: float = 30.0) -> float:
    """Wait until the machine is mostly idle, or go on after ``within_s``; how idle it is."""
    deadline = time.monotonic() + within_s
    while (idle := idle_percent()) < at_least_percent and time.monotonic() < deadline:
        pass
    return idle


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as info:  # noqa: PTH123
            return next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "unknown")
    except OSError:
        return platform.processor() or "unknown"
