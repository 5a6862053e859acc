"""A model that uses code, a file and a wheel that were logged with it."""

from pathlib import Path

import mlflow


class Shipped(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.filed = Path(context.artifacts["shipped"]).read_text()

    def predict(self, context, model_input, params=None):
        from shipped_helper import help
        from shipped_wheel import WORD

        return [f"{help(text)}, {self.filed}, {WORD}" for text in model_input]


mlflow.models.set_model(Shipped())
