import pytest

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.config_schema import CONFIG_SCHEMA
from mlflow_serving_plugin.errors import InvalidParameterError
from mlflow_serving_plugin.operations.config import PLACEHOLDER, merge_config, show_config


def test_given_fields_replace_and_others_stay():
    current = EndpointConfig(replicas=2, batching="off")
    assert merge_config(current, {"batching": "on", "max_batch_rows": 10}) == EndpointConfig(
        replicas=2, batching="on", max_batch_rows=10
    )


def test_null_resets_a_field_to_its_default():
    current = EndpointConfig(replicas=2, memory_limit_mb=512, environment={"A": "1"})
    changes = dict.fromkeys(("replicas", "memory_limit_mb", "environment"))
    assert merge_config(current, changes) == EndpointConfig()


def test_the_schemas_defaults_are_the_configurations():
    defaults = {name: rule["default"] for name, rule in CONFIG_SCHEMA["properties"].items()}
    assert defaults == show_config(EndpointConfig())


@pytest.mark.parametrize(
    "changes",
    [
        {"replicas": 1},
        {"replicas": 64},
        {"env_manager": "uv"},
        {"runtime": "mlflow"},
        {"request_timeout_s": 0.001},
        {"request_timeout_s": 3600},
        {"memory_limit_mb": 64},
        {"max_processes": 16},
        {"max_open_files": 64},
        {"sandbox": "on"},
        {"network": "off"},
        {"default_dialect": "legacy"},
        {"environment": {"HTTP_PROXY": "x", "_a1": ""}},
        {"environment": {"BIG": "x" * 32768}},
    ],
)
def test_good_values_pass(changes):
    config = merge_config(EndpointConfig(), changes)
    for name, value in changes.items():
        assert getattr(config, name) == value


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"replicas": 0}, "config.replicas must be a whole number from 1 to 64."),
        ({"min_replicas": 2}, "config.min_replicas is 2, more than config.replicas, which is 1."),
        ({"replicas": 3, "max_replicas": 2}, "config.replicas is 3, more than config.max_replicas, which is 2."),
        (
            {"min_replicas": 3, "max_replicas": 2},
            "config.min_replicas is 3, more than config.max_replicas, which is 2.",
        ),
        ({"max_replicas": 0}, "config.max_replicas must be a whole number from 1 to 64."),
        ({"target_requests": 0}, "config.target_requests must be a number above 0, at most 1000."),
        ({"idle_timeout_s": 0}, "config.idle_timeout_s must be a number above 0, at most 2592000."),
        ({"replicas": 65}, "config.replicas"),
        ({"replicas": "2"}, "config.replicas"),
        ({"replicas": True}, "config.replicas"),
        ({"replicas": 1.5}, "config.replicas"),
        ({"env_manager": "pip"}, "config.env_manager must be one of auto, uv, virtualenv, conda, local."),
        ({"runtime": "triton"}, "config.runtime must be"),
        ({"batching": True}, "config.batching"),
        ({"max_batch_rows": 10001}, "config.max_batch_rows"),
        ({"request_timeout_s": 0}, "config.request_timeout_s must be a number above 0, at most 3600."),
        ({"request_timeout_s": float("inf")}, "config.request_timeout_s"),
        ({"memory_limit_mb": 63}, "config.memory_limit_mb"),
        ({"max_processes": 15}, "config.max_processes must be a whole number from 16 to 65536."),
        ({"max_open_files": 0}, "config.max_open_files must be a whole number from 64 to 1048576."),
        ({"sandbox": "maybe"}, "config.sandbox must be one of auto, on, off."),
        ({"network": True}, "config.network must be one of on, off."),
        ({"default_dialect": "v1"}, "config.default_dialect"),
        ({"environment": []}, "config.environment"),
        ({"environment": {"A": 1}}, "the value of A must be a string"),
        ({"environment": {"A": None}}, "the value of A must be a string"),
        ({"environment": {"A": "x" * 32769}}, "the value of A"),
        ({"environment": {"A": "ü" * 20000}}, "the value of A"),
        ({"environment": {"A": "a\x00b"}}, "the value of A"),
        ({"environment": {"1A": "x"}}, "name"),
        ({"environment": {"A B": "x"}}, "name"),
        ({"environment": {f"V{i}": "" for i in range(51)}}, "at most 50"),
        ({"zap": 1}, "config.zap is not a setting"),
        ({"zap": None}, "config.zap is not a setting"),
    ],
)
def test_bad_values_are_named(changes, named):
    with pytest.raises(InvalidParameterError) as caught:
        merge_config(EndpointConfig(), changes)
    assert named in caught.value.message


