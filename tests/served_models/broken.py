"""A model that cannot be loaded."""

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Broken(PythonModel):
    """Fails in ``load_context``, as a model does that misses a file."""

    def load_context(self, context):
        raise RuntimeError("the licence file is missing")

    def predict(self, context, model_input, params=None):
        return model_input


set_model(Broken())
