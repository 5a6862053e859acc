"""The garbage collector runs seldom while a large body is parsed, and as before afterwards."""

from __future__ import annotations

import gc

import pytest

from mlflow_serving_plugin.gateway.dialects.json_text import parse
from mlflow_serving_plugin.worker.collector import Collector

LISTS = b"[" + b"[1]," * 200_000 + b"[1]]"


@pytest.fixture
def collections():
    """How often the collector has run, so far; and its usual pace, whatever else changed it."""
    seen = []
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    gc.callbacks.append(note := lambda phase, _: seen.append(phase) if phase == "start" else None)
    yield seen
    gc.callbacks.remove(note)
    gc.set_threshold(*before)


def lists():
    return [[number] for number in range(200_000)]


def test_a_large_body_is_parsed_with_a_few_collections_in_a_worker(collections):
    collector = Collector()
    with collector.during(LISTS), collector.during(LISTS):
        kept = lists()
    assert 0 < len(collections) < 10
    assert gc.get_threshold() == (700, 10, 10)
    del kept


def test_a_small_body_changes_nothing(collections):
    with Collector().during(b"{}"):
        assert gc.get_threshold() == (700, 10, 10)
        kept = lists()
    assert len(collections) > 100
    del kept


def test_a_large_body_is_parsed_without_collections_in_the_gateway(collections):
    kept = parse(LISTS)
    assert len(collections) < 3
    assert gc.isenabled()
    del kept


def test_the_collector_runs_again_after_a_body_that_cannot_be_parsed(collections):
    with pytest.raises(Exception, match="not valid JSON"):
        parse(LISTS[:-1])
    assert gc.isenabled()