@pytest.mark.parametrize(
    "name",
    [
        "MLFLOW_SERVING_DEBUG",
        "_MLFLOW_STATIC_PREFIX",
        "PATH",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "DYLD_INSERT_LIBRARIES",
        "UVICORN_UDS",
        "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT",
    ],
)
def test_variables_that_would_break_the_worker_are_refused_with_a_reason(name):
    with pytest.raises(InvalidParameterError, match=f"{name} cannot be set, because .+"):
        merge_config(EndpointConfig(), {"environment": {name: "x"}})


@pytest.mark.parametrize(
    ("current", "changes"),
    [
        ({}, {"sandbox": "off", "network": "off"}),
        ({"network": "off"}, {"sandbox": "off"}),
        ({"sandbox": "off"}, {"network": "off"}),
    ],
)
def test_the_network_can_be_off_only_in_the_sandbox(current, changes):
    with pytest.raises(InvalidParameterError) as caught:
        merge_config(EndpointConfig(**current), changes)
    assert caught.value.message == ("config.network can be off only in the sandbox. Set config.sandbox to auto or on.")


def test_the_sandbox_can_be_turned_off_only_where_the_operator_permits_that():
    with pytest.raises(
        InvalidParameterError, match=r"config\.sandbox cannot be off.+MLFLOW_SERVING_SANDBOX_OPTIONAL=true"
    ):
        merge_config(EndpointConfig(), {"sandbox": "off"}, sandbox_optional=False)
    assert merge_config(EndpointConfig(), {"sandbox": "off"}, sandbox_optional=True).sandbox == "off"
    # Configured before the operator forbade it: other keys can still be changed.
    old = EndpointConfig(sandbox="off")
    assert merge_config(old, {"replicas": 2}, sandbox_optional=False) == EndpointConfig(sandbox="off", replicas=2)


def test_a_whole_number_written_as_a_float_becomes_one():
    config = merge_config(EndpointConfig(), {"replicas": 2.0})
    assert type(config.replicas) is int


def test_the_placeholder_keeps_a_value_and_leaving_a_name_out_removes_it():
    current = EndpointConfig(environment={"KEEP": "secret", "DROP": "x"})
    shown = show_config(current)["environment"]
    assert shown == {"DROP": PLACEHOLDER, "KEEP": PLACEHOLDER}
    merged = merge_config(current, {"environment": {"KEEP": shown["KEEP"], "NEW": "y"}})
    assert merged.environment == {"KEEP": "secret", "NEW": "y"}


def test_the_placeholder_alone_is_no_value():
    with pytest.raises(InvalidParameterError, match="NEW has no value"):
        merge_config(EndpointConfig(), {"environment": {"NEW": PLACEHOLDER}})


def test_an_error_never_repeats_a_secret():
    with pytest.raises(InvalidParameterError) as caught:
        merge_config(EndpointConfig(), {"environment": {"A": ["hunter2"]}})
    assert "hunter2" not in caught.value.message


def test_a_form_gets_the_fields_in_the_schema_s_order(world, call):
    world.enable()
    _, reply = call("GET", "get-config", registered_model_name="iris")
    assert list(reply["schema"]["properties"]) == list(CONFIG_SCHEMA["properties"])
