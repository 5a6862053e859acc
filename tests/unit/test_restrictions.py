"""What the operator forbids by MLflow's variables is forbidden in workers."""

from __future__ import annotations

import pytest
from mlflow import environment_variables
from support.controller import TIMEOUT_S, an_endpoint

from mlflow_serving_plugin.backends.base import fingerprint
from mlflow_serving_plugin.controller.desired import worker_settings
from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.config_rules import ServerRules
from mlflow_serving_plugin.domain.restrictions import is_restriction, restrictions
from mlflow_serving_plugin.errors import InvalidParameterError
from mlflow_serving_plugin.operations.config import merge_config

PICKLES = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"


@pytest.mark.parametrize(
    "name",
    [
        PICKLES,
        "MLFLOW_ALLOW_MODEL_CODE_EXECUTION",
        "MLFLOW_ALLOW_HTTP_REDIRECTS",
        "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES",
        "MLFLOW_ICON_URL_ALLOWED_SCHEMES",
        "MLFLOW_DISABLE_ENV_CREATION",
    ],
)
def test_a_variable_that_allows_or_forbids_is_known_by_its_name(name):
    assert restrictions({name: "false", "HOME": "/root"}) == {name: "false"}
    with pytest.raises(InvalidParameterError, match="operator"):
        merge_config(EndpointConfig(), {"environment": {name: "true"}})


@pytest.mark.parametrize(
    "name",
    [
        "MLFLOW_TRACKING_URI",
        "MLFLOW_BACKEND_STORE_URI",
        "MLFLOW_SERVER_ALLOWED_HOSTS",
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",
        "MLFLOW_SERVING_ONLY_BINARY",
        "AWS_ALLOWED_KEYS",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_FLASK_SERVER_SECRET_KEY",
    ],
)
def test_any_other_variable_of_the_server_stays_with_the_server(name):
    assert restrictions({name: "x"}) == {}


def test_no_variable_of_mlflow_that_holds_a_secret_is_passed_on():
    names = [name.lstrip("_") for name in dir(environment_variables) if name.lstrip("_").startswith("MLFLOW_")]
    passed = [name for name in names if is_restriction(name)]
    assert PICKLES in passed
    assert not [name for name in passed for part in ("SECRET", "PASSWORD", "TOKEN", "KEY", "URI") if part in name]


def test_an_endpoint_s_environment_does_not_undo_what_the_operator_forbids():
    config = an_endpoint(environment={PICKLES: "true", "OWN": "1"}).config
    rules = ServerRules(restrictions={PICKLES: "false"})
    free, bound = worker_settings(config, TIMEOUT_S), worker_settings(config, TIMEOUT_S, rules)
    assert bound.environment == {PICKLES: "false", "OWN": "1"}
    # Workers of before the ban are replaced.
    assert fingerprint("s3://a", free) != fingerprint("s3://a", bound)


def test_an_endpoint_without_a_memory_limit_gets_the_server_s():
    rules = ServerRules(memory_limit_mb=4096)
    assert worker_settings(an_endpoint().config, TIMEOUT_S, rules).memory_limit_mb == 4096
    assert worker_settings(an_endpoint(memory_limit_mb=512).config, TIMEOUT_S, rules).memory_limit_mb == 512
    assert worker_settings(an_endpoint().config, TIMEOUT_S).memory_limit_mb is None
