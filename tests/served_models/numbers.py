"""A model of named tensors, one of every type of numbers: answers what it is given."""

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Numbers(PythonModel):
    """The tensors by name."""

    def predict(self, context, model_input, params=None):
        return model_input


set_model(Numbers())
