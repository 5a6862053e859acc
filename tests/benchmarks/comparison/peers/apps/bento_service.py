"""Runs in BentoML's environment: one batchable method."""

import json
import os

import bentoml
import numpy as np


@bentoml.service(workers=1, traffic={"timeout": 120})
class Model:
    def __init__(self) -> None:
        import mlflow.pyfunc

        self._columns = json.loads(os.environ["APP_COLUMNS"])
        self._model = mlflow.pyfunc.load_model(os.environ["APP_MODEL"])

    @bentoml.api(
        batchable=True,
        max_batch_size=int(os.environ["APP_MAX_BATCH"]),
        max_latency_ms=int(os.environ["APP_DEADLINE_MS"]),
    )
    def predict(self, rows: np.ndarray) -> np.ndarray:
        import pandas as pd

        return self._model.predict(pd.DataFrame(rows, columns=self._columns))
