from __future__ import annotations

import pytest

from mlflow_serving_plugin.domain.reference import Reference
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.gateway.addresses import PREFIXES, Action, target_of


@pytest.mark.parametrize(
    "last, action, method",
    [("invocations", Action.SCORE, "POST"), ("ping", Action.PING, "GET"), ("schema", Action.SCHEMA, "GET")],
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_path_leads_to_a_reference_an_action_and_the_method_allowed_there(prefix, last, action, method):
    target = target_of(f"{prefix}iris/3/{last}")
    assert (target.reference, target.action, target.method) == (Reference("iris", "version", "3"), action, method)


def test_a_path_that_was_read_before_is_not_read_again():
    assert target_of("/model/iris@champion/invocations") is target_of("/model/iris@champion/invocations")


def test_a_path_of_somebody_else_leads_nowhere():
    with pytest.raises(NotFoundError, match="below /model/"):
        target_of("/api/iris/3/invocations")
