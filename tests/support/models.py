"""The models that tests serve, saved once a session, and how they get into a server's registry."""

from __future__ import annotations

import warnings
import zipfile
from functools import cache, cached_property
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from support.flavors import FLAVORS
from support.shared import once

IRIS_COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
IRIS_OFFSETS = {1: 0, 2: 10, 3: 100}
"""What each version of iris adds to the class, so that an answer tells who gave it."""

NUMBERS = {
    "bool": [True, False], "uint8": [0, 255], "uint16": [0, 65535], "uint32": [0, 2**32 - 1], "uint64": [0, 2**63 - 1],
    "int8": [-128, 127], "int16": [-(2**15), 7], "int32": [-(2**31), 7], "int64": [-(2**63), 7],
    "float16": [0.1, -2], "float32": [0.1, -2], "float64": [0.1, -2],
}  # fmt: skip
"""The tensors of the model ``numbers``, and two values of each."""

AGENTS = ("chatmodel", "chatagent", "responses", "typed", "streaming", "traced")
"""Models whose signature MLflow knows, or takes from type hints."""

_CODE = Path(__file__).parent.parent / "served_models"


class Models:
    """Saves each model when a lane of the run first asks for it; ``path(name)``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, name: str) -> Path:
        """The directory of a saved model."""
        return once(name, self._save, self._root)

    def _save(self, directory: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            name = directory.name.partition("-")[0]
            if name in FLAVORS:
                FLAVORS[name](directory, self.iris, self._iris_classes)
            elif name in AGENTS:
                code = str(_CODE / f"{name}.py")
                mlflow.pyfunc.save_model(directory, python_model=code, pip_requirements=["mlflow"])
            else:
                getattr(self, f"_save_{name}")(directory)

    @cached_property
    def iris(self) -> pd.DataFrame:
        """The features of iris, under the names of the seed."""
        from sklearn.datasets import load_iris

        return pd.DataFrame(load_iris().data, columns=IRIS_COLUMNS)

    @cached_property
    def _iris_classes(self) -> np.ndarray:
        from sklearn.datasets import load_iris

        return load_iris().target

    def iris_predictions(self, version: int, rows: pd.DataFrame) -> list[int]:
        """What a version of iris says of rows."""
        return self._iris_classifier(version).predict(rows[IRIS_COLUMNS]).tolist()

    @cache  # noqa: B019 - there is one object for the run
    def _iris_classifier(self, version: int):
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=500).fit(self.iris, self._iris_classes + IRIS_OFFSETS[version])

    def _save_iris(self, directory: Path) -> None:
        classifier = self._iris_classifier(int(directory.name.partition("-")[2] or 1))
        mlflow.sklearn.save_model(
            classifier,
            directory,
            signature=mlflow.models.infer_signature(self.iris, classifier.predict(self.iris)),
            input_example=self.iris.head(2),
            pip_requirements=["scikit-learn"],
        )

    def _save_unsigned(self, directory: Path) -> None:
        mlflow.sklearn.save_model(self._iris_classifier(1), directory, pip_requirements=["scikit-learn"])

    def _save_titanic(self, directory: Path) -> None:
        """Passengers of whom some ages are not known; with an example that has such a passenger."""
        self._save_passengers(directory, example=True)

    def _save_passengers(self, directory: Path, *, example: bool = False) -> None:
        """The same model with a signature only."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        rows = pd.DataFrame({"Age": [22.0, 38.0, np.nan, 35.0] * 5, "Fare": [7.25, 71.28, 8.46, 53.1] * 5})
        classifier = HistGradientBoostingClassifier().fit(rows, [0, 1, 0, 1] * 5)
        mlflow.sklearn.save_model(
            classifier,
            directory,
            signature=mlflow.models.infer_signature(rows, classifier.predict(rows)),
            input_example=rows.iloc[2:4] if example else None,
            pip_requirements=["scikit-learn"],
            # MLflow's own format refuses the trees of this classifier.
            serialization_format="cloudpickle",
        )

    def _save_shapes(self, directory: Path) -> None:
        params = ParamSchema(
            [
                ParamSpec("shape", DataType.string, "frame"),
                ParamSpec("factor", DataType.double, 1.0),
                ParamSpec("many", DataType.long, [1, 2], (-1,)),
                ParamSpec("flag", DataType.boolean, False),
            ]
        )
        signature = ModelSignature(inputs=Schema([ColSpec("double", "x")]), params=params)
        self._save_code(directory, signature, pd.DataFrame({"x": [1.0, 2.5]}))

    def _save_columns(self, directory: Path) -> None:
        columns = [
            ColSpec("datetime", "day"),
            ColSpec("binary", "blob"),
            ColSpec("boolean", "flag"),
            ColSpec("integer", "small"),
            ColSpec("float", "ratio"),
            ColSpec("double", "amount"),
            ColSpec("string", "note"),
            ColSpec("long", "count", required=False),
            ColSpec("string", "comment", required=False),
        ]
        self._save_code(directory, ModelSignature(inputs=Schema(columns)), None)

    def _save_echo(self, directory: Path) -> None:
        self._save_code(directory, None, None)

    def _save_tensor(self, directory: Path) -> None:
        signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 2, 2))]))
        self._save_code(directory, signature, np.arange(8, dtype="float32").reshape(2, 2, 2))

    def _save_numbers(self, directory: Path) -> None:
        schema = Schema([TensorSpec(np.dtype(name), (-1, 2), name) for name in NUMBERS])
        self._save_code(directory, ModelSignature(inputs=schema, outputs=schema), None)

    def _save_text(self, directory: Path) -> None:
        self._save_code(directory, None, None)

    def _save_slow(self, directory: Path) -> None:
        signature = ModelSignature(inputs=Schema([ColSpec("double", "seconds")]))
        self._save_code(directory, signature, pd.DataFrame({"seconds": [0.0]}))

    def _save_hostile(self, directory: Path) -> None:
        signature = ModelSignature(inputs=Schema([ColSpec("string", "op"), ColSpec("string", "arg")]))
        self._save_code(directory, signature, pd.DataFrame({"op": ["echo"], "arg": [""]}))

    def _save_computing(self, directory: Path) -> None:
        signature = ModelSignature(inputs=Schema([ColSpec("string", "by"), ColSpec("double", "number")]))
        self._save_code(directory, signature, None)

    def _save_broken(self, directory: Path) -> None:
        self._save_code(directory, ModelSignature(inputs=Schema([ColSpec("double", "x")])), None)

    def _save_fatal(self, directory: Path) -> None:
        self._save_code(directory, ModelSignature(inputs=Schema([ColSpec("string", "do")])), None)

    def _save_unimportable(self, directory: Path) -> None:
        self._save_code(directory, None, None)
        code = directory / "unimportable.py"
        code.write_text("import module_that_nobody_has\n" + code.read_text())

    def _save_shady(self, directory: Path) -> None:
        self._save_code(directory, None, None)

    def _save_unloadable(self, directory: Path) -> None:
        self._save_code(directory, None, None)

    def _save_shipped(self, directory: Path) -> None:
        """With code, a file and a wheel of its own."""
        code = self._root / "shipped-code"
        code.mkdir()
        (code / "shipped_helper.py").write_text("def help(text):\n    return 'helped ' + text\n")
        extra = self._root / "shipped.txt"
        extra.write_text("filed")
        mlflow.pyfunc.save_model(
            directory,
            python_model=str(_CODE / "shipped.py"),
            code_paths=[str(code / "shipped_helper.py")],
            artifacts={"shipped": str(extra)},
            pip_requirements=["mlflow"],
        )
        write_wheel(directory / "wheels", "shipped_wheel", "WORD = 'wheeled'\n")

    def _save_code(self, directory: Path, signature: ModelSignature | None, example: object) -> None:
        mlflow.pyfunc.save_model(
            directory,
            python_model=str(_CODE / f"{directory.name}.py"),
            signature=signature,
            input_example=example,
            pip_requirements=["mlflow"],
        )


def write_wheel(directory: Path, name: str, code: str) -> None:
    """A wheel with one module."""
    directory.mkdir()
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
    }
    with zipfile.ZipFile(directory / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)


def register(client: MlflowClient, name: str, model: Path) -> int:
    """Log a saved model through the server and register it as the next version of ``name``; the version."""
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name)
    run = client.create_run("0")
    client.log_artifacts(run.info.run_id, str(model), "model")
    source = f"{run.info.artifact_uri}/model"
    return int(client.create_model_version(name, source, run_id=run.info.run_id).version)


def move_stage(client: MlflowClient, name: str, version: int, stage: str) -> None:
    """Move a version to a stage; MLflow warns that stages are old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client.transition_model_version_stage(name, str(version), stage)
