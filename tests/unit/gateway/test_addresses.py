from __future__ import annotations

import pytest

from mlflow_serving_plugin.domain.reference import Reference
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.gateway.addresses import PREFIXES, Action, target_of

READ = ("GET", "HEAD")


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    "last, action, methods",
    [
        ("invocations", Action.SCORE, ("POST",)),
        ("ping", Action.PING, READ),
        ("health", Action.PING, READ),
        ("version", Action.VERSION, READ),
        ("schema", Action.SCHEMA, READ),
    ],
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_path_leads_to_a_reference_an_action_and_the_methods_allowed_there(prefix, last, action, methods, slash):
    target = target_of(f"{prefix}iris/3/{last}{slash}")
    assert (target.reference, target.action, target.methods) == (Reference("iris", "version", "3"), action, methods)


@pytest.mark.parametrize("path", ["/model//", "/model/iris//", "/model/iris/3//invocations", "/model/iris/3/ping//"])
def test_more_than_one_slash_names_nothing(path):
    with pytest.raises(NotFoundError):
        target_of(path)


def test_a_path_that_was_read_before_is_not_read_again():
    assert target_of("/model/iris@champion/invocations") is target_of("/model/iris@champion/invocations")


def test_a_path_of_somebody_else_leads_nowhere():
    with pytest.raises(NotFoundError, match="below /model/"):
        target_of("/api/iris/3/invocations")
