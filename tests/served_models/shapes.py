"""A model whose parameters choose the kind of its output."""

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Shapes(PythonModel):
    """Doubles ``x``, or does what ``shape`` says."""

    def predict(self, context, model_input, params=None):
        doubled = model_input["x"].to_numpy() * 2 * params["factor"]
        if params["shape"] == "raise":
            raise ValueError("the model has its own words")
        return {
            "frame": pd.DataFrame({"doubled": doubled, "größe": [str(value) for value in doubled]}),
            "series": pd.Series(doubled, index=range(5, 5 + len(doubled)), name="doubled"),
            "array": doubled,
            "list": doubled.tolist(),
            "dict": {"doubled": doubled, "count": np.int64(len(doubled))},
            "text": "NaN and Infinity are words",
            "nan": [float("nan"), float("inf"), -float("inf"), 1.5, "NaN"],
            "params": {name: repr(value) for name, value in params.items()},
            "dates": pd.DataFrame({"at": pd.to_datetime(["2024-02-29T12:30:00"])}),
            "unserialisable": object(),
        }[params["shape"]]


set_model(Shapes())
