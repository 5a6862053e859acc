"""What ``mlflow server`` says when serving cannot be wrapped around the app that it is told to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", app, "--port", "1"]
    ended = subprocess.run(
        command, cwd=tmp_path, env={**kept, **environ}, capture_output=True, text=True, timeout=120, check=False
    )
    said = ended.stderr[ended.stderr.rfind("Error: ") :]
    assert ended.returncode == 1, ended.stderr
    assert advice in said, ended.stderr
    assert "Traceback" not in ended.stderr
