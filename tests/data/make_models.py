"""Makes the models of other eras in ``tests/data/models``: ``python tests/data/make_models.py [NAME …]``.

Each is saved by the very versions that it pins, in a virtual environment that this script builds for it. The tests use
the saved directories and build nothing of their own; only the product builds environments for them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

BUILD_S = 900.0
MODELS = Path(__file__).parent / "models"
RECENT = "mlflow==3.17.2"

_IRIS = """
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
    "model",
    signature=infer_signature(frame, classifier.predict(frame)),
    input_example=frame.head(2),
    pip_requirements=asked["requirements"],
)
"""

_PIPELINE = _IRIS.replace(
    "LogisticRegression(max_iter=500).fit",
    "make_pipeline(ColumnTransformer([('filled', SimpleImputer(), [0, 1])], remainder='passthrough'), "
    "LogisticRegression(max_iter=500)).fit",
).replace(
    "from sklearn.linear_model",
    "from sklearn.compose import ColumnTransformer\n"
    "from sklearn.impute import SimpleImputer\n"
    "from sklearn.pipeline import make_pipeline\n"
    "from sklearn.linear_model",
)
"""A pipeline whose pickle of one version of scikit-learn does not work in another."""

_LIGHTGBM = """
import json, sys, warnings
warnings.simplefilter("ignore")
import lightgbm, mlflow, numpy, pandas
asked = json.loads(sys.argv[1])
frame = pandas.DataFrame({"x": numpy.arange(64.0)})
data = lightgbm.Dataset(frame, frame["x"] * 2)
booster = lightgbm.train({"verbose": -1, "min_data_in_leaf": 2}, data, 5)
mlflow.lightgbm.save_model(
    booster,
    "model",
    input_example=frame.head(2),
    pip_requirements=asked["requirements"],
    extra_files=["notes.txt"],
)
"""

_ONNX = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow, numpy, onnx
from onnx import TensorProto, helper
asked = json.loads(sys.argv[1])
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None])
graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "twice", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
mlflow.onnx.save_model(
    model,
    "model",
    input_example={"x": numpy.array([1.0, 2.0], dtype="float32")},
    pip_requirements=asked["requirements"],
    extra_files=["notes.txt"],
)
"""


@dataclass(frozen=True)
class Pinned:
    """One model: what it pins, and the program that saves it. ``offset`` is what an iris classifier adds."""

    requirements: tuple[str, ...]
    offset: int = 0
    python: str = "3.11"
    program: str = _IRIS


_MLFLOW_1 = ("mlflow==1.30.1", "pandas==1.5.3", "numpy==1.26.4", "scikit-learn==1.2.2")
# MLflow 2's own scoring server, with which answers are compared, does not start on the newest FastAPI; ours does.
_MLFLOW_2 = ("mlflow==2.22.5", "scikit-learn==1.5.2", "fastapi==0.115.14")
_NATIVE = (RECENT, "numpy==2.2.6")

PINNED = {
    "mlflow-1": Pinned(_MLFLOW_1, 1),
    "mlflow-2": Pinned(_MLFLOW_2, 2),
    "sklearn-1.4": Pinned(("mlflow==2.22.5", "scikit-learn==1.4.2", "fastapi==0.115.14"), 9, program=_PIPELINE),
    "python-3.10": Pinned((RECENT, "scikit-learn==1.5.2"), 5, "3.10"),
    "python-3.12": Pinned((RECENT, "scikit-learn==1.5.2"), 5, "3.12"),
    "lightgbm": Pinned((*_NATIVE, "lightgbm==4.6.0", "scikit-learn==1.5.2"), program=_LIGHTGBM),
    "onnx": Pinned((*_NATIVE, "onnx==1.17.0", "onnxruntime==1.20.1"), program=_ONNX),
}


def main(names: list[str]) -> None:
    """Make these models, or all."""
    with tempfile.TemporaryDirectory() as root:
        for name in names or PINNED:
            print(name, flush=True)
            make(name, PINNED[name], Path(root))


def make(name: str, pinned: Pinned, root: Path) -> None:
    """Save one model into its place, made anew."""
    work = root / name
    work.mkdir()
    (work / "notes.txt").write_text("kept with the model")
    asked = {"offset": pinned.offset, "requirements": pinned.requirements}
    _run([str(_environment(pinned, root)), "-c", pinned.program, json.dumps(asked)], work)
    _refuse_machine_paths(work / "model", root)
    shutil.rmtree(MODELS / name, ignore_errors=True)
    shutil.copytree(work / "model", MODELS / name)


def _environment(pinned: Pinned, root: Path) -> Path:
    directory = root / f"env-{abs(hash((pinned.python, *pinned.requirements)))}"
    if not directory.exists():
        _run(["uv", "venv", "--quiet", "--python", _python(pinned.python), str(directory)], root)
        # Python 3.12 and later come without setuptools, and MLflow 1 imports what it brings.
        packages = [*pinned.requirements, "setuptools<81"]
        _run(["uv", "pip", "install", "--quiet", "--python", str(directory / "bin" / "python"), *packages], root)
    return directory / "bin" / "python"


def _python(minor: str) -> str:
    """pyenv's newest of a minor version, which uv does not find by itself; else the version, for uv to look for."""
    found = (Path.home() / ".pyenv" / "versions").glob(f"{minor}.*/bin/python")
    return str(max(found, key=lambda path: path.parent.parent.name, default=minor))


def _refuse_machine_paths(model: Path, root: Path) -> None:
    told = re.compile("|".join(map(re.escape, (str(root), str(Path.home()), str(MODELS.parents[2])))).encode())
    for path in sorted(model.rglob("*")):
        if path.is_file() and told.search(path.read_bytes()):
            raise SystemExit(f"{path.relative_to(model)} names a directory of this machine")


def _run(command: list[str], cwd: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW"))}
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, env=env, cwd=cwd, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{command[:5]}: {done.stdout[-2000:]}{done.stderr[-3000:]}")


if __name__ == "__main__":
    main(sys.argv[1:])
