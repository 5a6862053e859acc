"""A model of texts, its signature made from type hints."""

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Text(PythonModel):
    """Upper-cases each text."""

    def predict(self, model_input: list[str]) -> list[str]:
        return [text.upper() for text in model_input]


set_model(Text())
