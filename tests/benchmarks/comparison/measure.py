"""One server after another: started, checked, warmed up, measured, stopped."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from comparison import machine
from comparison.launch import private_bytes
from comparison.load import LoadResult, run_wrk
from comparison.peers.base import Peer, Session, Target
from comparison.plan import LARGE, SHAPES, WIDE_ROW, Plan, Shape
from comparison.requests_once import check, measure_large
from comparison.samples import Sample, Samples
from comparison.venvs import InstallError


@dataclass
class Measured:
    """Everything that was measured of one peer. ``unavailable`` or ``problems`` say why something is missing."""

    key: str
    title: str
    settings: str
    dialect: str
    versions: dict[str, str] = field(default_factory=dict)
    unavailable: str | None = None
    problems: list[str] = field(default_factory=list)
    start_s: float | None = None
    private_mb: float | None = None
    all_private_mb: float | None = None
    """With processes of the tracking server that have no part in serving."""
    idle_percent: float | None = None
    loads: dict[str, dict[int, LoadResult]] = field(default_factory=dict)
    large: dict[str, dict[str, Any]] = field(default_factory=dict)
    further: dict[str, Any] | None = None

    def load(self, shape: Shape, connections: int) -> LoadResult | None:
        """One load, if it was measured and something was answered."""
        found = self.loads.get(shape.name, {}).get(connections)
        return found if found is not None and found.requests else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        loads = {name: [load.as_dict() for load in cells.values()] for name, cells in self.loads.items()}
        return {**self.__dict__, "loads": loads}


def begin(peer: Peer) -> Measured:
    """Nothing measured yet."""
    return Measured(peer.key, peer.title, peer.settings, peer.dialect.name)


def install(peer: Peer, cache: Path, measured: Measured) -> None:
    """Make the peer's environment, or note why there is none."""
    try:
        peer.install(cache)
        measured.versions = peer.versions()
    except (InstallError, OSError) as error:
        measured.unavailable = f"cannot be installed: {error}".replace(str(cache.absolute()), "…")
        say(f"{peer.key}: {measured.unavailable}")


def measure(peer: Peer, samples: Samples, plan: Plan, measured: Measured) -> None:
    """All of one peer. What fails is noted and does not stop the rest."""
    say(f"{peer.key}: {peer.title} ({peer.settings})")
    with peer.at_work() as session:
        target = _attempt(measured, "start", lambda: _serve(session, peer, samples.iris, measured))
        if target is None:
            measured.unavailable = measured.problems[-1]
            return
        for shape in SHAPES:
            if shape is not WIDE_ROW:
                _attempt(measured, shape.name, lambda s=shape: _loads(peer, target, samples.iris, s, plan, measured))
        _further(peer, session, samples.iris, plan, measured)
        if plan.large_repeats:
            _large(peer, target, samples, plan, measured)
        wide = _attempt(measured, "600 columns", lambda: _serve(session, peer, samples.wide, None))
        if wide is not None:
            _attempt(measured, WIDE_ROW.name, lambda: _loads(peer, wide, samples.wide, WIDE_ROW, plan, measured))


def _serve(session: Session, peer: Peer, sample: Sample, measured: Measured | None) -> Target:
    target = session.serve(sample)
    check(target.url, peer.dialect, sample, (1, 2, 64))
    target.launched.wait_calm()
    idle = machine.wait_idle()
    say(f"  {sample.name}: first answer after {target.start_s:.2f} s, answers are right; machine {idle:.0f} % idle")
    if measured is not None:
        measured.start_s, measured.idle_percent = target.start_s, idle
        measured.private_mb = private_bytes(_weighed(target)) / 2**20
        measured.all_private_mb = private_bytes(target.launched.processes()) / 2**20
    return target


def _loads(peer: Peer, target: Target, sample: Sample, shape: Shape, plan: Plan, measured: Measured) -> None:
    body = peer.dialect.encode(sample, sample.head(shape.rows))
    cells = measured.loads.setdefault(shape.name, {})
    run_wrk(target.url, body, 8, plan.warmup_s, server=[], gateway=[])
    expected = None
    for connections in plan.connections:
        target.launched.wait_drained()
        server = target.launched.processes()
        load = run_wrk(
            target.url, body, connections, plan.length_s(connections, expected), server=server, gateway=target.gateway
        )
        cells[connections] = load
        p50 = f"{load.p50_ms:.2f}" if load.p50_ms is not None else "-"
        say(
            f"  {shape.name}, {connections:3} connections: {load.requests_per_s:8.0f} req/s, p50 {p50} ms, "
            f"{load.errors} errors; others used {load.others_cpu_percent:.0f} % of the machine"
        )
        expected = load.requests_per_s
    check(target.url, peer.dialect, sample, (shape.rows,))


def _weighed(target: Target) -> list[psutil.Process]:
    return target.serving if target.gateway else target.launched.processes()


def _further(peer: Peer, session: Session, sample: Sample, plan: Plan, measured: Measured) -> None:
    count = {"native-auto": plan.further_native, "mlflow-auto": plan.further_mlflow}.get(peer.key, 0)
    if count:
        measured.further = _attempt(measured, "further versions", lambda: session.further_versions(sample, count))
    if measured.further:
        say(f"  a further version: READY after {measured.further['ready_s']:.2f} s", end="")
        say(f", {measured.further['private_mb']:.0f} MB private memory")


def _large(peer: Peer, target: Target, samples: Samples, plan: Plan, measured: Measured) -> None:
    for name, which in LARGE.items():
        sample = getattr(samples, which)
        processes = _weighed(target)
        found = _attempt(
            measured,
            name,
            lambda s=sample, p=processes: measure_large(target.url, peer.dialect, s, p, plan.large_repeats),
        )
        if found:
            measured.large[name] = found
            say(f"  {name}: {found['median_s']:.2f} s, peak memory {found['peak_memory_ratio']:.1f} x payload")


def _attempt(measured: Measured, what: str, action: Any) -> Any:
    try:
        return action()
    except Exception as error:
        reason = f"{what}: {type(error).__name__}: {error}"
        measured.problems.append(reason[:300])
        say(f"  FAILED {reason}")
        if not str(error):
            traceback.print_exc()
        return None


def say(text: str, end: str = "\n") -> None:
    """A line of progress."""
    print(text, end=end, flush=True)
