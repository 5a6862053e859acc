"""What access costs: ``python tests/benchmarks/bench_access.py [--seconds 5] [--rounds 3] [--json FILE]``.

Two real tracking servers with one served model each, one without authentication and one with ``basic-auth``. They take
the same load from wrk by turns: on the second once with a Bearer token and once with a password. Prints each round's
requests per second and the ratios to no authentication (budget: 0.9 with a token).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from comparison.load import LoadResult, ensure_wrk, run_wrk
from support.auth import BasicAuthServer, basic, bearer, client_of
from support.cells import IRIS
from support.models import Models, register
from support.server import TrackingServer

_MODEL = "iris"
_BODY = json.dumps(IRIS).encode()


def main() -> None:
    """The command."""
    arguments = _arguments()
    ensure_wrk()
    models = Models(Path(tempfile.mkdtemp(prefix="mlsb-models-")))
    with TrackingServer() as free, BasicAuthServer() as guarded:
        register(free.client, _MODEL, models.path("iris-1"))
        with client_of(guarded) as client:
            register(client, _MODEL, models.path("iris-1"))
        for server in (free, guarded):
            server.enable(_MODEL)
            server.wait_ready(_MODEL, 1)
        reader = guarded.add_user("reader", "a long enough password")
        guarded.grant("reader", _MODEL, "READ")
        kinds: dict[str, tuple[TrackingServer, Mapping[str, str]]] = {
            "none": (free, {}),
            "token": (guarded, bearer(guarded.token(reader))),
            "password": (guarded, basic("reader", "a long enough password")),
        }
        rates: dict[str, list[float]] = {kind: [] for kind in kinds}
        for turn in range(arguments.rounds + 1):
            for kind, (server, headers) in kinds.items():
                result = _load(server, headers, arguments)
                if turn:  # the first is to warm up
                    rates[kind].append(round(result.requests_per_s))
                    print(f"{kind:9} {result.requests_per_s:8.0f} req/s  p50 {result.p50_ms:.1f} ms", flush=True)
    _report(rates, arguments.json)


def _load(server: TrackingServer, headers: Mapping[str, str], arguments: argparse.Namespace) -> LoadResult:
    url = f"{server.url}/model/{_MODEL}/1/invocations"
    result = run_wrk(url, _BODY, arguments.connections, arguments.seconds, server=[], gateway=[], headers=headers)
    if result.errors:
        raise SystemExit(f"{result.errors} of {result.requests} requests failed.\n{server.tail()}")
    return result


def _report(rates: Mapping[str, list[float]], file: Path | None) -> None:
    medians = {kind: statistics.median(found) for kind, found in rates.items()}
    ratios = {kind: round(medians[kind] / medians["none"], 3) for kind in medians}
    print(f"medians {medians}, ratios to no authentication {ratios}")
    if file:
        file.write_text(json.dumps({"requests_per_s": rates, "ratios": ratios}, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    return parser.parse_args()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
