"""What a worker is started with: nothing of the server's secrets, all of the endpoint's own variables."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE, model_variables, worker_environment
from mlflow_serving_plugin.backends.stock import stock_command
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.environments.ready import own_environment
from mlflow_serving_plugin.worker.tracking import NO_TRACKING_SERVER

SECRETS = [
    "_MLFLOW_SERVER_FILE_STORE",
    "_MLFLOW_SERVER_ARTIFACT_DESTINATION",
    "_MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_SERVING_DATABASE_URI",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "DATABASE_URL",
    "PGPASSWORD",
    "SSH_AUTH_SOCK",
    "PYTHONPATH",
    "LD_PRELOAD",
    "UVICORN_UDS",
]


def a_spec(request_timeout_s: float = 60.0) -> WorkerSpec:
    settings = WorkerSettings(runtime="mlflow", env_manager="local", request_timeout_s=request_timeout_s)
    return WorkerSpec(EntityKey("e", "1"), "f", Path("/models/e/1"), Path("/logs/e/1.log"), settings, None)


def variables_of(own: dict[str, str], **settings: int) -> dict[str, str]:
    spec = a_spec()
    return model_variables(replace(spec, settings=replace(spec.settings, environment=own, **settings)), {})


def after(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


@pytest.mark.parametrize("name", SECRETS)
def test_the_server_s_own_variable_never_reaches_a_worker(name):
    assert name not in worker_environment({name: "x", "HOME": "/home/u"}, {}, {})


def test_nothing_reaches_a_worker_just_because_it_looks_like_something_that_may():
    server = {"home": "/x", "HOME_": "/x", "MY_PATH": "/x", "XLC_ALL": "C", "LC": "C", "TZ2": "UTC"}
    assert worker_environment(server, {}, {}).keys() == {"PATH", "PYTHONUNBUFFERED", "MLFLOW_DISABLE_TELEMETRY"}


def test_what_models_and_libraries_need_is_passed_on():
    server = {
        "HOME": "/home/u",
        "TMPDIR": "/var/tmp",
        "LANG": "de_DE.UTF-8",
        "LC_NUMERIC": "C",
        "LD_LIBRARY_PATH": "/opt/cuda",
        "CUDA_VISIBLE_DEVICES": "1",
        "OMP_NUM_THREADS": "4",
        "SSL_CERT_FILE": "/etc/ca.pem",
    }
    assert server.items() <= worker_environment(server, {}, {}).items()


def test_the_endpoint_s_own_variables_do_reach_it():
    own = {"AWS_SECRET_ACCESS_KEY": "the endpoint's", "FEATURE_FLAG": "on"}
    found = worker_environment({"AWS_SECRET_ACCESS_KEY": "the server's"}, own, {})
    assert own.items() <= found.items()


def test_a_proxy_is_the_endpoint_s_to_name_because_the_server_s_may_hold_a_password():
    server = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY"), "http://u:s3cret@proxy")
    own = {"HTTPS_PROXY": "http://proxy:3128"}
    found = worker_environment(server, own, {})
    assert {name: value for name, value in found.items() if "proxy" in name.lower()} == own


def test_the_endpoint_s_own_variables_stand_above_the_server_s():
    assert worker_environment({"TZ": "UTC"}, {"TZ": "Europe/Berlin"}, {})["TZ"] == "Europe/Berlin"


def test_what_the_backend_needs_stands_above_the_endpoint_s_own_variables():
    assert worker_environment({}, {"UVICORN_UDS": "/elsewhere"}, {"UVICORN_UDS": "/s/1"})["UVICORN_UDS"] == "/s/1"


def test_a_worker_sends_no_telemetry_and_writes_its_log_at_once():
    found = worker_environment({}, {"MLFLOW_DISABLE_TELEMETRY": "false", "PYTHONUNBUFFERED": ""}, {})
    assert found["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert found["PYTHONUNBUFFERED"] == "1"


def test_a_model_has_no_tracking_server_unless_its_endpoint_names_one():
    assert variables_of({"A": "1"}) == {"A": "1", "MLFLOW_TRACKING_URI": NO_TRACKING_SERVER}
    own = {"MLFLOW_TRACKING_URI": "https://mlflow.example"}
    assert variables_of(own) == own


def test_nothing_replaces_the_address_and_the_token_that_a_worker_is_given():
    given = {"MLFLOW_TRACKING_URI": "http://server:5000", "MLFLOW_TRACKING_TOKEN": "t"}
    spec = a_spec()
    settings = replace(spec.settings, environment={"MLFLOW_TRACKING_URI": "http://elsewhere", "A": "1"})
    equipped = replace(spec, settings=settings, tracking=given)
    assert model_variables(equipped, {}) == {**given, "A": "1"}
    assert "MLFLOW_TRACKING_TOKEN" not in repr(equipped)


def test_a_variable_of_the_endpoint_goes_before_its_threads():
    found = variables_of({"OMP_NUM_THREADS": "2"}, threads=3)
    assert (found["OMP_NUM_THREADS"], found["OPENBLAS_NUM_THREADS"]) == ("2", "3")


@pytest.mark.parametrize("server", [{"PATH": "/a:/b"}, {}])
def test_path_begins_with_the_interpreter_s_directory_whatever_the_server_has(server):
    first, *rest = worker_environment(server, {}, {})["PATH"].split(os.pathsep)
    assert first == str(Path(sys.executable).parent)
    assert rest == server.get("PATH", os.defpath).split(os.pathsep)


def test_the_server_s_environment_is_not_changed():
    server = {"HOME": "/home/u", "DATABASE_URL": "x"}
    worker_environment(server, {"HOME": "/other"}, {"UVICORN_UDS": "/s/1"})
    assert server == {"HOME": "/home/u", "DATABASE_URL": "x"}


def test_a_stock_worker_is_mlflow_models_serve_of_this_very_interpreter():
    command = stock_command(a_spec(), overdue_grace_s=1.0)
    assert command[:5] == [sys.executable, "-m", "mlflow", "models", "serve"]
    assert after(command, "--model-uri") == "/models/e/1"
    assert after(command, "--workers") == "1"


def test_a_stock_worker_listens_on_no_port_of_its_own_choice():
    assert not {"--port", "-p", "--host", "-h"} & set(stock_command(a_spec(), overdue_grace_s=1.0))


def test_a_stock_worker_runs_in_the_environment_that_was_made_for_it_and_builds_none():
    built = replace(own_environment(), key="k", python="/environments/k/bin/python")
    command = stock_command(replace(a_spec(), environment=built), overdue_grace_s=1.0)
    assert command[0] == "/environments/k/bin/python"
    assert after(command, "--env-manager") == "local"


def test_a_worker_in_an_environment_of_its_own_finds_that_one_s_programs_and_not_the_server_s():
    server = {"VIRTUAL_ENV": "/venv", "CONDA_PREFIX": "/conda", "PATH": "/bin"}
    found = worker_environment(server, {}, {}, "/environments/k/bin/python")
    assert found["PATH"] == f"/environments/k/bin{os.pathsep}/bin"
    assert not {"VIRTUAL_ENV", "CONDA_PREFIX"} & found.keys()
    assert {"VIRTUAL_ENV", "CONDA_PREFIX"} <= worker_environment(server, {}, {}).keys()


@pytest.mark.parametrize("timeout_s", [0.001, 0.5, 60.0, 59.3])
@pytest.mark.parametrize("grace_s", [0.0, 0.25, 5.0])
def test_a_stock_worker_gives_up_a_prediction_only_after_the_gateway_has(timeout_s, grace_s):
    timeout = after(stock_command(a_spec(timeout_s), overdue_grace_s=grace_s), "--timeout")
    assert timeout.isdigit()
    assert timeout_s + grace_s < int(timeout) <= timeout_s + grace_s + 2


def test_the_worker_package_is_a_directory_that_python_can_run():
    assert (WORKER_PACKAGE / "__main__.py").is_file()
