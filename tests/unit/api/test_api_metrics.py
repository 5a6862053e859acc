"""``/serving/metrics``: all processes summed, under the names that models have now, and for admins."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.api import version, worker

from mlflow_serving_plugin.domain.endpoint import DEFAULT_WORKSPACE
from mlflow_serving_plugin.domain.routes import routes_key
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.host.snapshot import publish
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import BUILDS, FAMILIES, IN_FLIGHT, RESTARTS, TICKS

LABELS = ("workspace", "model", "version", "state", "status", "result", "le")


@pytest.fixture
def scrape(world):
    """Ask as an admin: ``{(sample's name, *values of LABELS): value}``."""
    world.access.admins = {None}

    def ask():
        response = world.client.get("/serving/metrics", headers={"Accept": "text/plain"})
        assert response.status_code == 200
        assert response.content_type.startswith("text/plain; version=")
        samples = [s for f in text_string_to_metric_families(response.get_data(as_text=True)) for s in f.samples]
        assert all(sample.name.startswith("mlflow_serving_") for sample in samples)
        return {
            (
                s.name.removeprefix("mlflow_serving_"),
                *(s.labels[label] for label in LABELS if label in s.labels),
            ): s.value
            for s in samples
        }

    return ask


@pytest.fixture
def others(world):
    """The metrics of another web worker."""
    return Metrics(world.paths.metrics)


def test_this_web_worker_and_others_are_summed(world, scrape, others):
    world.publish(version(1), version(2))
    others.request("id-iris", 1, 200, 0.004, 0.0)
    others.request("id-iris", 2, 504, 70.0, 0.0)
    others.flush()
    for _ in range(3):
        world.deps.metrics.request("id-iris", 1, 200, 0.004, 0.0)
    found = scrape()
    assert found["requests_total", "iris", "1", "200"] == 4
    assert found["requests_total", "iris", "2", "504"] == 1
    assert found["request_duration_seconds_bucket", "iris", "1", "0.0025"] == 0
    assert found["request_duration_seconds_bucket", "iris", "1", "0.005"] == 4
    assert found["request_duration_seconds_count", "iris", "1"] == 4
    assert found["request_duration_seconds_sum", "iris", "1"] == pytest.approx(0.016)
    assert found["request_duration_seconds_bucket", "iris", "2", "60.0"] == 0
    assert found["request_duration_seconds_bucket", "iris", "2", "+Inf"] == 1


def test_gauges_and_what_the_controller_counts_are_there(world, scrape, others):
    world.publish(version(1, workers=[worker(), worker("w2"), worker("w3", ready=False)]))
    others.gauge(IN_FLIGHT, lambda: {("id-iris", 1): 2})
    others.count(RESTARTS, "id-iris", "1")
    others.observe(BUILDS, 12.5, "failed")
    others.observe(TICKS, 0.004)
    others.flush()
    found = scrape()
    assert found["requests_in_flight", "iris", "1"] == 2
    assert found["worker_restarts_total", "iris", "1"] == 1
    assert found["environment_build_duration_seconds_count", "failed"] == 1
    assert found["controller_tick_duration_seconds_sum",] == pytest.approx(0.004)
    assert found["workers", "iris", "1", "ready"] == 2
    assert found["workers", "iris", "1", "starting"] == 1
    assert found["workers", "iris", "1", "draining"] == 0


def test_workers_that_drain_are_counted_apart_from_workers_that_start(world, scrape):
    world.publish(version(1, EntityState.DRAINING, workers=[worker(ready=False), worker("w2", ready=False)]))
    found = scrape()
    assert [found["workers", "iris", "1", state] for state in ("ready", "starting", "draining")] == [0, 0, 2]


def test_a_model_goes_by_the_name_that_it_has_now_and_one_that_is_not_served_by_none(world, scrape, others):
    world.publish(version(1))
    others.request("id-iris", 1, 200, 0.1, 0.0)
    others.request("id-gone", 1, 200, 0.1, 0.0)
    others.request("", None, 404, 0.1, 0.0)
    others.flush()
    renamed = replace(world.routes.endpoints[routes_key(DEFAULT_WORKSPACE, "iris")], name='"große" \\\n')
    publish(world.paths.routes, replace(world.routes, endpoints={"default/x": renamed}))
    found = scrape()
    assert {key for key in found if key[0] == "requests_total"} == {
        ("requests_total", '"große" \\\n', "1", "200"),
        ("requests_total", "", "", "404"),
    }


def test_with_workspaces_they_are_a_label(world, scrape):
    object.__setattr__(world.deps, "workspaces", True)
    world.publish(version(1, workers=[worker()]))
    world.deps.metrics.request("id-iris", 1, 200, 0.1, 0.0)
    found = scrape()
    assert found["requests_total", DEFAULT_WORKSPACE, "iris", "1", "200"] == 1
    assert found["workers", DEFAULT_WORKSPACE, "iris", "1", "ready"] == 1


def test_before_anything_was_counted_all_families_are_told_of(world, scrape):
    assert scrape() == {}
    text = world.client.get("/serving/metrics").get_data(as_text=True)
    for family in FAMILIES.values():
        assert f"# HELP mlflow_serving_{family.name}" in text


def test_openmetrics_is_given_to_whoever_asks_for_it(world, scrape):
    world.publish(version(1, EntityState.READY))
    world.deps.metrics.request("id-iris", 1, 200, 0.1, 0.0)
    response = world.client.get("/serving/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.content_type.startswith("application/openmetrics-text")
    assert response.get_data(as_text=True).endswith("# EOF\n")


def test_the_metrics_are_for_admins(world):
    world.access.users = {"Basic ann": "ann", "Basic root": "root"}
    world.access.admins = {"root"}
    statuses = [
        world.client.get("/serving/metrics", headers=headers).status_code
        for headers in ({}, {"Authorization": "Basic ann"}, {"Authorization": "Basic root"})
    ]
    assert statuses == [401, 403, 200]
