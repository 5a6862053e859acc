"""Every internal of MLflow, and of uvicorn, that this package touches is there and shaped as it is relied upon.

When one of these fails after an upgrade, its message names what moved; the place that uses it is in the heading.
"""

from __future__ import annotations

import asyncio
import http.server
import importlib
import inspect
import json
import os
import subprocess
import sys
import threading
import warnings
from types import FunctionType

import flask
import mlflow
import numpy as np
import pytest

from mlflow_serving_plugin.worker.columns import Column
from mlflow_serving_plugin.worker.model_code import ModelCode
from mlflow_serving_plugin.worker.rows import Layout, Rows
from mlflow_serving_plugin.worker.same import same_value
from mlflow_serving_plugin.worker.scoring import Scorer


def internal(path: str):
    """``module:attribute.attribute``; fails with the name of what is not there."""
    module, _, attributes = path.partition(":")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = importlib.import_module(module)
    except ImportError as error:
        pytest.fail(f"MLflow {mlflow.__version__} has no module {module}: {error}")
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            pytest.fail(f"MLflow {mlflow.__version__} has no {path}: {attribute} moved")
        found = getattr(found, attribute)
    return found


def takes(path: str, *args: object, **kwargs: object) -> None:
    """Fails with the signature that is there when it cannot be called like this."""
    signature = inspect.signature(internal(path))
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        pytest.fail(f"MLflow {mlflow.__version__}: {path}{signature} is called otherwise: {error}")


def python(code: str, **environ: str) -> list[str]:
    """Lines that a fresh interpreter prints, because a server's module-level state stays for a process's life."""
    found = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-3000:]
    return found.stdout.splitlines()


# registry/mlflow_server.py


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mlflow.server:ARTIFACTS_ONLY_ENV_VAR", "_MLFLOW_SERVER_ARTIFACTS_ONLY"),
        ("mlflow.server:ARTIFACTS_DESTINATION_ENV_VAR", "_MLFLOW_SERVER_ARTIFACT_DESTINATION"),
        ("mlflow.server:BACKEND_STORE_URI_ENV_VAR", "_MLFLOW_SERVER_FILE_STORE"),
        ("mlflow.server.handlers:STATIC_PREFIX_ENV_VAR", "_MLFLOW_STATIC_PREFIX"),
        ("mlflow.environment_variables:_MLFLOW_SGI_NAME.name", "_MLFLOW_SGI_NAME"),
    ],
)
def test_the_server_s_options_are_in_these_variables(path, value):
    assert internal(path) == value, f"{path} has another name"


def test_the_command_tells_where_its_web_server_will_listen():
    options = {option.name for option in internal("mlflow.cli:server").params}
    missing = {"host", "port", "uvicorn_opts", "gunicorn_opts", "waitress_opts"} - options
    assert not missing, f"the command mlflow server has no {missing}: registry.mlflow_server.address_in asks for it"


def test_mlflow_server_tells_its_web_workers_which_server_they_are_under():
    source = inspect.getsource(internal("mlflow.server:_run_server"))
    for name in ("uvicorn", "waitress", "gunicorn"):
        assert f'_MLFLOW_SGI_NAME.name] = "{name}"' in source, f"mlflow.server._run_server sets no SGI name {name}"


def test_mlflow_s_flask_app_answers_the_registry_api_under_the_rules_that_are_watched():
    app = internal("mlflow.server:app")
    assert isinstance(app, flask.Flask), "mlflow.server.app is no Flask app"
    rules = {
        (rule.rule.partition("/mlflow/")[2], method) for rule in app.url_map.iter_rules() for method in rule.methods
    }
    for expected in [
        ("registered-models/create", "POST"),
        ("registered-models/rename", "POST"),
        ("registered-models/update", "PATCH"),
        ("registered-models/delete", "DELETE"),
        ("registered-models/alias", "POST"),
        ("registered-models/alias", "DELETE"),
        ("model-versions/create", "POST"),
        ("model-versions/transition-stage", "POST"),
        ("model-versions/update", "PATCH"),
        ("model-versions/delete", "DELETE"),
    ]:
        assert expected in rules, f"mlflow.server.app has no rule for {expected}"


def test_every_post_that_only_reads_the_registry_ends_as_the_signal_expects():
    """Else each search would wake the controller."""
    from mlflow_serving_plugin.registry import signal

    rules = [rule for rule in internal("mlflow.server:app").url_map.iter_rules() if rule.methods & {"POST"}]
    watched = {rule.rule for rule in rules if any(part in rule.rule for part in signal._CHANGING)}
    reading = {rule for rule in watched if rule.rpartition("/")[2].startswith(("get", "search", "list"))}
    assert watched, "mlflow.server.app has no POST for the registry"
    assert {rule for rule in reading if not rule.endswith(signal._READING)} == set(), "a new way to read the registry"


