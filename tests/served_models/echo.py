"""A model without a signature that tells what it was given."""

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Echo(PythonModel):
    """Describes its input."""

    def predict(self, context, model_input, params=None):
        if isinstance(model_input, pd.DataFrame):
            dtypes = [str(dtype) for dtype in model_input.dtypes]
            return [{"dtypes": dtypes, "index": repr(model_input.index), "csv": model_input.to_csv()}]
        return [{"type": type(model_input).__name__, "value": repr(model_input)}]


set_model(Echo())
