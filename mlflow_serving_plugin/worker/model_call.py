"""The model's predict function, called as MLflow calls it once the input is made.

MLflow's ``PyFuncModel.predict`` sets the prediction's context, makes the input, enforces ``params``, and calls the
function. Here MLflow does the first and the third, and the input is there already.
"""

from __future__ import annotations

import copy
import functools
import json
from typing import Any, Callable

from .columns import NotCompilable
from .same import same_value


class ModelCall:
    """One loaded model's predict function. ``seen``: the keyword arguments that MLflow called the function with."""

    def __init__(self, model: Any, seen: dict[str, Any]) -> None:
        if not seen.keys() <= {"params"}:
            raise NotCompilable("this MLflow calls the model with other arguments")
        self._model = model
        self._enforce: Callable[[Any], Any] | None = _enforcement(model) if seen else None
        if self._enforce is not None and not same_value(self._enforce(None), seen["params"]):
            raise NotCompilable("MLflow makes other parameters")
        self._in_context = copy.copy(model)
        if hasattr(type(model), "_predict"):
            # MLflow's predict calls this in the context that MLflow has made.
            self._in_context._predict = lambda data, arguments=None: model._predict_fn(data, **arguments)
        else:
            self._in_context.predict = lambda data, arguments: model._predict_fn(data, **arguments)

    def given_params(self) -> dict[str, Any] | None:
        """The defaults, as a request would send them; None where ``params`` are MLflow's own to judge."""
        schema = _params_schema(self._model)
        if self._enforce is None or schema is None:
            return None
        params = {spec.name: spec.default for spec in schema.params}
        try:
            return dict(json.loads(json.dumps(params)))
        except (TypeError, ValueError):
            return None

    def arguments(self, params: Any) -> dict[str, Any]:
        """The keyword arguments for a request's ``params``; raises whatever MLflow raises for them."""
        return {} if self._enforce is None else {"params": self._enforce(params)}

    def __call__(self, data: Any, arguments: dict[str, Any]) -> Any:
        """Predict, in the context of a prediction."""
        return self._in_context.predict(data, arguments)

    def repeating(self, output: Any = None, error: BaseException | None = None) -> Any:
        """A model of the same metadata, whose prediction is known already: an output, or the error that was raised."""
        known = copy.copy(self._model)

        @functools.wraps(self._model._predict_fn)  # MLflow passes only what the signature takes
        def predict(*_data: Any, **_arguments: Any) -> Any:
            if error is not None:
                raise error
            return output

        known._predict_fn = predict
        return known


def _enforcement(model: Any) -> Callable[[Any], Any]:
    """From a request's ``params`` to those that the model gets."""
    try:
        from mlflow.models.utils import _enforce_params_schema
    except ImportError:
        raise NotCompilable("this MLflow enforces parameters elsewhere") from None
    return functools.partial(_call_enforcement, _enforce_params_schema, _params_schema(model))


def _call_enforcement(enforce: Callable[..., Any], schema: Any, params: Any) -> Any:
    return enforce(params, schema)


def _params_schema(model: Any) -> Any:
    return model.metadata.get_params_schema() if hasattr(model.metadata, "get_params_schema") else None