def test_the_app_for_uvicorn_is_asgi():
    app = internal("mlflow.server.fastapi_app:app")
    assert list(inspect.signature(app).parameters) == ["scope", "receive", "send"], "fastapi_app.app is no ASGI3 app"


def test_security_middleware_can_be_applied_to_a_flask_app_of_ours():
    takes("mlflow.server.security:init_security_middleware", flask.Flask("ours"))
    app = flask.Flask("ours")
    internal("mlflow.server.security:init_security_middleware")(app)
    app.add_url_rule("/api/x", view_func=lambda: "")
    strange = app.test_client().get("/api/x", headers={"Host": "evil.example"})
    assert strange.status_code == 403, "init_security_middleware no longer checks the Host header"


@pytest.mark.parametrize(
    ("path", "args", "kwargs"),
    [
        ("mlflow.server.handlers:_get_model_registry_store", (), {}),
        ("mlflow.server.handlers:_is_servable_proxied_run_artifact_root", ("uri",), {}),
        ("mlflow.server.handlers:_get_artifact_repo_mlflow_artifacts", (), {}),
        ("mlflow.server.handlers:_get_proxied_run_artifact_destination_path", (), {"proxied_artifact_root": "uri"}),
        ("mlflow.server.handlers:_get_artifact_repository_for_uri", ("uri",), {}),
        ("mlflow.store.artifact.artifact_repo:ArtifactRepository.download_artifacts", ("self", "path", "to"), {}),
    ],
)
def test_what_downloads_a_model_version_is_called_like_this(path, args, kwargs):
    takes(path, *args, **kwargs)


def test_workspaces_scope_a_proxied_path_by_a_function_that_takes_it_alone():
    """Looked up by name and left out when it is not there: a rename would go unnoticed, and read another workspace."""
    takes("mlflow.server.handlers:_get_workspace_scoped_repo_path_if_enabled", "path")


def test_mlflow_itself_finds_a_version_s_files_by_the_same_functions():
    source = inspect.getsource(internal("mlflow.server.handlers:get_model_version_artifact_handler"))
    for name in (
        "get_model_version_download_uri",
        "_is_servable_proxied_run_artifact_root",
        "_get_artifact_repo_mlflow_artifacts",
        "_get_proxied_run_artifact_destination_path",
        "_get_workspace_scoped_repo_path_if_enabled",
        "_get_artifact_repository_for_uri",
    ):
        assert name in source, f"get_model_version_artifact_handler no longer uses {name}"


