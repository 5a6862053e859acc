"""Limits on calls per minute, as the gateway keeps them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.routes import an_entity, endpoint_of

from mlflow_serving_plugin.access.base import User
from mlflow_serving_plugin.domain.routes import EndpointRoute
from mlflow_serving_plugin.errors import TooManyRequestsError
from mlflow_serving_plugin.gateway.messages import Pause
from mlflow_serving_plugin.gateway.quotas import Quotas

ALICE, BOB = User("alice"), User("bob", token_id="t1")


def endpoint(**limits) -> EndpointRoute:
    made = endpoint_of(an_entity(1))
    return replace(made, config=replace(made.config, **limits))


def test_the_limit_of_each_user_is_for_the_user_and_that_of_the_endpoint_for_all():
    quotas, limited = Quotas(None), endpoint(calls_per_minute=3, calls_per_minute_per_user=2)
    for caller in (ALICE, ALICE, BOB):
        assert list(quotas.count(limited, caller)) == []
    with pytest.raises(TooManyRequestsError) as caught:
        list(quotas.count(limited, BOB))
    assert caught.value.message == (
        "Model 'iris' has a limit of 3 calls per minute and 2 calls per minute of each user, which is reached."
    )
    assert 1 <= caught.value.retry_after_s <= 60
    other = replace(limited, id="e2", name="split", models=("iris",))
    assert list(quotas.count(other, None)) == []


def test_all_callers_without_a_name_are_one_user():
    quotas, limited = Quotas(None), endpoint(calls_per_minute_per_user=1)
    assert list(quotas.count(limited, User(None))) == []
    with pytest.raises(TooManyRequestsError, match="of each user"):
        list(quotas.count(limited, None))


def test_a_web_worker_that_holds_the_counts_for_good_keeps_no_request(tmp_path, monkeypatch, caplog):
    quotas = Quotas(tmp_path / "calls")
    monkeypatch.setattr("fcntl.lockf", _held)
    steps = list(quotas.count(endpoint(calls_per_minute=0), ALICE))
    assert steps
    assert {type(step) for step in steps} == {Pause}
    assert "is not limited" in caplog.text


def _held(*_):
    raise BlockingIOError
