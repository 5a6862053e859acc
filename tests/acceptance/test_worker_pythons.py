"""Workers on every Python that a model may ask for, down to 3.8, under a server on one Python."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import eventually
from support.models import register
from support.server import TrackingServer

from mlflow_serving_plugin.environments.builders import python_for

pytestmark = pytest.mark.matrix

BUILT_S = 400.0
PYTHONS = {"3.8": "2.17.2", "3.9": "2.22.5", "3.10": "3.17.2", "3.12": "3.17.2", "3.13": "3.17.2", "3.14": "3.17.2"}
"""Python, and an MLflow for it."""

_CODE = """
import sys

class Model:
    def predict(self, data):
        return ["%d.%d" % sys.version_info[:2]] * len(data)

def _load_pyfunc(path):
    return Model()
"""


def a_model(root: Path, python: str, mlflow: str) -> Path:
    """A model in the format of MLflow that tells on which Python it runs."""
    (root / "code").mkdir(parents=True)
    (root / "code" / "telling.py").write_text(_CODE)
    (root / "MLmodel").write_text(
        "flavors:\n  python_function:\n    code: code\n    env: {conda: conda.yaml, virtualenv: python_env.yaml}\n"
        f"    loader_module: telling\n    python_version: {python}.1\nmlflow_version: {mlflow}\n"
    )
    (root / "requirements.txt").write_text(f"mlflow=={mlflow}\n")
    (root / "python_env.yaml").write_text(f"python: '{python}'\ndependencies: [-r requirements.txt]\n")
    (root / "conda.yaml").write_text(f"dependencies: [python={python}, pip, {{pip: [mlflow=={mlflow}]}}]\n")
    return root


@pytest.fixture(scope="module")
def server() -> Iterator[TrackingServer]:
    """Nothing is served at first."""
    with TrackingServer("uvicorn") as running:
        yield running


@pytest.mark.parametrize("python", PYTHONS)
def test_a_model_is_served_on_the_python_that_it_names(server: TrackingServer, tmp_path: Path, python: str) -> None:
    if python_for(python, os.environ) == python and not shutil.which(f"python{python}"):
        pytest.skip(f"no Python {python} on this machine")
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        pytest.skip("the server's own: all other tests")
    name = f"telling-{python}"
    register(server.client, name, a_model(tmp_path / "model", python, PYTHONS[python]))
    server.enable(name)

    def ready() -> bool:
        state = server.states(name).get("1")
        assert state != "FAILED", server.api("GET", "list-versions", registered_model_name=name)
        return state == "READY"

    eventually(ready, BUILT_S, tail=server.tail)
    answer = server.score(f"{name}/1", {"dataframe_records": [{"x": 1}, {"x": 2}]})
    assert answer.json() == {"predictions": [python] * 2}, answer.text
