"""Load from ``wrk``, and what the machine did meanwhile."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from comparison.launch import cpu_s

_SCRIPT = Path(__file__).with_name("wrk.lua")
_TIMEOUT_S = 120


@dataclass(frozen=True)
class LoadResult:
    """One load. Percentiles are None when not one request was answered; ``cpu_ms`` is of all the server's processes."""

    connections: int
    requests: int
    requests_per_s: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    non_2xx: int
    socket_errors: int
    cpu_ms: float | None
    gateway_cpu_ms: float | None
    others_cpu_percent: float
    steal_percent: float

    @property
    def errors(self) -> int:
        """Answers that were no success, and connections that broke."""
        return self.non_2xx + self.socket_errors

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def wrk_version() -> str | None:
    """What wrk calls itself; None when it is not installed."""
    if shutil.which("wrk") is None:
        return None
    words = subprocess.run(["wrk", "-v"], capture_output=True, text=True, timeout=10, check=False).stdout.split()
    return words[1] if len(words) > 1 else "unknown"


def ensure_wrk() -> str:
    """wrk's version; installed with apt when it is missing and we may. Exits with advice otherwise."""
    if wrk_version() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing wrk with apt-get …", flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True, timeout=600)
        subprocess.run(["apt-get", "install", "-y", "-qq", "wrk"], check=False, capture_output=True, timeout=600)
    found = wrk_version()
    if found is None:
        raise SystemExit("The load comes from wrk, which is not here: apt-get install wrk")
    return found


def run_wrk(
    url: str,
    body: bytes,
    connections: int,
    seconds: float,
    *,
    server: list[psutil.Process],
    gateway: list[psutil.Process],
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> LoadResult:
    """One load of ``seconds`` (rounded up to whole ones). The processes are the ones whose time is taken."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
        for name, value in (headers or {}).items():
            command += ["-H", f"{name}: {value}"]
        command += ["--timeout", f"{_TIMEOUT_S}s", "-s", str(_SCRIPT), url]
        before = _Clocks.read(server, gateway)
        run = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds + 120,
            env={**os.environ, "BENCHMARK_BODY": file.name, "BENCHMARK_CONTENT_TYPE": content_type},
        )
        after = _Clocks.read(server, gateway)
    line = next((x for x in run.stdout.splitlines() if x.startswith("RESULT ")), None)
    if line is None:
        raise RuntimeError(f"wrk said: {(run.stderr or run.stdout)[-300:]}")
    return _result(connections, json.loads(line.removeprefix("RESULT ")), before, after, bool(gateway))


def _result(connections: int, raw: dict[str, float], before: _Clocks, after: _Clocks, gateway: bool) -> LoadResult:
    requests = int(raw["requests"])

    def latency(name: str) -> float | None:
        return raw[name] / 1000 if requests else None

    def per_request(seconds: float) -> float | None:
        return seconds * 1000 / requests if requests else None

    others, steal = after.noise_since(before)
    return LoadResult(
        connections=connections,
        requests=requests,
        requests_per_s=requests / (raw["duration_us"] / 1e6),
        p50_ms=latency("p50"),
        p90_ms=latency("p90"),
        p99_ms=latency("p99"),
        max_ms=latency("max"),
        non_2xx=int(raw["status"]),
        socket_errors=int(raw["connect"] + raw["read"] + raw["write"] + raw["timeout"]),
        cpu_ms=per_request(after.server - before.server),
        gateway_cpu_ms=per_request(after.gateway - before.gateway) if gateway else None,
        others_cpu_percent=others,
        steal_percent=steal,
    )


@dataclass(frozen=True)
class _Clocks:
    """Processor seconds so far: of the server, of its gateway, of our children (wrk), of the whole machine."""

    server: float
    gateway: float
    children: float
    busy: float
    steal: float
    total: float

    @classmethod
    def read(cls, server: list[psutil.Process], gateway: list[psutil.Process]) -> _Clocks:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        machine = psutil.cpu_times()
        idle = machine.idle + getattr(machine, "iowait", 0.0)
        steal = getattr(machine, "steal", 0.0)
        total = sum(machine[: len(machine) - 2]) if hasattr(machine, "guest") else sum(machine)
        return cls(
            server=cpu_s(server),
            gateway=cpu_s(gateway),
            children=used.ru_utime + used.ru_stime,
            busy=total - idle - steal,
            steal=steal,
            total=total,
        )

    def noise_since(self, before: _Clocks) -> tuple[float, float]:
        """Per cent of the machine that went to others than us, and that was stolen from the machine."""
        total = max(self.total - before.total, 1e-9)
        ours = self.server - before.server + self.children - before.children
        others = max(0.0, self.busy - before.busy - ours)
        return 100 * others / total, 100 * (self.steal - before.steal) / total
