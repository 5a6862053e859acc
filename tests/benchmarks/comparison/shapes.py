"""The shapes of models and requests that people send: each a saved model, its input in Python, and a body."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema, TensorSpec

JSON, CSV = "application/json", "text/csv"


@dataclass(frozen=True)
class Shape:
    """``save`` writes the model, and returns its input and the body that says the same."""

    name: str
    save: Callable[[Path], tuple[Any, bytes]]
    content_type: str = JSON


def _rows(columns: int, count: int = 200) -> pd.DataFrame:
    values = np.random.default_rng(7).normal(size=(count, columns)).round(4)
    return pd.DataFrame(values, columns=[f"c{number}" for number in range(columns)])


def _split(frame: pd.DataFrame, **more: Any) -> bytes:
    return json.dumps({"dataframe_split": json.loads(frame.to_json(orient="split", index=False)), **more}).encode()


def _save_fitted(flavor: Any, model: Any, path: Path, head: pd.DataFrame, **more: Any) -> None:
    signature = infer_signature(head, model.predict(head))
    flavor.save_model(model, path, signature=signature, input_example=head, pip_requirements=["mlflow"], **more)


def _sklearn(model: Any, frame: pd.DataFrame, path: Path, *, signed: bool = True, rows: int = 1) -> tuple[Any, bytes]:
    model.fit(frame, np.arange(len(frame)) % 2)
    # The formats of its own take no encoder of strings.
    kept = {"serialization_format": "cloudpickle", "pip_requirements": ["mlflow"]}
    if signed:
        _save_fitted(mlflow.sklearn, model, path, frame.head(12), serialization_format="cloudpickle")
    else:
        mlflow.sklearn.save_model(model, path, **kept)
    return frame.head(rows), _split(frame.head(rows))


def _forest(columns: int, **more: Any) -> Callable[[Path], tuple[Any, bytes]]:
    from sklearn.ensemble import RandomForestClassifier

    return lambda path: _sklearn(RandomForestClassifier(10, random_state=0), _rows(columns), path, **more)


def _iris(path: Path) -> tuple[Any, bytes]:
    from sklearn.linear_model import LogisticRegression

    return _sklearn(LogisticRegression(), _rows(4), path)


def _passengers(age: float | None) -> Callable[[Path], tuple[Any, bytes]]:
    """A pipeline with a column of text; the row's age may be unknown."""

    def save(path: Path) -> tuple[Any, bytes]:
        from sklearn.compose import make_column_transformer
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OrdinalEncoder

        frame = _rows(3).rename(columns={"c0": "age", "c1": "fare", "c2": "parents"})
        frame["sex"] = ["male", "female"] * (len(frame) // 2)
        encode = make_column_transformer((OrdinalEncoder(), ["sex"]), remainder="passthrough")
        if age is None:
            frame.loc[0, "age"] = None
        return _sklearn(make_pipeline(encode, HistGradientBoostingClassifier(max_iter=10)), frame, path)

    return save


def _many_rows(csv: bool) -> Callable[[Path], tuple[Any, bytes]]:
    def save(path: Path) -> tuple[Any, bytes]:
        from sklearn.linear_model import LogisticRegression

        frame, body = _sklearn(LogisticRegression(), _rows(30, 1000), path, rows=1000)
        return frame, frame.to_csv(index=False).encode() if csv else body

    return save


def _xgboost(path: Path) -> tuple[Any, bytes]:
    import xgboost

    frame = _rows(100)
    model = xgboost.XGBClassifier(n_estimators=20, n_jobs=1).fit(frame, np.arange(len(frame)) % 2)
    _save_fitted(mlflow.xgboost, model, path, frame.head(12))
    return frame.head(1), _split(frame.head(1))


def _lightgbm(path: Path) -> tuple[Any, bytes]:
    import lightgbm

    frame = _rows(100)
    settings = {"verbose": -1, "num_threads": 1}
    model = lightgbm.train(settings, lightgbm.Dataset(frame, np.arange(len(frame)) % 2), 20)
    _save_fitted(mlflow.lightgbm, model, path, frame.head(12))
    return frame.head(1), _split(frame.head(1))


def _custom(
    code: str, signature: ModelSignature | None, example: Any, body: bytes, value: Any = None
) -> Callable[[Path], tuple[Any, bytes]]:
    """A model from code. ``code``: the methods of its class."""

    def save(path: Path) -> tuple[Any, bytes]:
        source = path.parent / f"{path.name}.py"
        methods = textwrap.indent(textwrap.dedent(code).strip(), "    ")
        source.write_text(_CODE.format(methods=methods))
        more = {} if signature is None else {"signature": signature}
        mlflow.pyfunc.save_model(
            path, python_model=str(source), input_example=example, pip_requirements=["mlflow"], **more
        )
        return example if value is None else value, body

    return save


_CODE = """
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Model(PythonModel):
{methods}

set_model(Model())
"""
_SUM = """
def predict(self, context, model_input, params=None):
    return model_input.sum(axis=1).to_numpy()
"""
_COUNT = """
def predict(self, context, model_input, params=None):
    return [len(model_input)] * len(model_input)
"""
_LENGTHS = """
def predict(self, context, model_input, params=None):
    return model_input.iloc[:, 0].str.len().to_numpy()
"""
_YEARS = """
def predict(self, context, model_input, params=None):
    return model_input.iloc[:, 0].dt.year.to_numpy()
"""
_SCALED = """
def predict(self, context, model_input, params=None):
    return model_input.sum(axis=1).to_numpy() * params["factor"]
"""
_PIXELS = """
def predict(self, context, model_input, params=None):
    return model_input.reshape(len(model_input), -1).mean(axis=1)
"""
_TYPED = """
def predict(self, model_input: list[str]) -> list[int]:
    return [len(text) for text in model_input]
"""


def _signed(frame: pd.DataFrame) -> ModelSignature:
    return infer_signature(frame)


def _table(code: str, frame: pd.DataFrame) -> Callable[[Path], tuple[Any, bytes]]:
    return _custom(code, _signed(frame), frame, _split(frame))


def _datetime(path: Path) -> tuple[Any, bytes]:
    frame = pd.DataFrame({"when": pd.to_datetime(["2026-11-26T12:30:00"]), "x": [1.5]})
    body = json.dumps({"dataframe_split": {"columns": ["when", "x"], "data": [["2026-11-26T12:30:00", 1.5]]}}).encode()
    signature = ModelSignature(Schema([ColSpec("datetime", "when"), ColSpec("double", "x")]))
    return _custom(_YEARS, signature, frame, body)(path)


def _nested(path: Path) -> tuple[Any, bytes]:
    record = {"id": 7, "tags": ["a", "b"], "place": {"city": "Paris", "zip": "75001"}}
    frame = pd.DataFrame([record])
    return _custom(_COUNT, _signed(frame), frame, json.dumps({"dataframe_records": [record]}).encode())(path)


def _params(path: Path) -> tuple[Any, bytes]:
    frame = _rows(4).head(1)
    signature = infer_signature(frame, params={"factor": 2.0, "name": "a"})
    return _custom(_SCALED, signature, (frame, {"factor": 2.0}), _split(frame, params={"factor": 3.0}), frame)(path)


def _tensor(path: Path) -> tuple[Any, bytes]:
    image = np.random.default_rng(3).integers(0, 255, (1, 28, 28)).astype("float32")
    signature = ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 28, 28))]))
    return _custom(_PIXELS, signature, image, json.dumps({"inputs": image.tolist()}).encode())(path)


