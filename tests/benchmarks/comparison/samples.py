"""The models that every server holds, and the rows that it is asked about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

WIDE_COLUMNS = 600
LARGE_BYTES = 16 * 1024 * 1024
"""Size of the largest body, which is also the product's default limit."""

_LARGE_MARGIN = 256
_CHECKED_ROWS = 64


@dataclass(frozen=True)
class Sample:
    """A saved model, rows of input and what the model says of each."""

    name: str
    directory: Path
    columns: tuple[str, ...]
    rows: list[list[float]]
    predictions: list[float]

    def head(self, count: int) -> list[list[float]]:
        """The first rows, repeated if there are not as many."""
        return [self.rows[i % len(self.rows)] for i in range(count)]

    def expected(self, count: int) -> list[float]:
        """What the model says of ``head(count)``."""
        return [self.predictions[i % len(self.rows)] for i in range(count)]

    def large_count(self, bytes_per_row: float) -> int:
        """How many rows make a body of not quite ``LARGE_BYTES``."""
        return int((LARGE_BYTES - _LARGE_MARGIN - 16 * len(self.columns)) / bytes_per_row)


@dataclass(frozen=True)
class Samples:
    """What is served. ``precise`` is the model of ``iris`` asked about rows of full doubles."""

    iris: Sample
    wide: Sample
    precise: Sample


def save_samples(directory: Path) -> Samples:
    """Fit and save the models with this interpreter's MLflow, as ``mlflow.sklearn.save_model`` does."""
    iris, precise = _iris(directory / "iris")
    return Samples(iris, _wide(directory / "wide"), precise)


def _iris(directory: Path) -> tuple[Sample, Sample]:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    columns = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    random = np.random.default_rng(0)
    data = load_iris()
    # Neighbours in the data set are of one class: a mix shows answers that were handed to the wrong request.
    order = random.permutation(len(data.data))
    model = LogisticRegression(max_iter=500)
    sample = _save(directory, columns, model, data.data[order], data.target[order])
    exact = np.asarray(sample.rows) + random.uniform(0, 0.05, (len(sample.rows), len(columns)))
    said = model.predict(_frame(exact, columns)).tolist()
    return sample, replace(sample, rows=exact.tolist(), predictions=said)


def _wide(directory: Path) -> Sample:
    from sklearn.linear_model import LinearRegression

    random = np.random.default_rng(1)
    columns = tuple(f"f{i}" for i in range(WIDE_COLUMNS))
    data = random.normal(size=(2 * WIDE_COLUMNS, WIDE_COLUMNS)).round(4)
    return _save(directory, columns, LinearRegression(), data, data @ random.normal(size=WIDE_COLUMNS))


def _save(directory: Path, columns: tuple[str, ...], model: Any, data: Any, target: Any) -> Sample:
    import mlflow

    frame = _frame(data, columns)
    model.fit(frame, target)
    mlflow.sklearn.save_model(
        model,
        directory,
        signature=mlflow.models.infer_signature(frame, model.predict(frame)),
        input_example=frame.head(2),
        pip_requirements=["scikit-learn"],
    )
    head = frame.head(_CHECKED_ROWS)
    return Sample(directory.name, directory, columns, head.to_numpy().tolist(), model.predict(head).tolist())


def _frame(data: Any, columns: tuple[str, ...]) -> Any:
    import pandas as pd

    return pd.DataFrame(data, columns=list(columns))
