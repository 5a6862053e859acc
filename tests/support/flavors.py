"""Models of MLflow's library flavors, small ones of the iris data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd


def _save(flavor: Any, model: Any, directory: Path, features: pd.DataFrame, **more: Any) -> None:
    signature = mlflow.models.infer_signature(features.head(2))
    flavor.save_model(model, path=str(directory), signature=signature, pip_requirements=["mlflow"], **more)


def _xgboost(directory: Path, features: pd.DataFrame, classes: Any) -> None:
    import xgboost

    _save(mlflow.xgboost, xgboost.XGBClassifier(n_estimators=3).fit(features, classes), directory, features)


def _lightgbm(directory: Path, features: pd.DataFrame, classes: Any) -> None:
    import lightgbm

    booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(features, classes), 3)
    _save(mlflow.lightgbm, booster, directory, features)


def _catboost(directory: Path, features: pd.DataFrame, classes: Any) -> None:
    import catboost

    model = catboost.CatBoostClassifier(iterations=3, verbose=False, allow_writing_files=False)
    _save(mlflow.catboost, model.fit(features, classes), directory, features)


def _statsmodels(directory: Path, features: pd.DataFrame, classes: Any) -> None:
    import statsmodels.api as sm

    _save(mlflow.statsmodels, sm.OLS(classes, features).fit(), directory, features)


def _onnx(directory: Path, features: pd.DataFrame, classes: Any) -> None:
    """A classifier with its labels and probabilities, as scikit-learn's converter makes it.

    Its weights are written down: fitted on another processor they differ in the fourth digit.
    """
    from onnx import TensorProto, helper

    weights = [-0.42, 0.97, -2.52, -1.08, 0.53, -0.32, -0.21, -0.94, -0.11, -0.65, 2.72, 2.02]
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=weights,
            intercepts=[9.85, 2.24, -12.09],
            classlabels_ints=[0, 1, 2],
            post_transform="SOFTMAX",
        ),
        helper.make_node("ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])
    map_type = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    made = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
        helper.make_value_info("probabilities", helper.make_sequence_type_proto(map_type)),
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(helper.make_graph(nodes, "g", [given], made), opset_imports=opsets, ir_version=9)
    _save(mlflow.onnx, model, directory, features)


def _spacy(directory: Path, features: pd.DataFrame, classes: Any) -> None:
    import spacy

    texts = pd.DataFrame({"text": ["good", "bad"]})
    language = spacy.blank("en")
    categories = language.add_pipe("textcat")
    categories.add_label("good")
    categories.add_label("bad")
    language.initialize()
    _save(mlflow.spacy, language, directory, texts)


def _prophet(directory: Path, features: pd.DataFrame, classes: Any) -> None:
    import prophet

    days = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=30), "y": range(30)})
    model = prophet.Prophet(uncertainty_samples=0).fit(days)
    _save(mlflow.prophet, model, directory, days[["ds"]])


def _pmdarima(directory: Path, features: pd.DataFrame, classes: Any) -> None:
    import pmdarima

    model = pmdarima.ARIMA(order=(1, 0, 0)).fit([float(n % 5) for n in range(40)])
    _save(mlflow.pmdarima, model, directory, pd.DataFrame({"n_periods": [2]}))


def _pytorch(directory: Path, features: pd.DataFrame, classes: Any) -> None:
    """A network of two layers, without training: every weight is the same number."""
    import torch

    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    with torch.no_grad():
        for number, weights in enumerate(network.parameters(), start=1):
            weights.fill_(number / 8)
    _save(mlflow.pytorch, network, directory, features.astype("float32"), serialization_format="pickle")


def _transformers(directory: Path, features: pd.DataFrame, classes: Any) -> None:
    """A classifier of texts with a vocabulary of five words, nothing of which is downloaded."""
    import torch
    import transformers

    torch.manual_seed(0)
    vocabulary = directory.parent / f"{directory.name}-vocabulary"
    vocabulary.mkdir(parents=True)
    (vocabulary / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad"]))
    config = transformers.BertConfig(
        vocab_size=7,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
        num_labels=2,
        id2label={0: "good", 1: "bad"},
        label2id={"good": 0, "bad": 1},
    )
    pipeline = transformers.pipeline(
        "text-classification",
        model=transformers.BertForSequenceClassification(config),
        tokenizer=transformers.BertTokenizer(str(vocabulary / "vocab.txt")),
    )
    _save(mlflow.transformers, pipeline, directory, pd.DataFrame({"text": ["good", "bad"]}))


FLAVORS: dict[str, Callable[[Path, pd.DataFrame, Any], None]] = {
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
    "statsmodels": _statsmodels,
    "onnx": _onnx,
    "spacy": _spacy,
    "prophet": _prophet,
    "pmdarima": _pmdarima,
    "pytorch": _pytorch,
    "transformers": _transformers,
}
"""By name: saves a model into a directory, given the features of iris and their classes."""
