"""Models that pin another MLflow, another Python or other libraries, saved by those very versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_serving_plugin.environments.pythons import python_for

BUILD_S = 600.0

_SAVE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow, pandas
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

asked = json.loads(sys.argv[1])
iris = load_iris()
frame = pandas.DataFrame(iris.data, columns=["sepal_length", "sepal_width", "petal_length", "petal_width"])
classifier = LogisticRegression(max_iter=500).fit(frame, iris.target + asked["offset"])
mlflow.sklearn.save_model(
    classifier,
    asked["directory"],
    signature=infer_signature(frame, classifier.predict(frame)),
    input_example=frame.head(2),
    pip_requirements=asked["requirements"],
)
"""


_SAVE_LIGHTGBM = """
import json, sys, warnings
warnings.simplefilter("ignore")
import lightgbm, mlflow, numpy, pandas
asked = json.loads(sys.argv[1])
frame = pandas.DataFrame({"x": numpy.arange(64.0)})
data = lightgbm.Dataset(frame, frame["x"] * 2)
booster = lightgbm.train({"verbose": -1, "min_data_in_leaf": 2}, data, 5)
mlflow.lightgbm.save_model(
    booster,
    asked["directory"],
    input_example=frame.head(2),
    pip_requirements=asked["requirements"],
    extra_files=[asked["extra_file"]],
)
"""

_SAVE_ONNX = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow, numpy, onnx
from onnx import TensorProto, helper
asked = json.loads(sys.argv[1])
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None])
graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "twice", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
example = {"x": numpy.array([1.0, 2.0], dtype="float32")}
mlflow.onnx.save_model(
    model,
    asked["directory"],
    input_example=example,
    pip_requirements=asked["requirements"],
    extra_files=[asked["extra_file"]],
)
"""

_HOW = {"sklearn": _SAVE, "lightgbm": _SAVE_LIGHTGBM, "onnx": _SAVE_ONNX}


class PinnedModels:
    """Saves iris classifiers, each in a virtual environment with its own pins. What they add tells them apart."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def save(self, name: str, offset: int, *requirements: str, python: str = "", how: str = "sklearn") -> Path:
        """The directory of a model saved with these requirements installed, on this Python (``3.10``)."""
        directory = self._root / name
        if not directory.exists():
            # Python 3.12 and later come without setuptools, and MLflow 1 imports what it brings.
            interpreter = self._environment(
                python_for(python, os.environ) if python else sys.executable, [*requirements, "setuptools<81"]
            )
            extra = self._root / "notes.txt"
            extra.write_text("kept with the model")
            asked = {"offset": offset, "directory": str(directory), "requirements": list(requirements)}
            asked["extra_file"] = str(extra)
            run([str(interpreter), "-c", _HOW[how], json.dumps(asked)])
        return directory

    def _environment(self, python: str, requirements: list[str]) -> Path:
        directory = self._root / f"env-{abs(hash((python, *requirements)))}"
        if not directory.exists():
            run([uv(), "venv", "--quiet", "--python", python, str(directory)])
            run([uv(), "pip", "install", "--quiet", "--python", str(directory / "bin" / "python"), *requirements])
        return directory / "bin" / "python"


def uv() -> str:
    """The program that the package ``uv`` brings."""
    from uv import find_uv_bin

    return find_uv_bin()


def run(command: list[str]) -> None:
    """Run a command; its output when it fails."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW", "PYTEST"))}
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, env=env, check=False)
    assert done.returncode == 0, f"{command[:5]}: {done.stdout[-2000:]}{done.stderr[-3000:]}"


def another_python() -> str:
    """The minor version, other than this one's, of a Python that is on this machine."""
    for minor in ("3.10", "3.12", "3.11", "3.13"):
        if minor == f"{sys.version_info.major}.{sys.version_info.minor}":
            continue
        found = python_for(minor, os.environ)
        if found != minor or shutil.which(f"python{minor}"):
            return minor
    pytest.skip("no other Python between 3.10 and 3.13 is installed here")
