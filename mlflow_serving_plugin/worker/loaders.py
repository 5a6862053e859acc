"""What is known of a model by the module that loads the model. Also for the server, which has no model."""

from __future__ import annotations

LIBRARY_LOADERS = frozenset(
    f"mlflow.{name}" for name in ("sklearn", "xgboost", "lightgbm", "catboost", "onnx", "statsmodels")
)
"""Of flavors whose predict computes each row by itself, keeps no state, and asks nothing of the request."""
