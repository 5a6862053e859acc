"""What storing traces costs: ``python tests/benchmarks/bench_traces.py [--seconds 5] [--rounds 3] [--json FILE]``.

One real tracking server with a model that makes two spans in each prediction takes the same load from wrk by turns:
with ``trace_sampling`` 0, 0.1 and 1. Prints requests per second and the ratios to 0 (budget: 0.9), and then how many
traces were stored, and how many were dropped because the store was slower than the model.
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

from comparison.load import ensure_wrk, run_wrk
from support import eventually
from support.metrics import scrape
from support.models import Models, register
from support.server import TrackingServer

_MODEL = "traced"
_BODY = json.dumps({"prompt": "word"}).encode()
_SAMPLING = (0.0, 0.1, 1.0)


def main() -> None:
    """The command."""
    arguments = _arguments()
    ensure_wrk()
    models = Models(Path(tempfile.mkdtemp(prefix="mlsb-models-")))
    rates: dict[float, list[float]] = {share: [] for share in _SAMPLING}
    with TrackingServer() as server:
        register(server.client, _MODEL, models.path(_MODEL))
        server.enable(_MODEL)
        server.wait_ready(_MODEL, 1)
        url = f"{server.url}/model/{_MODEL}/1/invocations"
        for turn in range(arguments.rounds + 1):
            for share, found in rates.items():
                _sample(server, share)
                result = run_wrk(
                    url, _BODY, arguments.connections, arguments.seconds, server=[], gateway=[], headers={}
                )
                if result.errors:
                    raise SystemExit(f"{result.errors} of {result.requests} requests failed.\n{server.tail()}")
                # What waits to be written must not slow the next turn down.
                waited = time.monotonic()
                _settled(server)
                if turn:  # the first is to warm up
                    found.append(round(result.requests_per_s))
                    after_s = time.monotonic() - waited
                    print(f"{share:4} {result.requests_per_s:8.0f} req/s, written {after_s:.0f} s after", flush=True)
        counts = _counts(server)
    medians = {share: statistics.median(found) for share, found in rates.items()}
    ratios = {share: round(rate / medians[0.0], 3) for share, rate in medians.items() if share}
    print(f"medians {medians}, ratios {ratios}; traces {counts}")
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"requests_per_s": rates, "ratios": ratios, "traces": counts}, indent=1) + "\n"
        )


def _sample(server: TrackingServer, share: float) -> None:
    config = {"trace_sampling": share}
    server.api("PUT", "update-compute-config", registered_model_name=_MODEL, config=config)
    # Until the gateway knows.
    eventually(lambda: next(iter(server.routes()["endpoints"].values()))["config"]["trace_sampling"] == share)


def _settled(server: TrackingServer) -> None:
    """Return once no more traces are written. Most wait: two thousand."""
    seen = -1.0
    while seen != (seen := sum(_counts(server).values())):
        time.sleep(1)


def _counts(server: TrackingServer) -> dict[str, float]:
    samples = scrape(server)
    return {name: samples.get(("traces_total", _MODEL, "1", name), 0.0) for name in ("stored", "dropped")}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    return parser.parse_args()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
