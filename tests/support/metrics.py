"""Asking a server for its metrics as Prometheus does, and what single web workers have counted."""

from __future__ import annotations

import requests
from prometheus_client.parser import text_string_to_metric_families

from mlflow_serving_plugin.worker.counts import key_of, records
from support.server import HTTP_S, TrackingServer

_LABELS = ("model", "version", "state", "status", "result", "outcome", "le")

Sample = tuple[str, ...]


def scrape(server: TrackingServer, **headers: str) -> dict[Sample, float]:
    """``{(name without its prefix, *values of labels): value}``, on a connection of its own."""
    response = requests.get(f"{server.url}/serving/metrics", headers=server.credentials | headers, timeout=HTTP_S)
    assert response.status_code == 200, f"{response.status_code} {response.text}\n{server.tail()}"
    samples = [sample for family in text_string_to_metric_families(response.text) for sample in family.samples]
    return {
        (
            sample.name.removeprefix("mlflow_serving_"),
            *(sample.labels[label] for label in _LABELS if label in sample.labels),
        ): sample.value
        for sample in samples
    }


def everywhere(server: TrackingServer, expected: dict[Sample, float]) -> bool:
    """Whether a dozen scrapes, which reach every web worker, all find these values."""
    found = [scrape(server) for _ in range(12)]
    return all(one.get(sample, 0) == value for one in found for sample, value in expected.items())


def web_workers(server: TrackingServer) -> list[int]:
    """The pids of the web workers that have counted something and whose files have not been merged."""
    return [int(path.name.split("-")[1]) for path in (server.state / "metrics").glob("web-*.counts")]


def counted_by(server: TrackingServer, pid: int, *series: object) -> float:
    """What one web worker has counted of one series."""
    (path,) = (server.state / "metrics").glob(f"web-{pid}-*.counts")
    return dict(records(path.read_bytes())).get(key_of(*series), (0.0,))[0]
