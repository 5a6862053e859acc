"""The one reader of a model's ``MLmodel`` file. Any part may be missing: MLflow wrote the file, or a person.

Beside the state directory's other files, and not in ``registry``, because environments, backends and the gateway read
fetched models as well: this is the lowest layer that all of them may import.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.host.yaml_text import load_yaml

LIBRARIES = {
    "sklearn": ("scikit-learn", "sklearn_version"),
    "xgboost": ("xgboost", "xgb_version"),
    "lightgbm": ("lightgbm", "lgb_version"),
    "catboost": ("catboost", "catboost_version"),
    "pytorch": ("torch", "pytorch_version"),
    "onnx": ("onnx", "onnx_version"),
    "statsmodels": ("statsmodels", "statsmodels_version"),
    "prophet": ("prophet", "prophet_version"),
    "pmdarima": ("pmdarima", "pmdarima_version"),
    "spacy": ("spacy", "spacy_version"),
    "transformers": ("transformers", "transformers_version"),
    "sentence_transformers": ("sentence-transformers", "sentence_transformers_version"),
    "langchain": ("langchain", "langchain_version"),
    "keras": ("keras", "keras_version"),
    # MLflow writes TensorFlow's version under Keras' name.
    "tensorflow": ("tensorflow", "keras_version"),
    "h2o": ("h2o", "h2o_version"),
    "paddle": ("paddlepaddle", "paddle_version"),
    "shap": ("shap", "shap_version"),
    "spark": ("pyspark", "pyspark_version"),
}
"""Flavor → its library on PyPI, and the key of the flavor's entry that holds the library's version."""


@dataclass(frozen=True, slots=True)
class MlModel:
    """What the server reads of an ``MLmodel`` file; a part that is missing is empty."""

    python_function: Mapping[str, Any]
    """The flavor that serves: ``loader_module``, ``env`` (a file, or files by manager), ``python_version``."""
    example_info: Mapping[str, Any]
    """Where the input example is, and of what type."""
    signature: Mapping[str, Any]
    """Inputs, outputs and params, as ``mlflow.models.ModelSignature.from_dict`` reads them."""
    from_type_hint: bool = False
    """Whether the signature was made of a Python type hint (since MLflow 2.20)."""
    logged_with: Mapping[str, str] = field(default_factory=dict)
    """Versions that were there when the model was logged: of ``Python``, of ``MLflow``, and of the library of the
    flavor that serves, by its name on PyPI."""
    created: str = ""
    """When the model was logged, by UTC: ``2024-05-31 10:20:30.400000``."""


def read_mlmodel(model_dir: Path) -> MlModel:
    """Read the file. OSError when there is none, ValueError when the file is not a YAML mapping."""
    content = load_yaml((model_dir / "MLmodel").read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("not a mapping")  # noqa: TRY004 - of the file's content
    return MlModel(
        python_function=_mapping(_mapping(content.get("flavors")).get("python_function")),
        example_info=_mapping(content.get("saved_input_example_info")),
        signature=_mapping(content.get("signature")),
        from_type_hint=content.get("is_signature_from_type_hint") is True,
        logged_with=_logged_with(content),
        created=str(content.get("utc_time_created") or ""),
    )


def loader_module(model_dir: Path) -> str:
    """The module that loads the model. Empty when MLmodel cannot be read: the worker will report that."""
    with contextlib.suppress(OSError, ValueError):
        return str(read_mlmodel(model_dir).python_function.get("loader_module", ""))
    return ""


def _logged_with(content: Mapping[str, Any]) -> dict[str, str]:
    flavors = _mapping(content.get("flavors"))
    serving = _mapping(flavors.get("python_function"))
    # ``mlflow.sklearn`` loads what the flavor ``sklearn`` describes.
    name = str(serving.get("loader_module", "")).removeprefix("mlflow.")
    library, key = LIBRARIES.get(name, ("", ""))
    found = {
        "Python": serving.get("python_version"),
        "MLflow": content.get("mlflow_version"),
        library: _mapping(flavors.get(name)).get(key),
    }
    return {name: str(version) for name, version in found.items() if name and version}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
