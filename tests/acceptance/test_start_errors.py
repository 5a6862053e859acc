"""What ``mlflow server`` says when serving cannot be wrapped around the app that it is told to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import eventually
from support.forked import mlflow_command

SECRET = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "a key for tests"}


matrix = pytest.mark.matrix


@pytest.mark.parametrize(
    ("app", "environ", "advice"),
    [
        ("serving", {"MLFLOW_SERVING_BASE_APP": "nosuch"}, "MLFLOW_SERVING_BASE_APP is 'nosuch'"),
        pytest.param(
            "serving", {"MLFLOW_SERVING_BASE_APP": "serving"}, "serving cannot be wrapped around itself", marks=matrix
        ),
        pytest.param(
            "serving", {"MLFLOW_SERVING_AUTH_CACHE_S": "soon"}, "MLFLOW_SERVING_AUTH_CACHE_S is 'soon'", marks=matrix
        ),
        pytest.param(
            "serving",
            {"MLFLOW_SERVING_STATE_DIR": "/proc/nowhere"},
            "Set MLFLOW_SERVING_STATE_DIR",
            id="a state directory that cannot be made",
        ),
        pytest.param("serving-basic-auth", {}, "MLFLOW_FLASK_SERVER_SECRET_KEY", marks=matrix),
        ("serving-basic-auth", SECRET, "MLFLOW_AUTH_ADMIN_PASSWORD"),
        pytest.param(
            "serving-basic-auth",
            {"MLFLOW_SERVING_BASE_APP": "oidc-auth"},
            "contradicts MLFLOW_SERVING_BASE_APP",
            marks=matrix,
        ),
    ],
)
def test_the_command_ends_with_one_error_that_says_what_to_set(
    tmp_path: Path, app: str, environ: dict[str, str], advice: str
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "_MLFLOW_"))}
    log = tmp_path / "said"
    arguments = ("server", "--app-name", app, "--port", "1")
    command = mlflow_command(arguments, log=log, env={**kept, **environ}, cwd=tmp_path)
    eventually(lambda: command.poll() is not None, tail=log.read_text)
    said = log.read_text()
    assert command.poll() == 1, said
    assert advice in said[said.rfind("Error: ") :], said
    assert "Traceback" not in said