class ArtifactServer(http.server.BaseHTTPRequestHandler):
    """Another server with ``--serve-artifacts``: each directory holds one file, ``MLmodel``."""

    def do_GET(self) -> None:
        listed = {"files": [{"path": "MLmodel", "is_dir": False, "file_size": 5}]}
        body = json.dumps(listed).encode() if "?path=" in self.path else b"other"
        self.send_response(200 if "/mlflow-artifacts/artifacts" in self.path else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def artifact_server():
    """The host and port of another server with artifacts."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), ArtifactServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_version_s_files_are_found_behind_every_kind_of_source_as_over_http(tmp_path, artifact_server):
    code = f"""
import socket, time
from pathlib import Path
from mlflow.server.handlers import _get_tracking_store
from mlflow_serving_plugin.registry.download import download_model_version
from mlflow_serving_plugin.registry.mlflow_server import registry_store

def put(uri, text):
    directory = Path({str(tmp_path)!r}) / "store" / uri.partition(":/")[2]
    directory.mkdir(parents=True)
    (directory / "MLmodel").write_text(text)

listener = socket.create_server(("127.0.0.1", 0))
own = "127.0.0.1:%d" % listener.getsockname()[1]
runs, registry = _get_tracking_store(), registry_store()
experiment = runs.create_experiment("e", "mlflow-artifacts:/1")
run = runs.create_run(experiment, "", int(time.time() * 1000), [], "r").info
model = runs.create_logged_model(experiment_id=experiment, name="logged", source_run_id=run.run_id)
put("mlflow-artifacts:/1/m-1", "own")
put("file:/1/m-2", "file")
put(run.artifact_uri + "/model", "run")
put(model.artifact_location, "logged")
registry.create_registered_model("iris")
for source in (
    "mlflow-artifacts:/1/m-1",
    "file://{tmp_path}/store/1/m-2",
    f"runs:/{{run.run_id}}/model",
    f"runs:/{{run.run_id}}/logged",
    "models:/iris/1",
    "models:/iris/5",
    "mlflow-artifacts://{artifact_server}/1/m-1",
    "models:/iris/7",
    "http://{artifact_server}/api/2.0/mlflow-artifacts/artifacts/1/m-1",
    f"mlflow-artifacts://{{own}}/1/m-1",
):
    registry.create_model_version("iris", source)
for version in range(1, 11):
    to = Path({str(tmp_path)!r}) / f"to-{{version}}"
    to.mkdir()
    print((Path(download_model_version("default", "iris", version, str(to))) / "MLmodel").read_text())
"""
    said = python(
        code,
        _MLFLOW_SERVER_FILE_STORE=f"sqlite:///{tmp_path}/mlflow.db",
        _MLFLOW_SERVER_ARTIFACT_ROOT="mlflow-artifacts:/",
        _MLFLOW_SERVER_ARTIFACT_DESTINATION=str(tmp_path / "store"),
        _MLFLOW_SERVER_SERVE_ARTIFACTS="true",
        MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES="mlflow-artifacts,http",
    )
    assert said == ["own", "file", "run", "logged", "own", "own", "other", "other", "other", "own"]


# registry/reader.py


@pytest.mark.parametrize(
    ("method", "args", "kwargs"),
    [
        ("get_registered_model", ("self", "name"), {}),
        ("search_registered_models", ("self",), {"max_results": 1, "page_token": None}),
        ("search_model_versions", ("self",), {"filter_string": None, "max_results": 1, "page_token": None}),
        ("get_model_version_download_uri", ("self", "name", "1"), {}),
    ],
)
def test_the_registry_store_is_called_like_this(method, args, kwargs):
    takes(f"mlflow.store.model_registry.abstract_store:AbstractStore.{method}", *args, **kwargs)


def test_a_prompt_is_told_by_a_method_because_tags_do_not_show_it():
    model = internal("mlflow.entities.model_registry:RegisteredModel")
    tag = internal("mlflow.entities.model_registry:RegisteredModelTag")("mlflow.prompt.is_prompt", "true")
    assert hasattr(model, "_is_prompt"), "RegisteredModel._is_prompt moved"
    assert model("p", tags=[tag])._is_prompt() is True
    assert model("p")._is_prompt() is False


# worker/scoring.py and worker/fast_path.py


@pytest.fixture(scope="module")
def iris(models):
    before = dict(os.environ)
    yield Scorer.load(str(models.path("iris-1")), ModelCode())
    # Loading sets a variable for the whole process.
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


def test_invocations_takes_and_gives_what_the_scorer_relies_on():
    path = "mlflow.pyfunc.scoring_server:invocations"
    assert list(inspect.signature(internal(path)).parameters) == ["data", "content_type", "model", "input_schema"], path
    fields = set(internal("mlflow.pyfunc.scoring_server:InvocationsResponse")._fields)
    assert {"status", "mimetype", "response"} <= fields, f"InvocationsResponse has {fields}"


def test_a_model_is_loaded_by_the_function_that_the_scoring_server_s_app_uses():
    takes("mlflow.pyfunc.scoring_server:load_model_with_mlflow_config", "directory")
    takes("mlflow.pyfunc.scoring_server:load_model", "directory")


def test_a_loaded_model_finds_itself_in_the_serving_environment(iris):
    """A model with type hints validates its input differently there."""
    variable = internal("mlflow.environment_variables:_MLFLOW_IS_IN_SERVING_ENVIRONMENT")
    assert variable.get() is True, f"the variable is {variable.name} now"


def test_what_mlflow_lists_once_for_each_process_is_listed_before_the_fork():
    code = """
from mlflow_serving_plugin.worker import preload
preload.preload_always()
from mlflow.tracking._model_registry import utils
from mlflow.utils import requirements_utils
print(bool(utils._model_registry_store_registry))
print(bool(requirements_utils._MODULES_TO_PACKAGES), bool(requirements_utils._PACKAGES_TO_MODULES))
"""
    assert python(code)[-2:] == ["True", "True True"]


def test_an_mlflow_exception_gives_its_own_status_and_body():
    error = internal("mlflow.exceptions:MlflowException").invalid_parameter_value("no")
    assert error.get_http_status_code() == 400
    assert json.loads(error.serialize_as_json())["message"] == "no"


def test_mlflow_writes_predictions_by_the_encoder_that_the_scorer_borrows():
    source = inspect.getsource(internal("mlflow.pyfunc.scoring_server:predictions_to_json"))
    assert '_get_jsonable_obj(raw_predictions, pandas_orient="records")' in source, "predictions_to_json changed"
    assert "cls=NumpyEncoder" in source, "predictions_to_json has another encoder"
    takes("mlflow.utils.proto_json_utils:_get_jsonable_obj", np.zeros(1), pandas_orient="records")
    assert issubclass(internal("mlflow.utils.proto_json_utils:NumpyEncoder"), json.JSONEncoder)


def test_a_loaded_model_has_the_parts_that_the_fast_path_takes_hold_of(iris):
    for name in ("_predict_fn", "loader_module", "metadata"):
        assert hasattr(iris.model, name), f"PyFuncModel.{name} moved"
    assert callable(iris.model._predict_fn), "PyFuncModel._predict_fn is no function"
    assert iris.library_flavor, f"the loader module of sklearn is {iris.model.loader_module}"


def test_a_prediction_goes_through_predict_fn_so_that_replacing_it_shows_the_frame(iris):
    assert iris.prepare_fast_path() is None


def test_predict_makes_the_context_and_leaves_the_rest_to_the_method_that_the_fast_path_replaces():
    source = inspect.getsource(internal("mlflow.pyfunc:PyFuncModel.predict"))
    assert "set_prediction_context(context)" in source, "PyFuncModel.predict sets no context"
    assert "return self._predict(data, params)" in source, "PyFuncModel.predict calls something else"


def test_parameters_are_enforced_by_the_function_that_the_fast_path_calls():
    enforce = internal("mlflow.models.utils:_enforce_params_schema")
    spec = internal("mlflow.types:ParamSpec")("t", "double", 1.5)
    assert enforce({"t": 2}, internal("mlflow.types:ParamSchema")([spec])) == {"t": 2.0}
    assert enforce(None, None) is None
    source = inspect.getsource(internal("mlflow.pyfunc:_validate_prediction_input"))
    assert "_enforce_params_schema(params, params_schema)" in source, "parameters are enforced elsewhere"


def test_predict_still_ends_in_predict_fn():
    source = inspect.getsource(internal("mlflow.pyfunc:PyFuncModel._predict"))
    assert "self._predict_fn(data" in source, "PyFuncModel._predict calls something else"


@pytest.mark.parametrize("name", ["_is_signature_from_type_hint", "_is_type_hint_from_example", "get_params_schema"])
def test_a_model_s_metadata_answers_what_the_fast_path_asks(iris, name):
    """Missing, the two with an underscore would count as no: a signature from type hints must not be compiled."""
    method = internal(f"mlflow.models:Model.{name}")
    assert isinstance(method, FunctionType), f"Model.{name} is no method"
    assert not getattr(iris.model.metadata, name)()


def test_a_schema_answers_what_the_fast_path_asks():
    schema = internal("mlflow.types:Schema")
    column = internal("mlflow.types:ColSpec")
    found = schema([column("double", "x"), column("string", "y")])
    assert (found.is_tensor_spec(), found.has_input_names()) == (False, True)
    assert {name: spec.type.name for name, spec in found.input_dict().items()} == {"x": "double", "y": "string"}


@pytest.mark.parametrize("kind", ["double", "float", "long", "integer", "boolean", "string"])
def test_mlflow_still_casts_each_kind_of_column_to_the_type_that_the_fast_path_builds(kind):
    enforce = internal("mlflow.models.utils:_enforce_schema")
    schema = internal("mlflow.types:Schema")([internal("mlflow.types:ColSpec")(kind, "x")])
    values = {"boolean": [True, False], "string": ["a", "b"]}.get(kind, [1, 2])
    built = Rows(Layout([Column("x", kind)]), [[value] for value in values]).model_input()
    found = enforce(built.copy(), schema)
    assert same_value(found, built), f"a column of {kind} is {found['x'].dtype} now"


# gateway/asgi.py


@pytest.mark.parametrize("module", ["h11_impl", "httptools_impl"])
def test_the_send_of_uvicorn_is_a_method_of_a_cycle_with_a_flag_for_its_access_log(module):
    protocol = pytest.importorskip(f"uvicorn.protocols.http.{module}")
    cycle = protocol.RequestResponseCycle
    assert asyncio.iscoroutinefunction(cycle.send), f"{module}: RequestResponseCycle.send moved"
    assert "access_log" in inspect.signature(cycle).parameters, f"{module}: RequestResponseCycle has no access_log"
    assert "if self.access_log:" in inspect.getsource(cycle.send), f"{module}: send no longer asks access_log"


def test_the_page_that_gets_the_serving_tab_is_where_it_is_looked_for():
    from mlflow_serving_plugin.registry import mlflow_server

    app = mlflow_server.flask_app()
    assert "serve" in app.view_functions
    answer = app.test_client().get("/")
    assert answer.mimetype == "text/html"
    assert b"</head>" in answer.data
