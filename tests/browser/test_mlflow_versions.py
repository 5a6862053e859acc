"""The life of a model, the places of the tab and basic-auth on other versions of MLflow, down to the oldest.

The newest is what all other tests run on. CI runs the oldest, scripts/matrix runs all.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect
from support import eventually
from support.auth import ADMIN, ADMIN_PASSWORD, BasicAuthServer
from support.browser import PAGE_MS
from support.cells import IRIS
from support.mlflows import OLDEST, OTHERS, TOO_OLD, python_with
from support.server import HTTP_S

_LOG = """
import mlflow, sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

data = load_iris(as_frame=True).data.rename(columns=lambda name: name.replace(" (cm)", "").replace(" ", "_"))
model = LogisticRegression(max_iter=500).fit(data, load_iris().target)
with mlflow.start_run():
    logged = mlflow.sklearn.log_model(
        model, name="model", registered_model_name="iris", input_example=data.head(2),
        signature=infer_signature(data, model.predict(data)),
        # Or MLflow would load the model in a process of its own, only to find out what it imports.
        pip_requirements=[f"mlflow=={mlflow.__version__}", f"scikit-learn=={sklearn.__version__}"],
    )
mlflow.register_model(logged.model_uri, "iris")
mlflow.MlflowClient().set_registered_model_alias("iris", "champion", "1")
"""

_DIALOG_CLOSED = "_mlflow_model_registry_promo_modal_dismissed"


def installed(version: str) -> str:
    """The interpreter with this MLflow."""
    try:
        return python_with(version)
    except LookupError as error:
        pytest.skip(f"MLflow {version} cannot be installed: {error}")


def log_models(server: BasicAuthServer, python: str) -> None:
    """Two versions, logged by the client of the same version."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "_MLFLOW"))},
        "MLFLOW_TRACKING_URI": server.url,
        "MLFLOW_TRACKING_USERNAME": ADMIN,
        "MLFLOW_TRACKING_PASSWORD": ADMIN_PASSWORD,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    done = subprocess.run([python, "-c", _LOG], env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{done.stderr[-3000:]}\n{server.tail()}"


def grant(server: BasicAuthServer, user: str, permission: str) -> None:
    """By the API of today, or by that of MLflow before 3.14."""
    body = {"username": user, "resource_type": "registered_model", "resource_id": "iris", "permission": permission}
    url = f"{server.url}/api/3.0/mlflow/users/permissions/grant"
    answer = requests.post(url, json=body, headers=server.credentials, timeout=HTTP_S)
    if answer.status_code == 404:
        fields = {"name": "iris", "username": user, "permission": permission}
        server.mlflow("POST", "/api/2.0/mlflow/registered-models/permissions/create", **fields)
    else:
        assert answer.ok, answer.text


def status(server: BasicAuthServer, reference: str, headers: dict[str, str]) -> int:
    """Of scoring."""
    url = f"{server.url}/model/iris{reference}/invocations"
    return requests.post(url, json=IRIS, headers=headers, timeout=HTTP_S).status_code


VERSIONS = [OLDEST, *(pytest.param(version, marks=pytest.mark.matrix) for version in OTHERS)]


@pytest.mark.parametrize("version", VERSIONS)
def test_models_are_served_to_those_who_may_and_the_tab_has_its_places(
    chromium: Browser, tmp_path: Path, version: str
) -> None:
    python = installed(version)
    server = BasicAuthServer(python=python, backend=f"sqlite:///{tmp_path}/mlflow.db")
    # Of the newest MLflow.
    (server.root / "auth.db").unlink()
    with server:
        log_models(server, python)
        server.enable("iris")
        server.wait_ready("iris", 1, 2)
        admin, stranger, reader = server.credentials, server.add_user("stranger"), server.add_user("reader")
        grant(server, "reader", "READ")
        eventually(lambda: status(server, "/1", reader) == 200, tail=server.tail)
        assert [status(server, f"/{one}", admin) for one in ("2", "latest", "3")] == [200, 200, 404]
        assert status(server, "@champion", admin) == 200
        assert status(server, "/1", stranger) == 404
        assert status(server, "/1", {}) == 401
        assert "Traceback" not in server.tail()
        assert " has no " not in server.tail()
        look_at_the_tab(chromium, server)
        server.api("POST", "disable", registered_model_name="iris")
        eventually(lambda: status(server, "/1", admin) == 404, tail=server.tail)


def look_at_the_tab(chromium: Browser, server: BasicAuthServer) -> None:
    """In the model's page, in the version's page, and in the side bar."""
    context = chromium.new_context(http_credentials={"username": ADMIN, "password": ADMIN_PASSWORD})
    # MLflow covers the pages of a new user with a dialog about its registry, until the user has closed the dialog once.
    context.add_init_script(f"localStorage.setItem({_DIALOG_CLOSED!r}, 'true')")
    page = context.new_page()
    page.set_default_timeout(PAGE_MS)
    for address in ("#/models/iris", "#/models/iris/versions/1"):
        page.goto(f"{server.url}/{address}")
        page.get_by_role("tab", name="Serving").click()
        expect(page.locator("mlflow-serving").first).to_be_visible(timeout=PAGE_MS)
        expect(page.get_by_text("Ready").first).to_be_visible(timeout=PAGE_MS)
    page.goto(f"{server.url}/#/models")
    page.get_by_role("link", name="Serving").first.click()
    expect(page.get_by_role("link", name="iris").first).to_be_visible(timeout=PAGE_MS)
    context.close()


@pytest.mark.matrix
def test_an_mlflow_that_is_too_old_ends_with_one_error_that_names_both_versions(tmp_path: Path) -> None:
    command = [installed(TOO_OLD), "-m", "mlflow", "server", "--app-name", "serving", "--port", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    said = done.stderr[done.stderr.rfind("Error: ") :]
    assert f"needs MLflow {OLDEST[:4]} or newer, and this server has MLflow {TOO_OLD}" in said, done.stderr
