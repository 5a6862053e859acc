"""Metrics of real servers: exact over several web workers, through the death of one, and beside MLflow's own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.resources import files

import pytest
import requests
from support import eventually
from support.metrics import Sample, counted_by, everywhere, scrape, web_workers
from support.models import Models, register
from support.server import TrackingServer

from mlflow_serving_plugin import metrics

GRAFANA = files(metrics).joinpath("grafana")
MERGED_S = 60.0
"""The controller merges every 30 s."""


SCORED = {
    ("requests_total", "iris", "1", "200"): 300,
    ("requests_total", "iris", "1", "400"): 20,
    ("requests_total", "", "", "404"): 30,
    ("request_duration_seconds_count", "iris", "1"): 320,
    ("request_queue_seconds_count", "iris", "1"): 320,
    ("requests_in_flight", "iris", "1"): 0,
}
"""What the test below adds to each count."""


def settled(server: TrackingServer, samples: Iterable[Sample]) -> dict[Sample, float] | None:
    """What has been counted so far; None while scrapes differ, for the last requests are counted a moment later."""
    found = scrape(server)
    before = {sample: found.get(sample, 0) for sample in samples}
    return before if everywhere(server, before) else None


def test_n_requests_over_three_web_workers_are_exactly_n(plain: TrackingServer, models: Models) -> None:
    row = {"dataframe_records": models.iris.head(1).to_dict(orient="records")}
    before = eventually(lambda: settled(plain, SCORED), tail=plain.tail)
    with ThreadPoolExecutor(8) as pool:
        statuses = [
            *pool.map(lambda _: plain.score("iris/1", row).status_code, range(300)),
            *pool.map(lambda _: plain.score("iris/1", b"{").status_code, range(20)),
            *pool.map(lambda n: plain.score(f"nosuch-{n}/1", row).status_code, range(30)),
        ]
    assert sorted(set(statuses)) == [200, 400, 404]
    after = {sample: before[sample] + number for sample, number in SCORED.items()}
    eventually(lambda: everywhere(plain, after), tail=lambda: f"{after}\n{scrape(plain)}")
    # The writer of request logs counts too, once there is one.
    assert len(web_workers(plain)) >= 3
    found = scrape(plain)
    assert not [sample for sample in found if any("nosuch" in str(part) for part in sample)]
    assert found["batch_rows_sum", "iris", "1"] >= 300
    assert found["workers", "iris", "1", "ready"] == 1
    assert found["controller_tick_duration_seconds_count",] > 0
    assert plain.api("GET", "list-overviews", base="/ajax-api/2.0/mlflow/endpoints")["overviews"]


def test_a_real_server_has_every_metric_of_the_dashboard_and_of_the_alerts(plain: TrackingServer) -> None:
    page = requests.get(f"{plain.url}/serving/metrics", timeout=30).text
    named = set(re.findall(r"mlflow_serving_\w+", "".join(file.read_text() for file in GRAFANA.iterdir())))
    shown = set(re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE))
    assert len(named) > 20
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in named} <= shown


def test_a_killed_web_worker_leaves_its_counts_and_nothing_in_flight(plain: TrackingServer, models: Models) -> None:
    server = plain
    register(server.client, "slow", models.path("slow"))
    server.enable("slow", runtime="native")
    server.wait_ready("slow", 1)
    for _ in range(60):
        assert score(server, 0) == 200
    eventually(lambda: len(web_workers(server)) >= 3, tail=server.tail)
    with ThreadPoolExecutor(9) as pool:
        scored = [pool.submit(score, server, 15) for _ in range(9)]
        eventually(lambda: everywhere(server, in_flight(9)), tail=lambda: str(scrape(server)))
        endpoint_id = server.routes()["endpoints"]["default/slow"]["id"]
        pids = web_workers(server)
        held = {pid: int(counted_by(server, pid, "in_flight", endpoint_id, "1")) for pid in pids}
        victim = max(pids, key=lambda pid: (held[pid], counted_by(server, pid, "requests", endpoint_id, "1", 200)))
        assert held[victim], held
        os.kill(victim, signal.SIGKILL)
        left = in_flight(9 - held[victim])
        eventually(lambda: everywhere(server, left), tail=lambda: f"{held} {scrape(server)}")
        assert [outcome(one) for one in scored].count(200) == 9 - held[victim]
    answered = {("requests_total", "slow", "1", "200"): 60 + 9 - held[victim], **in_flight(0)}
    eventually(lambda: everywhere(server, answered), tail=lambda: f"{answered} {scrape(server)}")
    eventually(lambda: victim not in web_workers(server), within_s=MERGED_S, tail=server.tail)
    assert everywhere(server, answered)
    server.api("POST", "disable", registered_model_name="slow")


def test_a_restarted_server_counts_on_and_says_how_often_workers_were_restarted(
    threaded: TrackingServer, models: Models
) -> None:
    server = threaded
    register(server.client, "counted", models.path("iris-1"))
    server.enable("counted")
    server.wait_ready("counted", 1)
    row = {"dataframe_records": models.iris.head(1).to_dict(orient="records")}
    for _ in range(40):
        assert server.score("counted/1", row).status_code == 200
    (worker,) = server.workers("counted")
    os.kill(worker["pid"], signal.SIGKILL)
    restarts = {("worker_restarts_total", "counted", "1"): 1}
    eventually(lambda: everywhere(server, restarts), tail=lambda: f"{scrape(server)}\n{server.tail()}")
    ended = set(web_workers(server))
    server.stop()
    server.start()
    server.wait_ready("counted", 1)
    counted = {("requests_total", "counted", "1", "200"): 40, **restarts}
    eventually(lambda: everywhere(server, counted), tail=lambda: str(scrape(server)))
    eventually(lambda: not ended & {*web_workers(server)}, within_s=MERGED_S, tail=lambda: str(web_workers(server)))
    assert server.score("counted/1", row).status_code == 200
    counted["requests_total", "counted", "1", "200"] = 41
    eventually(lambda: everywhere(server, counted), tail=lambda: str(scrape(server)))
    server.api("POST", "disable", registered_model_name="counted")


@pytest.fixture(scope="module")
def exposing(models: Models) -> Iterator[TrackingServer]:
    """With MLflow's own metrics beside ours; ``iris`` is served."""
    pytest.importorskip("prometheus_flask_exporter")
    with TrackingServer("uvicorn", workers=2, extra_args=("--expose-prometheus", "mlflow-metrics")) as server:
        register(server.client, "iris", models.path("iris-1"))
        server.enable("iris")
        server.wait_ready("iris", 1)
        yield server


