"""What a relay costs, without Ray: ``python tests/benchmarks/bench_ray.py [--rounds 20] [--tls]``.

One native worker of a sklearn model, called by the link of an event loop: on its unix socket, and through a relay on
127.0.0.1, in turns, in one run, at 1 and at 64 requests at a time. Prints requests in a second and the median latency
of both, and the ratios relay : socket. A loaded machine changes the figures, and the ratios less.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.certificates import Authority
from support.models import Models
from support.routes import an_entity, routes_of

from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.local import LocalBackend
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.routes import WorkerRoute
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.links.base import LinkContext, WorkerCall
from mlflow_serving_plugin.links.frames_async import AsyncFrameLink
from mlflow_serving_plugin.registry.examples import scoring_example
from mlflow_serving_plugin.relay.process import end_relay, ensure_relay
from mlflow_serving_plugin.relay.proof import Address
from mlflow_serving_plugin.settings import Settings

_ROUND_S = 1.0
_AT_A_TIME = (1, 64)


class _Snapshot:
    def __init__(self, routes: list[WorkerRoute]) -> None:
        self._routes = routes_of(an_entity(workers=tuple(routes)))

    def current(self):
        return self._routes


async def _round(link: AsyncFrameLink, call: WorkerCall, at_a_time: int) -> tuple[float, float]:
    """Requests in a second, and the median latency in ms."""
    took: list[float] = []
    ends = time.perf_counter() + _ROUND_S

    async def caller() -> None:
        while (began := time.perf_counter()) < ends:
            assert (await link.call(call)).status == 200
            took.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(at_a_time)))
    return len(took) / (time.perf_counter() - began), 1000 * statistics.median(took)


async def _measure(routes: dict[str, WorkerRoute], content_type: str, body: bytes, rounds: int) -> None:
    link = AsyncFrameLink(LinkContext(_Snapshot(list(routes.values())), lambda _: None, 60.0))
    calls = {name: WorkerCall(route, content_type, body, 60.0, "default", "m") for name, route in routes.items()}
    for at_a_time in _AT_A_TIME:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
        for number in range(rounds + 1):
            for name, call in calls.items():
                measured = await _round(link, call, at_a_time)
                # The first round connects and warms up.
                if number:
                    found[name].append(measured)
        rates, medians = (
            {name: statistics.median(one[part] for one in every) for name, every in found.items()} for part in (0, 1)
        )
        for name in calls:
            print(f"{at_a_time:3} at a time, {name:6}: {rates[name]:8.0f} requests/s, p50 {medians[name]:6.2f} ms")
        by_round = zip(found["relay"], found["socket"], strict=True)
        share = statistics.median(relay[0] / unix[0] for relay, unix in by_round)
        print(f"{at_a_time:3} at a time: throughput x {share:.2f}, p50 x {medians['relay'] / medians['socket']:.2f}")
    await link.close()


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--tls", action="store_true", help="as in a cluster with RAY_USE_TLS")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="mlb-"))
    if options.tls:
        os.environ.update(Authority(root / "authority").variables())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Models(root).path("iris")
    example = scoring_example(model)
    assert example is not None
    paths = StatePaths.create(root / "state")
    paths.lease.touch()
    backend = LocalBackend(Settings(), paths, shared=True)
    try:
        settings = WorkerSettings(env_manager="local", request_timeout_s=60.0)
        backend.launch(WorkerSpec(EntityKey("e", "1"), "f", model, paths.entity_log("e", "1"), settings, example))
        (worker,) = backend.observe()
        port = ensure_relay(paths.root, host="127.0.0.1", ports=(0, 0), orphan_grace_s=300.0)
        socket = WorkerRoute(worker.worker_id, "frames", worker.address, None, 0, True)
        far = replace(socket, address=str(Address("127.0.0.1", port, worker.worker_id)), secret=worker.secret)
        routes = {"socket": socket, "relay": far}
        uvloop.run(_measure(routes, example.content_type, example.body, options.rounds))
    finally:
        end_relay(paths.root)
        for left in backend.observe():
            backend.stop(left.worker_id)
        backend.retain(())
        shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
