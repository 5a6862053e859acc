"""A server starts with an MLflow that lacks an internal: the log names the part that is off, the rest works on.

Each internal is taken away in a process of its own, forked from one that has imported MLflow.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.auth import ADMIN, ADMIN_PASSWORD, basic

from mlflow_serving_plugin.registry.internals import PARTS

_PROGRAM = """
import importlib, io, json, logging, os, sys, types
work, internals, headers = json.loads(sys.argv[1])
os.environ["_MLFLOW_SGI_NAME"] = "gunicorn"
os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{work}/mlflow.db"
os.environ["MLFLOW_SERVING_STATE_DIR"] = f"{work}/state"
import mlflow.server, mlflow.server.handlers, mlflow.server.security
import mlflow.store.artifact.models_artifact_repo, mlflow.store.artifact.runs_artifact_repo
import mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store
import mlflow_serving_plugin.composition
from werkzeug.test import Client

def take_away(internal):
    module, _, attribute = internal.partition(":")
    if attribute == "view":
        mlflow.server.app.view_functions.pop("serve")
    elif module.startswith("mlflow_serving_plugin"):
        setattr(importlib.import_module(module), attribute, None)
    elif internal:
        # As if renamed: MLflow's own functions still have it, whoever imports it from the module has not.
        found = importlib.import_module(module)
        other = types.ModuleType(module)
        other.__dict__.update({name: value for name, value in vars(found).items() if name != attribute})
        sys.modules[module] = other
        package, _, name = module.rpartition(".")
        setattr(sys.modules[package], name, other)

def report(internal):
    log = io.StringIO()
    logger = logging.getLogger("mlflow_serving_plugin")
    logger.addHandler(logging.StreamHandler(log))
    take_away(internal)
    from mlflow_serving_plugin.app import create_app
    client = Client(create_app())
    asked = {}
    for name, path in (("mlflow", "/health"), ("serving", "/serving/health"), ("tokens", "/api/2.0/token/list"),
                       ("list", "/api/2.0/mlflow/endpoints/list"), ("score", "/model/iris/1/ping")):
        answer = client.get(path, headers=headers)
        asked[name] = answer.status_code
        asked[name + " said"] = answer.get_data(as_text=True)[:300]
    return asked | {"log": log.getvalue()}

for internal in internals:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = report(internal)
        except BaseException as error:
            import traceback
            said = {"error": traceback.format_exc()}
        with os.fdopen(writer, "w") as out:
            json.dump(said, out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        print(json.dumps({"internal": internal, **json.load(answer)}), flush=True)
    os.waitpid(pid, 0)
"""


def reports(work: Path, internals: list[str], headers: dict[str, str] | None = None, **environ: str) -> dict[str, dict]:
    """What a server says without each internal."""
    arguments = json.dumps([str(work), internals, headers or {}])
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, arguments],
        env={"PATH": "/usr/bin:/bin", "HOME": str(work), **environ},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"internal"')]
    return {line["internal"]: line for line in lines}


OF_SERVER = [internal for part in PARTS for internal in part.internals if not internal.startswith("mlflow.server.auth")]
OF_AUTH = [internal for part in PARTS for internal in part.internals if internal.startswith("mlflow.server.auth")]
NOTHING_HELPS = "mlflow_serving_plugin.composition:create_api"


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    return reports(tmp_path_factory.mktemp("changed"), ["", "mlflow.server:view", *OF_SERVER, NOTHING_HELPS])


@pytest.mark.parametrize("internal", ["", "mlflow.server:view", *OF_SERVER])
def test_mlflow_and_serving_answer_without_an_internal(without: dict[str, dict], internal: str) -> None:
    said = without[internal]
    assert "error" not in said, said["error"]
    assert said["mlflow"] == 200
    # No controller has ticked yet, or it has.
    assert said["serving"] in {200, 503}
    assert '"controller"' in said["serving said"]
    assert said["list"] == 200, said["list said"]
    assert said["score"] == 404
    named = internal.rpartition(":")[2]
    if internal and named != "view":
        assert f"has no {internal}" in said["log"], said["log"]
    if named == "view":
        assert "The Serving tab is missing" in said["log"]
    if not internal:
        assert " has no " not in said["log"]


@pytest.mark.matrix
def test_without_an_internal_of_the_auth_app_nobody_is_let_in_and_mlflow_runs(tmp_path: Path) -> None:
    ini = tmp_path / "auth.ini"
    ini.write_text(
        f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{tmp_path}/auth.db\n"
        f"admin_username = {ADMIN}\nadmin_password = {ADMIN_PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    environ = {
        "MLFLOW_AUTH_CONFIG_PATH": str(ini),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key for tests",
        "MLFLOW_SERVING_BASE_APP": "basic-auth",
    }
    internal = "mlflow.server.auth:_graphql_get_permission_for_model"
    said = reports(tmp_path, ["", internal], basic(ADMIN, ADMIN_PASSWORD), **environ)
    assert said[""]["tokens"] == 200, said[""]
    assert said[internal]["mlflow"] == 200
    assert f"has no {internal}" in said[internal]["log"]


def test_serving_is_off_with_one_error_where_nothing_else_helps(without: dict[str, dict]) -> None:
    said = without[NOTHING_HELPS]
    assert "error" not in said, said["error"]
    assert said["mlflow"] == 200
    assert said["serving"] == 404
    assert "Serving is off, MLflow runs" in said["log"]
