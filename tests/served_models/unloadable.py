"""A model that does not load."""

import mlflow


class Unloadable(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        if context.artifacts is not None:
            raise ValueError("these weights are of another make")

    def predict(self, context, model_input, params=None):
        return [1]


mlflow.models.set_model(Unloadable())
