"""A model that tells the types and values it was given, by column."""

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Columns(PythonModel):
    """Names each column's dtype and each value as Python would write it."""

    def predict(self, context, model_input, params=None):
        return {
            "dtypes": {str(name): str(dtype) for name, dtype in model_input.dtypes.items()},
            "values": [[repr(value) for value in row] for row in model_input.itertuples(index=True)],
        }


set_model(Columns())
