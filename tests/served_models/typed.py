"""A model whose signature comes from its type hints."""

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Lengths(PythonModel):
    """Texts and their lengths."""

    def predict(self, model_input: list[str]) -> list[str]:
        return [f"{text}: {len(text)}" for text in model_input]


set_model(Lengths())
