"""A model whose parameters choose the kind of its output."""

import dataclasses
import datetime
import decimal
import pathlib
import uuid

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


@dataclasses.dataclass
class Point:
    """Not a kind of output that MLflow knows."""

    x: float


OTHERS = {
    "tuple": tuple,
    "number": lambda x: float(x[0]),
    "numpy number": lambda x: np.float32(x[0]),
    "whole numbers": lambda x: x.astype(int),
    "true": lambda x: True,
    "none": lambda x: None,
    "booleans": lambda x: x > 3,
    "matrix": lambda x: np.outer(x, x),
    "cube": lambda x: np.ones((2, 1, 2)),
    "array of one number": lambda x: np.array(1.5),
    "single precision": lambda x: (x / 3).astype(np.float32),
    "array of texts": lambda x: np.array(["a", "ü"]),
    "array of objects": lambda x: np.array([1, "a", None], dtype=object),
    "array of times": lambda x: np.array(["2024-02-29T12:30"], dtype="datetime64[ns]"),
    "array of spans": lambda x: np.array([5], dtype="timedelta64[s]"),
    "array of bytes": lambda x: np.array([b"a"]),
    "category": lambda x: pd.Series(["a", "b"], dtype="category"),
    "frame with an index": lambda x: pd.DataFrame({"x": x}, index=["a", "b"]),
    "frame without rows": lambda x: pd.DataFrame({"x": []}),
    "frame without columns": lambda x: pd.DataFrame(),
    "frame with numbered columns": lambda x: pd.DataFrame(np.outer(x, x)),
    "frame with two levels": lambda x: pd.DataFrame({("a", "b"): x}),
    "frame with lists": lambda x: pd.DataFrame({"x": [[1, 2], [3]]}),
    "frame with missing values": lambda x: pd.DataFrame({"i": pd.array([1, None], "Int64"), "f": [1.5, None]}),
    "index": lambda x: pd.Index(["a", "b"]),
    "timestamp": lambda x: pd.Timestamp("2024-02-29T12:30"),
    "date": lambda x: [datetime.date(2024, 2, 29)],
    "time and zone": lambda x: [datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc)],
    "nested": lambda x: {"a": {"b": [np.float32(0.1), {"c": x}]}, "d": [np.bool_(True)]},
    "list of objects": lambda x: [{"label": "a", "score": np.float64(0.25)}, {"label": "b", "score": 1}],
    "list of lists": lambda x: [[1, 2.5], ["a", None]],
    "object with numbers as names": lambda x: {1: "a", 2.5: "b"},
    "bytes": lambda x: b"a",
    "decimal": lambda x: [decimal.Decimal("1.5")],
    "set": lambda x: {1},
    "complex": lambda x: [1j],
    "generator": lambda x: (one for one in x),
    "unique id": lambda x: [uuid.UUID(int=1)],
    "path": lambda x: pathlib.PurePosixPath("a"),
    "data class": lambda x: Point(1.5),
    "huge number": lambda x: 2**70,
    "NA": lambda x: [pd.NA],
}


class Shapes(PythonModel):
    """Doubles ``x``, or does what ``shape`` says."""

    def predict(self, context, model_input, params=None):
        doubled = model_input["x"].to_numpy() * 2 * params["factor"]
        if params["shape"] == "raise":
            raise ValueError("the model has its own words")
        if params["shape"] in OTHERS:
            return OTHERS[params["shape"]](doubled)
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
