"""What the request log costs: ``python tests/benchmarks/bench_request_log.py [--seconds 20] [--json FILE]``.

One real tracking server with one served model takes the same load from wrk by turns: without a log, and with each
request logged. Prints each round's requests per second and the ratio (budget: 0.95). A round with the log is longer
than the time after which the writer begins, and all is written before the next round. Then the number of requests that
were answered is compared with the rows that pyarrow and DuckDB find, and after a last round with a Delta table with the
rows that deltalake finds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import deltalake
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
        _load(server, arguments)  # to warm up
        logged = 0
        for _ in range(arguments.rounds):
            for kind, found in rates.items():
                _switch(server, enabled=kind == "on")
                result = _load(server, arguments)
                found.append(round(result.requests_per_s))
                print(f"{kind:4} {result.requests_per_s:8.0f} req/s  p50 {result.p50_ms:.1f} ms", flush=True)
                if kind == "on":
                    logged += result.requests
                    eventually(lambda: _all_written(server), within_s=180, tail=lambda: str(_counted(server)))
        place = server.state / "request-logs" / "default" / _MODEL
        rows = {
            "answered": logged,
            **_counted(server),
            "pyarrow": pq.read_table(place).num_rows,
            "duckdb": duckdb.sql(f"SELECT count(*) FROM '{place}/*/*.parquet'").fetchall()[0][0],
        }
        _switch(server, enabled=True, format="delta")
        rows["answered for delta"] = _load(server, arguments).requests
        eventually(lambda: _all_written(server), within_s=180, tail=lambda: str(_counted(server)))
        rows["deltalake"] = deltalake.DeltaTable(str(place)).to_pyarrow_dataset().count_rows()
        rows["dropped in all"] = _counted(server)["dropped"]
    medians = {kind: statistics.median(found) for kind, found in rates.items()}
    ratio = round(medians["on"] / medians["off"], 3)
    print(f"medians {medians}, ratio {ratio}; rows {rows}")
    if arguments.json:
        found_all = {"requests_per_s": rates, "ratio": ratio, "rows": rows}
        arguments.json.write_text(json.dumps(found_all, indent=1) + "\n")


def _load(server: TrackingServer, arguments: argparse.Namespace) -> Any:
    url = f"{server.url}/model/{_MODEL}/1/invocations"
    result = run_wrk(url, _BODY, arguments.connections, arguments.seconds, server=[], gateway=[], headers={})
    if result.errors:
        raise SystemExit(f"{result.errors} of {result.requests} requests failed.\n{server.tail()}")
    return result


def _switch(server: TrackingServer, **config: object) -> None:
    server.api("PUT", "update-compute-config", registered_model_name=_MODEL, config={"request_log": config})

    def known() -> bool:
        (endpoint,) = server.routes()["endpoints"].values()
        return all(endpoint["config"]["request_log"].get(key) == value for key, value in config.items())

    eventually(known)


def _counted(server: TrackingServer) -> dict[str, float]:
    found = scrape(server)
    return {name: found.get(("request_log_records_total", _MODEL, "1", name), 0.0) for name in _OUTCOMES}


def _all_written(server: TrackingServer) -> bool:
    found = _counted(server)
    return bool(found["taken"]) and found["taken"] == found["written"]


_OUTCOMES = ("taken", "dropped", "written")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    return parser.parse_args()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
