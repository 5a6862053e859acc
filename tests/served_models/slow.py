"""A model that takes as many seconds as its input says."""

import time

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Slow(PythonModel):
    """Sleeps for the largest of the given times."""

    def predict(self, context, model_input, params=None):
        time.sleep(float(model_input["seconds"].max()))
        return model_input["seconds"].tolist()


set_model(Slow())
