"""What the controller counts of builds, which series are kept, and when files of ended processes are merged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.routes import an_entity, routes_of

from mlflow_serving_plugin.domain.routes import Routes
from mlflow_serving_plugin.metrics.controller import ControllerMetrics, is_served
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import BATCH_ROWS, BUILDS, REQUESTS, TICKS
from mlflow_serving_plugin.metrics.files import read_totals


def routes(*numbers: int) -> Routes:
    return routes_of(*(an_entity(number) for number in numbers))


@pytest.mark.parametrize(
    ("series", "kept"),
    [
        ((REQUESTS, "e1", "1", 200), True),
        ((BATCH_ROWS, "e1", "1"), True),
        ((REQUESTS, "e1", "2", 200), False),
        ((REQUESTS, "e2", "1", 200), False),
        ((BATCH_ROWS, "e2", "1"), False),
        ((REQUESTS, "", None, 404), True),
        ((BUILDS, "ok"), True),
        ((TICKS,), True),
    ],
)
def test_series_of_served_versions_and_of_no_version_are_kept(series: tuple, kept: bool) -> None:
    assert is_served(routes(1), series) is kept


def test_an_endpoint_whose_versions_are_not_known_keeps_all_of_its_series() -> None:
    assert is_served(routes(), (REQUESTS, "e1", "7", 200))


def test_builds_are_timed_and_told_apart_by_how_they_ended(tmp_path: Path) -> None:
    times = iter([0.0, 2.0, 15.0, 300.0])
    metrics = Metrics(tmp_path)
    counting = ControllerMetrics(metrics, tmp_path, lambda work: work(), clock=lambda: next(times))
    counting.build_began("a")
    counting.build_began("b")
    counting.build_ended("a", well=True)
    counting.build_ended("b", well=False)
    counting.build_ended("one that another controller began", well=True)
    metrics.flush()
    totals = read_totals(tmp_path)
    assert totals[BUILDS, "ok"][-1] == 15.0
    assert totals[BUILDS, "failed"][-1] == 298.0
    assert {series: sum(values[:-1]) for series, values in totals.items()} == {(BUILDS, "ok"): 1, (BUILDS, "failed"): 1}


def test_ended_processes_are_merged_at_the_interval_and_never_twice_at_a_time(tmp_path: Path) -> None:
    begun: list[Callable[[], None]] = []
    counting = ControllerMetrics(Metrics(None), tmp_path, begun.append, merge_every_s=2.0)
    counting.merge_if_due(Routes(), now=10.0)
    assert not begun, "before the first snapshot nobody knows which series are served"
    counting.merge_if_due(routes(1), now=10.0)
    counting.merge_if_due(routes(1), now=13.0)
    assert len(begun) == 1, "the first merge has not ended"
    begun[0]()
    counting.merge_if_due(routes(1), now=11.9)
    assert len(begun) == 1
    counting.merge_if_due(routes(1), now=12.0)
    assert len(begun) == 2


def test_a_merge_that_cannot_write_is_logged_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    counting = ControllerMetrics(Metrics(None), blocked, lambda work: work(), merge_every_s=0.0)
    counting.merge_if_due(routes(1), now=0.0)
    counting.merge_if_due(routes(1), now=0.0)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "could not be merged" in caplog.text
