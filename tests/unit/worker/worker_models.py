"""Models as ``mlflow.pyfunc`` hands them to a worker, without files: any schema around any function."""

from __future__ import annotations

import warnings
from typing import Any

with warnings.catch_warnings():
    # Of MLflow's own modules.
    warnings.simplefilter("ignore")
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import PyFuncModel, scoring_server
    from mlflow.sklearn import _SklearnModelWrapper
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import Array, Map, Object, Property

from mlflow_serving_plugin.worker.scoring import Scorer


class Predictor:
    """What a flavor's loader returns."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def predict(self, data: Any) -> Any:
        return self._function(data)


__all__ = [
    "Array",
    "ColSpec",
    "DataType",
    "Map",
    "Model",
    "ModelSignature",
    "Object",
    "ParamSchema",
    "ParamSpec",
    "Property",
    "PyFuncModel",
    "Schema",
    "Scorer",
    "TensorSpec",
    "pyfunc",
    "scorer_of",
    "scoring_server",
    "sklearn_scorer",
    "split_of",
]


def pyfunc(columns: list[tuple[str, str]], function: Any, flavor: str = "mlflow.sklearn") -> PyFuncModel:
    """A model of a flavor with a signature of (name, type) columns."""
    meta = Model(signature=ModelSignature(inputs=Schema([ColSpec(kind, name) for name, kind in columns])))
    meta.add_flavor("python_function", loader_module=flavor)
    predictor = Predictor(function)
    return PyFuncModel(meta, predictor, predict_fn="predict")


def scorer_of(columns: list[tuple[str, str]], function: Any, flavor: str = "mlflow.sklearn") -> Scorer:
    """A scorer with its fast path, where the signature has one."""
    scorer = Scorer(pyfunc(columns, function, flavor))
    scorer.prepare_fast_path()
    return scorer


def sklearn_scorer(columns: list[tuple[str, str]], estimator: Any) -> Scorer:
    """A scorer of a scikit-learn estimator as MLflow loads the estimator."""
    model = pyfunc(columns, None)
    scorer = Scorer(PyFuncModel(model.metadata, _SklearnModelWrapper(estimator), predict_fn="predict"))
    scorer.prepare_fast_path()
    return scorer


def split_of(frame: Any) -> dict[str, Any]:
    """``dataframe_split`` of a frame without an index; pandas 1 has no argument for that."""
    return {name: value for name, value in frame.to_dict(orient="split").items() if name != "index"}