def _missing_column(path: Path) -> tuple[Any, bytes]:
    """The last of four columns is not required, and not sent."""
    frame = _rows(4).head(1)
    columns = [ColSpec("double", name, required=name != "c3") for name in frame.columns]
    sent = frame.drop(columns="c3")
    return _custom(_SUM, ModelSignature(Schema(columns)), frame, _split(sent), sent)(path)


_TEXTS = pd.DataFrame({"text": ["a sentence of some length to be classified"]})

SHAPES = (
    Shape("iris, 4 columns", _iris),
    Shape("LightGBM, 100 columns", _lightgbm),
    Shape("XGBoost, 100 columns", _xgboost),
    Shape("forest, 30 columns", _forest(30)),
    Shape("forest without signature", _forest(30, signed=False)),
    Shape("pipeline with strings", _passengers(30.0)),
    Shape("pipeline with a null", _passengers(None)),
    Shape("1,000 rows, JSON", _many_rows(csv=False)),
    Shape("1,000 rows, CSV", _many_rows(csv=True), CSV),
    Shape("custom, 30 columns", _table(_SUM, _rows(30).head(1))),
    Shape("custom, text column", _table(_LENGTHS, _TEXTS)),
    Shape("custom, datetime column", _datetime),
    Shape("custom, optional column missing", _missing_column),
    Shape("custom, nested columns", _nested),
    Shape("custom, params", _params),
    Shape("custom, type hints", _custom(_TYPED, None, ["a", "bc"], b'{"inputs": ["a", "bc"]}')),
    Shape("tensor 28 x 28", _tensor),
)
