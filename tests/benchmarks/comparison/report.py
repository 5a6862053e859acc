"""The tables: for a terminal, and in Markdown."""

from __future__ import annotations

from comparison.budgets import Budget, Run, budgets, p50, ratio, throughput
from comparison.measure import Measured
from comparison.peers import STOCK
from comparison.plan import LARGE, SHAPES, Shape

Table = list[list[str]]
_NONE = "-"


def load_table(run: Run, connections: tuple[int, ...]) -> Table:
    """A row for each body and server: throughput, latency, ratios."""
    per_second = [f"{count} conn req/s" for count in connections]
    head = [
        "body",
        "server",
        "p50 at 1, ms",
        *per_second,
        "p99 at 64, ms",
        "x stock",
        "x MLServer",
        "CPU ms/req",
        "errors",
    ]
    rows = [_load_row(run, shape, server, connections) for shape in SHAPES for server in run.servers]
    return [head, *rows]


def _load_row(run: Run, shape: Shape, server: Measured, connections: tuple[int, ...]) -> list[str]:
    def value(count: int, field: object) -> float | None:
        return run.value(server.key, shape, count, field)  # type: ignore[arg-type]

    at_64 = value(64, throughput)
    failed = [load.errors for load in server.loads.get(shape.name, {}).values()]
    return [
        shape.name,
        server.title,
        number(value(1, p50)),
        *(number(value(count, throughput)) for count in connections),
        number(value(64, lambda load: load.p99_ms)),
        number(ratio(at_64, run.stock(shape, 64, throughput))),
        number(ratio(at_64, run.best_mlserver(shape, 64))),
        number(value(64, lambda load: load.cpu_ms)),
        str(sum(failed)) if failed else _NONE,
    ]


def server_table(run: Run) -> Table:
    """A row for each server: start, memory, the largest bodies, what is missing and why."""
    large = [column for name in LARGE for column in (f"{name}, s", "x stock", "memory x payload")]
    head = ["server", "start → first answer, s", "private MB", *large, "version", "settings and remarks"]
    return [head, *(_server_row(run, server) for server in run.servers)]


def _server_row(run: Run, server: Measured) -> list[str]:
    large = []
    for name in LARGE:
        found = server.large.get(name, {})
        seconds = found.get("median_s")
        large += [number(seconds), number(ratio(seconds, run.large(STOCK, name, "median_s")))]
        large.append(number(found.get("peak_memory_ratio")))
    remarks = "; ".join([server.settings, *(["NOT MEASURED"] if server.unavailable else []), *_reasons(server)])
    version = next((f"{name} {number}" for name, number in server.versions.items()), _NONE)
    return [server.title, number(server.start_s), number(server.private_mb), *large, version, remarks]


def _reasons(server: Measured) -> list[str]:
    known = [server.unavailable] if server.unavailable else []
    if not known and server.start_s is None:
        known = ["NOT MEASURED: the run ended before"]
    return list(dict.fromkeys([*known, *server.problems]))


def further_table(run: Run) -> Table:
    """What a further version costs this product."""
    head = ["server", "versions measured", "registered → READY, s", "private MB"]
    rows = [
        [s.title, str(s.further["count"]), number(s.further["ready_s"]), number(s.further["private_mb"])]
        for s in run.servers
        if s.further
    ]
    return [head, *rows]


def budget_table(run: Run) -> Table:
    """Each budget: measured, limit, verdict."""
    return [["budget", "measured", "limit", ""], *(_budget_row(budget) for budget in budgets(run))]


def _budget_row(budget: Budget) -> list[str]:
    sign = "≥" if budget.at_least else "≤"
    measured = _NONE if budget.measured is None else f"{number(budget.measured)} {budget.unit}"
    return [budget.what, measured, f"{sign} {budget.limit:g} {budget.unit}", budget.verdict]


def number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return _NONE
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def as_text(table: Table) -> str:
    """Aligned columns."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([lines[0], "-" * min(180, max(map(len, lines))), *lines[1:]])


def as_markdown(table: Table) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])
