"""What a scenario found: figures printed as they come, and checks that it passes or not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .load import Figures


@dataclass(frozen=True, slots=True)
class Size:
    """How much of each scenario. ``strict``: latencies are checked too, not only printed."""

    seconds: float = 60.0
    rate: float = 200.0
    soak_requests: int = 500_000
    fuzz_requests: int = 100_000
    pipelines: int = 200
    bodies: int = 300
    server: str = "uvicorn"
    strict: bool = True


@dataclass(slots=True)
class Report:
    """Collects the checks of one scenario."""

    name: str
    failed: list[str] = field(default_factory=list)
    checks: int = 0
    _started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Print a line."""
        print(f"[{self.name} {time.monotonic() - self._started:6.1f} s] {text}", flush=True)

    def check(self, what: str, good: bool, why: str = "") -> None:
        """Note whether something holds."""
        self.checks += 1
        self.say(f"{'pass' if good else 'FAIL'}  {what}{'' if good or not why else f': {why}'}")
        if not good:
            self.failed.append(f"{what}: {why}")

    def none_failed(self, what: str, figures: Figures) -> None:
        """Print a load's figures and check that none of its requests failed."""
        self.say(f"{what}: {figures}")
        sample = figures.failures[:3] + figures.failures[-2:]
        self.check(f"{what}: 0 failed", not figures.failures and figures.requests > 0, " | ".join(sample))

    def none_lost(self, what: str, figures: Figures) -> None:
        """Check that no connection broke."""
        self.check(f"{what}: no connection lost", not figures.lost, " | ".join(figures.lost[:3]))

    def below(self, what: str, value: float, limit: float, unit: str, size: Size) -> None:
        """Check a figure that depends on the machine; only printed when not ``strict``."""
        text = f"{what}: {value:.4g} {unit} (limit {limit:.4g})"
        if size.strict:
            self.check(text, value <= limit)
        else:
            self.say(text)


Scenario = Callable[[Report, Size], None]
