"""What the controller counts of builds, and which series it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_serving_plugin.controller.meter import Meter, is_served
from mlflow_serving_plugin.controller.tasks import Tasks
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute, Routes
from mlflow_serving_plugin.domain.states import EndpointState, EntityState
from mlflow_serving_plugin.metrics.counting import BATCH_ROWS, BUILDS, REQUESTS, TICKS, Metrics
from mlflow_serving_plugin.metrics.files import read_totals


def routes(*numbers: int) -> Routes:
    versions = {n: EntityRoute(n, EntityState.READY, "", "None", 0) for n in numbers}
    endpoint = EndpointRoute("e1", "default", "iris", EndpointState.READY, "", 60.0, "modern", versions)
    return Routes(written_ms=1, endpoints={"default/iris": endpoint})


@pytest.mark.parametrize(
    ("series", "kept"),
    [
        ((REQUESTS, "e1", 1, 200), True),
        ((BATCH_ROWS, "e1", 1), True),
        ((REQUESTS, "e1", 2, 200), False),
        ((REQUESTS, "e2", 1, 200), False),
        ((BATCH_ROWS, "e2", 1), False),
        ((REQUESTS, "", None, 404), True),
        ((BUILDS, "ok"), True),
        ((TICKS,), True),
    ],
)
def test_series_of_served_versions_and_of_no_version_are_kept(series: tuple, kept: bool) -> None:
    assert is_served(routes(1), series) is kept


def test_an_endpoint_whose_versions_are_not_known_keeps_all_of_its_series() -> None:
    assert is_served(routes(), (REQUESTS, "e1", 7, 200))


def test_builds_are_timed_and_told_apart_by_how_they_ended(tmp_path: Path) -> None:
    times = iter([0.0, 2.0, 15.0, 300.0])
    metrics = Metrics(tmp_path)
    meter = Meter(metrics, tmp_path, Tasks(lambda: None), lambda: next(times))
    meter.build_began("a")
    meter.build_began("b")
    meter.build_ended("a", well=True)
    meter.build_ended("b", well=False)
    meter.build_ended("one that another controller began", well=True)
    metrics.flush()
    totals = read_totals(tmp_path)
    assert totals[BUILDS, "ok"][-1] == 15.0
    assert totals[BUILDS, "failed"][-1] == 298.0
    assert {series: sum(values[:-1]) for series, values in totals.items()} == {(BUILDS, "ok"): 1, (BUILDS, "failed"): 1}
