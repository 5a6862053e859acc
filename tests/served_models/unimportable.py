"""A model whose code imports a module that no environment has: a line that the tests put before this."""

import mlflow


class Unimportable(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [1]


mlflow.models.set_model(Unimportable())