@pytest.mark.matrix
def test_mlflow_s_own_prometheus_metrics_and_ours_leave_each_other_alone(
    exposing: TrackingServer, models: Models
) -> None:
    server = exposing
    row = {"dataframe_records": models.iris.head(1).to_dict(orient="records")}
    for _ in range(10):
        assert server.score("iris/1", row).status_code == 200
    counted = {("requests_total", "iris", "1", "200"): 10}
    eventually(lambda: everywhere(server, counted), tail=lambda: str(scrape(server)))
    of_mlflow = requests.get(f"{server.url}/metrics", timeout=30)
    assert of_mlflow.status_code == 200
    assert "mlflow_http_request_total" in of_mlflow.text
    assert "mlflow_serving_" not in of_mlflow.text
    ours = {path.name.split("-")[0] for path in (server.state / "metrics").glob("*.counts")}
    assert ours == {"web", "worker"}
    assert not list((server.root / "mlflow-metrics").glob("*.counts"))


@pytest.mark.matrix
def test_metrics_that_cannot_be_written_do_not_stop_serving(exposing: TrackingServer, models: Models) -> None:
    server = exposing
    scored = "requests_total", "iris", "1", "200"
    before = scrape(server).get(scored, 0)
    directory = server.state / "metrics"
    directory.rename(server.state / "away")
    directory.write_text("a file where the directory was")
    row = {"dataframe_records": models.iris.head(1).to_dict(orient="records")}
    deadline = time.monotonic() + 2
    answered = 0
    while time.monotonic() < deadline:
        assert server.score("iris/1", row).status_code == 200
        answered += 1
    scrape(server)
    eventually(lambda: "Metrics cannot be written" in server.log.read_text(), tail=server.tail)
    directory.unlink()
    counted = {scored: before + answered}
    eventually(lambda: everywhere(server, counted), tail=lambda: f"{counted} {scrape(server)}")


def in_flight(number: int) -> dict[tuple[str, ...], float]:
    """What is to be found of requests in flight on ``slow``."""
    return {("requests_in_flight", "slow", "1"): number}


def score(server: TrackingServer, seconds: float) -> int:
    """The status of a request that takes so long."""
    return server.score("slow/1", {"dataframe_records": [{"seconds": seconds}]}).status_code


def outcome(scored: Future[int]) -> int | None:
    """Its status; None when its connection broke."""
    with contextlib.suppress(requests.ConnectionError):
        return scored.result()
    return None
