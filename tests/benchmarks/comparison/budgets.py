"""The budgets of the design, each with what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

from comparison.load import LoadResult
from comparison.measure import Measured
from comparison.peers import STOCK, STOCK_AGAIN
from comparison.plan import LARGE, ONE_ROW, Shape

Field = Callable[[LoadResult], float | None]


@dataclass(frozen=True)
class Budget:
    """``measured`` None: not measured in this run."""

    what: str
    measured: float | None
    limit: float
    at_least: bool
    unit: str

    @property
    def met(self) -> bool | None:
        """Whether it is kept; None when it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def verdict(self) -> str:
        """The same in words."""
        return {True: "met", False: "MISSED", None: "not measured in this run"}[self.met]


class Run:
    """All that was measured in one run, with the references of the ratios."""

    def __init__(self, servers: list[Measured]) -> None:
        self.servers = servers
        self._by_key = {server.key: server for server in servers}

    def value(self, key: str, shape: Shape, connections: int, field: Field) -> float | None:
        """A figure of one load."""
        server = self._by_key.get(key)
        load = server.load(shape, connections) if server is not None else None
        return field(load) if load is not None else None

    def stock(self, shape: Shape, connections: int, field: Field) -> float | None:
        """The mean of the stock reference at start and end."""
        return _mean([self.value(key, shape, connections, field) for key in (STOCK, STOCK_AGAIN)])

    def best_mlserver(self, shape: Shape, connections: int) -> float | None:
        """The better throughput of MLServer's two configurations."""
        found = [self.value(key, shape, connections, throughput) for key in ("mlserver", "mlserver-v2")]
        return max((value for value in found if value is not None), default=None)

    def large(self, key: str, name: str, field: str) -> float | None:
        """A figure of the 16 MB requests; of stock the mean of start and end."""
        keys = (STOCK, STOCK_AGAIN) if key == STOCK else (key,)
        found = [self._by_key[k].large.get(name, {}).get(field) for k in keys if k in self._by_key]
        return _mean(found)

    def further(self, key: str, field: str) -> float | None:
        """What a further version cost."""
        server = self._by_key.get(key)
        return server.further[field] if server is not None and server.further else None


def budgets(run: Run) -> list[Budget]:
    """Those budgets that this comparison can check."""
    best, off = "native-auto", "native-off"

    def of(key: str, connections: int, field: Field) -> float | None:
        return run.value(key, ONE_ROW, connections, field)

    def to_stock(key: str, connections: int, field: Field) -> float | None:
        return ratio(of(key, connections, field), run.stock(ONE_ROW, connections, field))

    def large_time(name: str) -> float | None:
        return ratio(run.large(best, name, "median_s"), run.large(STOCK, name, "median_s"))

    at_64 = of(best, 64, throughput)
    return [
        Budget("throughput, 64 connections, to stock", to_stock(best, 64, throughput), 30, True, "x"),
        Budget("throughput, 64 connections, to MLServer", ratio(at_64, run.best_mlserver(ONE_ROW, 64)), 6, True, "x"),
        Budget("p50 at 1 connection, to stock", to_stock(best, 1, p50), 0.6, False, "x"),
        Budget("batching off, 8 connections, to stock", to_stock(off, 8, throughput), 2, True, "x"),
        Budget("gateway's own CPU per request", of(best, 64, lambda load: load.gateway_cpu_ms), 0.4, False, "ms"),
        Budget("a version registered → READY", run.further(best, "ready_s"), 1, False, "s"),
        Budget("private memory per further version", run.further(best, "private_mb"), 40, False, "MB"),
        *(Budget(f"{name}: time, to stock", large_time(name), 0.7, False, "x") for name in LARGE),
        *(
            Budget(f"{name}: memory, to payload", run.large(best, name, "peak_memory_ratio"), 8, False, "x")
            for name in LARGE
        ),
    ]


def throughput(load: LoadResult) -> float:
    """Requests that got a success, per second."""
    good = max(0, load.requests - load.non_2xx)
    return load.requests_per_s * good / load.requests if load.requests else 0.0


def p50(load: LoadResult) -> float | None:
    """The median latency in ms."""
    return load.p50_ms


def ratio(value: float | None, reference: float | None) -> float | None:
    """A quotient, where there is one."""
    return value / reference if value is not None and reference else None


def _mean(values: list[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return mean(found) if found else None
