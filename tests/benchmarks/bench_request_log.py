"""What the request log costs: ``python tests/benchmarks/bench_request_log.py [--seconds 5] [--json FILE]``.

One real tracking server with one served model takes the same load from wrk by turns: without a log, and with each
request logged. Prints each round's requests per second and the ratio (budget: 0.95), and then compares the number of
requests that were answered with the rows that pyarrow and DuckDB find, and with what was counted as dropped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import duckdb
import pyarrow.parquet as pq
from comparison.load import ensure_wrk, run_wrk
from support import eventually
from support.cells import IRIS
from support.metrics import scrape
from support.models import Models, register
from support.server import TrackingServer

_MODEL = "iris"
_BODY = json.dumps(IRIS).encode()


def main() -> None:
    """The command."""
    arguments = _arguments()
    ensure_wrk()
    models = Models(Path(tempfile.mkdtemp(prefix="mlsb-models-")))
    with TrackingServer() as server:
        register(server.client, _MODEL, models.path("iris-1"))
        server.enable(_MODEL)
        server.wait_ready(_MODEL, 1)
        rates: dict[str, list[float]] = {"off": [], "on": []}
        logged = 0
        for turn in range(arguments.rounds + 1):
            for kind, found in rates.items():
                _switch(server, on=kind == "on")
                url = f"{server.url}/model/{_MODEL}/1/invocations"
                result = run_wrk(
                    url, _BODY, arguments.connections, arguments.seconds, server=[], gateway=[], headers={}
                )
                if result.errors:
                    raise SystemExit(f"{result.errors} of {result.requests} requests failed.\n{server.tail()}")
                logged += result.requests if kind == "on" else 0
                if turn:  # the first is to warm up
                    found.append(round(result.requests_per_s))
                    print(f"{kind:4} {result.requests_per_s:8.0f} req/s  p50 {result.p50_ms:.1f} ms", flush=True)
        _report(server, rates, logged, arguments.json)


def _switch(server: TrackingServer, *, on: bool) -> None:
    config = {"request_log": {"enabled": on}}
    server.api("PUT", "update-compute-config", registered_model_name=_MODEL, config=config)
    # Until the gateway knows.
    known = next(iter(server.routes()["endpoints"].values()))["config"]
    while known["request_log"].get("enabled", False) is not on:
        time.sleep(0.05)
        known = next(iter(server.routes()["endpoints"].values()))["config"]


def _report(server: TrackingServer, rates: dict[str, list[float]], answered: int, file: Path | None) -> None:
    counted = eventually(lambda: _all_written(server), within_s=180)
    place = server.state / "request-logs" / "default" / _MODEL
    by_pyarrow = pq.read_table(place).num_rows
    by_duckdb = duckdb.sql(f"SELECT count(*) FROM '{place}/*/*.parquet'").fetchall()[0][0]
    medians = {kind: statistics.median(found) for kind, found in rates.items()}
    ratio = round(medians["on"] / medians["off"], 3)
    rows = {"answered": answered, "pyarrow": by_pyarrow, "duckdb": by_duckdb, **counted}
    print(f"medians {medians}, ratio {ratio}; rows {rows}")
    if file:
        file.write_text(json.dumps({"requests_per_s": rates, "ratio": ratio, "rows": rows}, indent=1) + "\n")


def _all_written(server: TrackingServer) -> dict[str, float] | None:
    found = {name: scrape(server).get(("request_log_records_total", _MODEL, "1", name), 0.0) for name in _OUTCOMES}
    return found if found["taken"] and found["taken"] == found["written"] else None


_OUTCOMES = ("taken", "dropped", "written")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    return parser.parse_args()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
