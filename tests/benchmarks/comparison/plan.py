"""What is measured of every server, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A kind of body: rows of a sample."""

    name: str
    sample: str
    rows: int


ONE_ROW = Shape("1 row", "iris", 1)
MANY_ROWS = Shape("100 rows", "iris", 100)
WIDE_ROW = Shape("600 columns", "wide", 1)
SHAPES = (ONE_ROW, MANY_ROWS, WIDE_ROW)

LARGE = {"16 MB, short numbers": "iris", "16 MB, full doubles": "precise"}
"""Numbers of three digits make the most objects of 16 MB, numbers of seventeen the fewest."""


@dataclass(frozen=True)
class Plan:
    """Durations in seconds, and how often."""

    connections: tuple[int, ...] = (1, 8, 64, 256)
    seconds: float = 5
    warmup_s: float = 3
    longest_s: float = 60
    large_repeats: int = 3
    further_native: int = 5
    further_mlflow: int = 2

    def length_s(self, connections: int, per_second: float | None) -> float:
        """How long a load lasts: until each connection got at least one answer, also from a slow server."""
        one_round_s = connections / per_second if per_second else 0.0
        return min(self.longest_s, max(self.seconds, 1.5 * one_round_s))

    @classmethod
    def quick(cls) -> Plan:
        """To try things out: figures are rough, the largest loads are left out."""
        return cls((1, 8, 64), seconds=2, warmup_s=1, longest_s=15, large_repeats=0, further_native=2, further_mlflow=1)
