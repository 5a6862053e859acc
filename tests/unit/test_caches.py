"""Where the caches of models are, who shares one, and what empties and removes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerSpec
from mlflow_serving_plugin.backends.caches import cache_variables, prepare_cache
from mlflow_serving_plugin.backends.commands import model_variables
from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.files import cache_directory, sweep
from mlflow_serving_plugin.domain.config import EndpointConfig, ScalingConfig, WorkerSettings, part_of
from mlflow_serving_plugin.domain.config_rules import resolve
from mlflow_serving_plugin.domain.entity import Entity, EntityKey, ModelRef
from mlflow_serving_plugin.host.paths import StatePaths

SETTINGS = WorkerSettings(env_manager="local", request_timeout_s=60.0)
SCALING = part_of(resolve(EndpointConfig(), request_timeout_s=60.0), ScalingConfig)


def wanted(endpoint, name, model, version, cache_mb=10):
    entity = Entity(EntityKey(endpoint, name), ModelRef("default", model, version), EndpointConfig(), "source")
    return DesiredEntity(entity, replace(SETTINGS, cache_mb=cache_mb), "f", SCALING)


def a_spec(cache, **settings):
    chosen = replace(SETTINGS, cache_mb=1, **settings)
    return WorkerSpec(EntityKey("e", "1"), "f", Path("/m"), Path("/log"), chosen, None, cache=cache)


def test_only_versions_of_one_model_within_one_endpoint_share_a_cache(tmp_path):
    paths = StatePaths.create(tmp_path)
    first = cache_directory(paths, wanted("e", "1", "iris", 1))
    assert cache_directory(paths, wanted("e", "2", "iris", 2)) == first
    assert cache_directory(paths, wanted("e", "b", "other", 1)) != first
    assert cache_directory(paths, wanted("f", "1", "iris", 1)) != first
    assert cache_directory(paths, wanted("e", "1", "iris", 1, cache_mb=None)) is None


def test_caches_that_no_endpoint_asks_for_are_removed_with_the_endpoint_s_directory(tmp_path):
    paths = StatePaths.create(tmp_path)
    kept, gone = paths.caches / "e" / "a", paths.caches / "f" / "b"
    for path in (kept, gone):
        path.mkdir(parents=True)
        (path / "file").write_text("kept")
    sweep(paths, [], [], [kept])
    assert sorted(paths.caches.rglob("*")) == [kept.parent, kept, kept / "file"]


def test_a_cache_is_private_kept_within_its_limit_and_emptied_beyond(tmp_path):
    spec = a_spec(tmp_path / "caches" / "e" / "m")
    assert prepare_cache(spec) == str(spec.cache)
    assert prepare_cache(a_spec(None)) is None
    assert spec.cache.stat().st_mode & 0o777 == 0o700
    small = spec.cache / "small"
    small.write_bytes(b"x")
    prepare_cache(spec)
    assert small.exists()
    (spec.cache / "large").write_bytes(bytes(2 * 1024 * 1024))
    prepare_cache(spec)
    assert list(spec.cache.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_a_reason(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WorkerFailedError, match="The model's cache could not be made: Not a directory"):
        prepare_cache(a_spec(tmp_path / "file" / "m"))


def test_libraries_are_told_where_unless_the_endpoint_says_otherwise():
    cache = Path("/state/caches/e/m")
    assert cache_variables(a_spec(None)) == {}
    variables = model_variables(a_spec(cache, environment={"NUMBA_CACHE_DIR": "/elsewhere"}), {})
    assert variables["XDG_CACHE_HOME"] == "/state/caches/e/m"
    assert variables["NUMBA_CACHE_DIR"] == "/elsewhere"
