"""A model that does as the variable SHADE says: ``slow``, ``raise``, ``burn`` (a processor), or answers at once."""

import os
import time

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Shady(PythonModel):
    """Answers with zeros."""

    def predict(self, context, model_input, params=None):
        shade = os.environ.get("SHADE")
        if shade == "raise":
            raise ValueError("no answer in the shade")
        if shade == "slow":
            time.sleep(0.5)
        until = time.perf_counter() + (0.02 if shade == "burn" else 0)
        while time.perf_counter() < until:
            pass
        return [0] * len(model_input)


set_model(Shady())
