"""What a person is told about the layers of the sandbox, and what a worker's plan holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.isolation import Levels, isolation_of, layers
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.worker.isolation.plan import Plan

ALL = Levels("", 7, True)
NOTHING = Levels("unshare: Operation not permitted", 0, False)
ADDRESS = Path("/state/sockets/w.sock")


def plan(found, *, settings=None, **config):
    chosen = replace(WorkerSettings(env_manager="local", request_timeout_s=60.0), **config)
    spec = WorkerSpec(EntityKey("e", "1"), "f", Path("/state/models/e/1/m"), Path("/log"), chosen, None)
    return isolation_of(spec, ADDRESS, settings or Settings(), found)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (ALL, "namespaces, Landlock 7, call filter"),
        (replace(ALL, namespaces="no"), "Landlock 7, call filter"),
        (replace(NOTHING, seccomp=True), "call filter"),
        (NOTHING, "none"),
    ],
)
def test_the_layers_in_words(found, told):
    assert str(found) == told


def test_each_layer_that_does_not_hold_says_what_to_do():
    assert [layer.advice for layer in layers(ALL, bubblewrap="")] == [""] * 4
    told = layers(NOTHING, bubblewrap="Not installed.")
    assert [layer.name for layer in told if not layer.advice] == []
    assert told[0].holds == "unshare: Operation not permitted"
    assert "sysctl user.max_user_namespaces" in told[0].advice
    old = layers(replace(ALL, landlock=3), bubblewrap="")[1]
    assert (old.holds, old.advice[:10]) == ("version 3", "Linux 6.12")


def test_a_worker_whose_sandbox_is_off_or_that_no_layer_can_hold_has_no_plan():
    assert plan(ALL, sandbox="off") is None
    assert plan(NOTHING) is None


def test_a_plan_shows_the_model_to_be_changed_and_what_the_operator_names():
    settings = Settings(sandbox_readable_paths="/cache:relative:/weights", sandbox_writable_paths="/spool")
    found = Plan.read(plan(ALL, settings=settings, memory_limit_mb=64, network="off"))
    assert found.own == ["/state/models/e/1/m"]
    assert not {"/state/models/e/1/m", "relative"} & {*found.readable}
    assert {"/cache", "/weights"} <= {*found.readable}
    assert found.writable == ["/spool"]
    assert (found.namespaces, found.landlock, found.seccomp, found.network) == (True, 7, True, False)
    assert found.tmp_bytes == 64 * 1024 * 1024
    assert found.scratch == "/state/sockets/w.sock.tmp"
