"""Generated pipelines under 64 connections: no answer depends on the requests that it is scored with."""

from __future__ import annotations

import itertools
import json
import random
import tempfile
import warnings
from pathlib import Path

import cloudpickle
import mlflow
import pytest
from support import eventually
from support import pipelines as made
from support.models import register
from support.server import TrackingServer

from .client import Request, Response
from .load import Load
from .report import Report, Size

_CONNECTIONS = 64
_BODIES = 16
_AT_ONCE = 20
_NEVER_ALIKE = ("stateful", "random")
"""Kinds that answer the same request differently, alone too."""


def generated_pipelines(report: Report, size: Size) -> None:
    """Generated pipelines, 64 connections each: no answer differs from the one alone, row-wise ones are batched."""
    cloudpickle.register_pickle_by_value(made)
    seed = random.randrange(1 << 32)
    report.say(f"{size.pipelines} pipelines, seed {seed}")
    pipelines = made.pipelines(size.pipelines, seed)
    requests, wrong, mistaken, batched = 0, [], [], 0
    with tempfile.TemporaryDirectory() as root, TrackingServer() as server:
        while group := list(itertools.islice(pipelines, _AT_ONCE)):
            for number, pipeline in enumerate(group):
                _serve(server, f"p{number}", pipeline, Path(root))
            for number, pipeline in enumerate(group):
                name = f"p{number}"
                version = _newest(server, name)
                server.wait_ready(name, version)
                is_batched = "Batching on" in _batching(server, name, version)
                batched += is_batched
                if is_batched != (pipeline.kind == made.ROW_WISE):
                    mistaken.append(str(pipeline))
                figures_requests, differing = _load(server, name, pipeline)
                requests += figures_requests
                wrong += differing
            report.say(f"{batched} batched, {requests} requests")
    report.check("no answer differs from the one alone", not wrong, f"{len(wrong)}: {wrong[:3]}")
    report.check("what is row-wise and known is batched, nothing else is", not mistaken, " | ".join(mistaken[:3]))


def _serve(server: TrackingServer, name: str, pipeline: made.Pipeline, root: Path) -> None:
    directory = root / f"{name}-{pipeline.name.partition(':')[0]}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            pipeline.estimator,
            directory,
            serialization_format="cloudpickle",
            signature=made.loaded(pipeline.estimator).metadata.signature,
            pip_requirements=["scikit-learn"],
        )
    register(server.client, name, directory)
    version = _newest(server, name)
    if version > 1:
        server.client.delete_model_version(name, str(version - 1))
    server.enable(name)


def _newest(server: TrackingServer, name: str) -> int:
    return max(int(version.version) for version in server.client.search_model_versions(f"name='{name}'"))


def _batching(server: TrackingServer, name: str, version: int) -> str:
    """What the events of a version say of batching."""

    def said() -> str:
        history = server.api("GET", "get-event-history", registered_model_name=name, endpoint_version_name=str(version))
        return next((text for event in history["events"] if "Batching" in (text := json.dumps(event))), "")

    return eventually(said, within_s=60)


def _load(server: TrackingServer, name: str, pipeline: made.Pipeline) -> tuple[int, list[str]]:
    """Requests that were sent, and those whose answer is not the one alone."""
    path = f"/model/{name}/latest/invocations"
    bodies = [
        json.dumps({"dataframe_records": made.rows(1 + seed % 3, seed).to_dict("records")}).encode()
        for seed in range(_BODIES)
    ]
    alone = [server.score(f"{name}/latest", json.loads(body)).json()["predictions"] for body in bodies]

    def differs(request: Request, response: Response) -> str | None:
        wanted = alone[bodies.index(request.body)]
        if response.status != 200:
            return f"{pipeline.name}: {response.status} {response.body[:200]!r}"
        found = json.loads(response.body)["predictions"]
        if pipeline.kind in _NEVER_ALIKE or found == pytest.approx(wanted, rel=1e-6, abs=1e-12):
            return None
        return f"{pipeline.name}: {found} is {wanted} alone"

    def make(number: int) -> Request:
        return Request(path, bodies[number % _BODIES])

    with Load(server.port, make, differs, clients=_CONNECTIONS, total=4 * _CONNECTIONS) as load:
        load.join()
    return load.figures.requests, load.figures.failures
