"""Which versions count as used, of those that wait for an environment."""

from __future__ import annotations

import pytest
from support.controller import a_need, desired_of

from mlflow_serving_plugin.controller.backoff import Failure
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.controller.usage import Usage
from mlflow_serving_plugin.metrics.counting import Metrics

IDLE_S, LOOK_S = 0.2, 1.0
FAILED = Failure(1, 99.0, "There is no such package.", served=True)


@pytest.fixture
def wanted():
    return desired_of(1, min_replicas=0, idle_timeout_s=IDLE_S)


@pytest.fixture
def usage(tmp_path):
    return Usage(tmp_path, Metrics(None))


@pytest.mark.parametrize(
    ("building", "failures", "used"),
    [({}, False, True), ({"env": "1 of 9"}, False, True), ({"env": "1 of 9"}, True, True), ({}, True, False)],
    ids=["before the build begins", "while it is built", "while it is built again", "after the build has failed"],
)
def test_a_version_that_was_launched_and_lacks_its_environment_is_used(usage, wanted, building, failures, used):
    (key,) = wanted
    usage.look(wanted, Observed(launching={key: 1}), now=0.0)
    failed = {key: FAILED} if failures else {}
    usage.look(wanted, Observed(needs={key: a_need(key="env")}, building=building, failures=failed), now=LOOK_S)
    assert (usage.used_at[key] == LOOK_S) is used


def test_one_that_nobody_needs_is_not_used_for_lack_of_its_environment(usage, wanted):
    (key,) = wanted
    usage.look(wanted, Observed(needs={key: a_need(key="env")}), now=0.0)
    assert key not in usage.used_at
